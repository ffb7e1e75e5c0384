from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.terminal.recording import Recording, RecordingError


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cast(tmp_path: Path) -> Path:
    return tmp_path / "recording.cast"


@pytest.fixture
def record(cast: Path, clock: Clock) -> Iterator[Callable[..., Recording]]:
    opened: list[Recording] = []

    def open_one(**options: Any) -> Recording:
        opened.append(Recording.open(cast, 80, 24, clock=clock, **options))
        return opened[-1]

    yield open_one
    for recording in opened:
        recording.close()


def lines(cast: Path) -> list[Any]:
    return [json.loads(line) for line in cast.read_bytes().splitlines()]


def shown(cast: Path) -> str:
    return "".join(event[2] for event in lines(cast)[1:] if event[1] == "o")


def test_the_header_is_asciicast_3(record: Callable[..., Recording], cast: Path) -> None:
    record(title="fix", command="codex exec")
    assert lines(cast) == [
        {
            "version": 3,
            "term": {"cols": 80, "rows": 24, "type": "xterm-256color"},
            "timestamp": 1893553445,
            "command": "codex exec",
            "title": "fix",
        }
    ]


def test_each_kind_of_event_has_its_code_and_the_time_since_the_one_before(
    record: Callable[..., Recording], cast: Path, clock: Clock
) -> None:
    recording = record()
    for wait, act in [
        (0.25, lambda: recording.output(b"hi\x1b[1m\r\n")),
        (1.5, lambda: recording.input(b"y\r")),
        (0, lambda: recording.resize(100, 30)),
        (0.001, lambda: recording.mark(17, "claim")),
        (60, lambda: recording.exited(-9)),
    ]:
        clock.pass_(wait)
        act()
    assert lines(cast)[1:] == [
        [0.25, "o", "hi\x1b[1m\r\n"],
        [1.5, "i", "y\r"],
        [0, "r", "100x30"],
        [0.001, "m", "#17 claim"],
        [60, "x", "-9"],
    ]


def test_what_is_written_is_in_the_file_at_once(record: Callable[..., Recording], cast: Path) -> None:
    record().output(b"now")
    assert shown(cast) == "now"


def test_rounding_never_adds_up(record: Callable[..., Recording], cast: Path, clock: Clock) -> None:
    recording = record()
    for _ in range(1000):
        clock.pass_(0.0007)
        recording.output(b".")
    assert sum(event[0] for event in lines(cast)[1:]) == pytest.approx(0.7, abs=0.001)


def test_a_clock_that_goes_back_waits_for_itself(
    record: Callable[..., Recording], cast: Path, clock: Clock
) -> None:
    recording = record()
    for step in (5, -3, 2, 2):
        clock.pass_(step)
        recording.output(b".")
    assert [event[0] for event in lines(cast)[1:]] == [5, 0, 0, 1]


@given(st.lists(st.integers(0, 30)))
def test_characters_split_anywhere_are_put_together(cuts: list[int]) -> None:
    whole = "naïve ☃ 😀 日本".encode()
    with tempfile.TemporaryDirectory() as folder:
        cast = Path(folder) / "recording.cast"
        recording = Recording.open(cast, 80, 24)
        edges = sorted({0, *(min(cut, len(whole)) for cut in cuts), len(whole)})
        for start, end in pairwise(edges):
            recording.output(whole[start:end])
        recording.close()
        assert shown(cast) == whole.decode()
        assert recording.output_bytes == len(whole)


def test_bytes_that_are_no_text_are_replaced(record: Callable[..., Recording], cast: Path) -> None:
    recording = record()
    recording.output(b"a\xffb\xe2\x98")
    recording.close()
    assert shown(cast) == "a\ufffdb\ufffd"
    assert recording.output_bytes == 8


def test_output_past_the_limit_is_dropped_and_counted(record: Callable[..., Recording], cast: Path) -> None:
    recording = record(limit=300)
    assert recording.output(b"x" * 100)
    assert not recording.output(b"y" * 400)
    assert not recording.output(b"z")
    assert (recording.output_bytes, recording.dropped_bytes) == (501, 401)
    recording.mark(3)
    assert shown(cast) == "x" * 100
    assert [event[1] for event in lines(cast)[1:]] == ["o", "m", "m"]
    assert "limit" in lines(cast)[2][2]


def test_the_limit_counts_the_file_and_not_what_the_program_wrote(
    record: Callable[..., Recording], cast: Path
) -> None:
    recording = record(limit=10_000)
    kept = sum(recording.output(b"\x01") for _ in range(10_000))
    assert 300 < kept < 1000
    assert cast.stat().st_size < 10_200


def test_a_recording_that_was_full_stays_full(record: Callable[..., Recording]) -> None:
    recording = record(limit=300)
    recording.output(b"x" * 100)
    recording.output(b"x" * 400)
    recording.close()
    again = record(limit=300)
    assert again.output_bytes == 100
    assert not again.output(b"y")


def test_after_a_crash_it_goes_on_in_the_same_file_at_the_right_time(
    record: Callable[..., Recording], cast: Path, clock: Clock
) -> None:
    clock.pass_(0.4)
    first = record(title="first")
    clock.pass_(0.25)
    first.output("☃1".encode())
    first.mark(1)
    clock.pass_(100)
    again = record(title="again")
    assert again.output_bytes == 4
    again.output(b"2")
    assert lines(cast)[0]["title"] == "first"
    assert shown(cast) == "☃12"
    assert sum(event[0] for event in lines(cast)[1:]) == pytest.approx(100.65)


def test_a_last_line_torn_anywhere_is_cut_off(record: Callable[..., Recording], cast: Path) -> None:
    recording = record()
    recording.output(b"one")
    before = cast.stat().st_size
    recording.output("two ☃".encode())
    content = cast.read_bytes()
    for size in range(before, len(content)):
        cast.write_bytes(content[:size])
        again = record()
        again.output(b"!")
        assert shown(cast) == "one!"
        again.close()


def test_blocks_the_disk_never_got_are_cut_off(record: Callable[..., Recording], cast: Path) -> None:
    record().output(b"one")
    cast.write_bytes(cast.read_bytes() + bytes(50) + b"\n")
    record().output(b"two")
    assert shown(cast) == "onetwo"


def test_a_torn_header_is_written_anew(record: Callable[..., Recording], cast: Path) -> None:
    cast.write_bytes(b'{"version":3,"te')
    record()
    assert lines(cast)[0]["version"] == 3


@pytest.mark.parametrize(
    "content", [b"hello\n", b"[]\n", b"{}\n", b'{"timestamp":1}\n[1,"o"]\n', b'{"timestamp":1}\n{}\n']
)
def test_a_file_that_is_no_recording_is_left_alone(
    record: Callable[..., Recording], cast: Path, content: bytes
) -> None:
    cast.write_bytes(content)
    with pytest.raises(RecordingError):
        record()
    assert cast.read_bytes() == content


def test_what_the_disk_took_only_in_part_is_taken_back(
    record: Callable[..., Recording], cast: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record()
    recording.output(b"one")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
        with pytest.raises(RecordingError, match="only 5 of"):
            recording.output(b"two")
    recording.output(b"three")
    assert shown(cast) == "onethree"


def test_a_disk_that_refuses_is_reported(
    record: Callable[..., Recording], cast: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record()

    def refuse(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name, act in [("write", lambda: recording.output(b"x")), ("fdatasync", recording.flush)]:
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(RecordingError, match="No space left"):
                act()
    with pytest.raises(RecordingError):
        Recording.open(cast / "below", 80, 24)
