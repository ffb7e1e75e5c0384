"""Lines: any split gives the same; long ones stay messages; nothing grows without bound."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axiom_sandbox.drivers import lines as module
from axiom_sandbox.drivers.lines import MOST_LINE_BYTES, Line, LineReader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def read(data: bytes, cuts: list[int] | None = None) -> list[Line]:
    reader, found = LineReader(), list[Line]()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    for start, end in pairwise(edges):
        found += reader.feed(data[start:end])
    return found + reader.finish()


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 300), max_size=8))
def test_any_split_gives_the_same_lines(parts: list[bytes], cuts: list[int]) -> None:
    data = b"\n".join(parts)
    assert read(data, cuts) == read(data)
    assert [line.data for line in read(data)] == [line for line in data.split(b"\n") if line.strip()]


@settings(max_examples=120, derandomize=True, deadline=None)
@given(JSON, st.lists(st.integers(0, 2000), max_size=8), st.booleans())
def test_a_long_line_stays_a_message_of_the_same_shape(value: object, cuts: list[int], plain: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONG_LINE_BYTES", 0)
        patch.setattr(module, "_MOST_TEXT_BYTES", 12)
        data = json.dumps({"value": value}, ensure_ascii=plain).encode()
        [line] = read(data, cuts)
        assert line == read(data)[0]
        assert line.size == len(data)
        clipped = json.loads(line.data.decode(errors="replace"))
        assert shape(clipped) == shape({"value": value})


def shape(value: object) -> object:
    match value:
        case dict():
            return sorted(map(str, map(shape, value.values()))) if len({*value}) < 2 else "object"
        case list():
            return [shape(item) for item in value]
        case str():
            return "text"
        case _:
            return value


def test_a_line_of_a_hundred_megabytes_is_read_in_little_memory() -> None:
    reader, chunk = LineReader(), b'x\\n\\u00e4"'[:-1] * 7282
    tracemalloc.start()
    found = reader.feed(b'{"type":"user","content":"')
    for _ in range(100 * 2**20 // len(chunk)):
        found += reader.feed(chunk)
    found += reader.feed(b'","is_error":true}\n')
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    [line] = found
    message = json.loads(line.data)
    assert (message["type"], message["is_error"], line.readable) == ("user", True, True)
    assert message["content"].endswith("[… cut …]")
    assert line.size > 99 * 2**20
    assert peak < 8 * 2**20


def test_a_line_that_is_no_text_is_kept_from_its_beginning() -> None:
    [line, after] = read(b"[" + b"1," * MOST_LINE_BYTES + b"\n{}")
    assert not line.readable
    assert line.data.startswith(b"[1,1,")
    assert line.size == 2 * MOST_LINE_BYTES + 1
    assert (after.data, after.readable) == (b"{}", True)
