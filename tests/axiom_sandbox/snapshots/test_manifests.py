"""The list of changes is read as it was written, whatever the pieces, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.protocol.changes import Change, ChangeKind, Changes, Entry, EntryKind, Finding
from axiom_sandbox.snapshots.manifests import read, written

NAMES = st.text(st.characters(exclude_categories=()), min_size=1, max_size=20)
ENTRIES = st.builds(
    Entry,
    path=NAMES,
    kind=st.sampled_from(EntryKind),
    size=st.integers(0, 2**40),
    digest=st.just("0" * 64),
    target=NAMES,
)
LISTS = st.builds(
    Changes,
    base=st.just("b" * 64),
    changes=st.lists(
        st.builds(Change, path=NAMES, kind=st.sampled_from(ChangeKind), entry=st.none() | ENTRIES)
    ).map(tuple),
    findings=st.lists(st.builds(Finding, path=NAMES, reason=NAMES)).map(tuple),
)


@given(changes=LISTS, size=st.integers(1, 50))
def test_what_was_written_is_read_from_pieces_of_any_size(changes: Changes, size: int) -> None:
    text = b"".join(written(changes))
    assert read(text[at : at + size] for at in range(0, len(text), size)) == changes
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")).encode()


GOOD = b'{"base":"b","changes":[],"findings":[{"path":"p","reason":"r"}]}'


@pytest.mark.parametrize(
    "text",
    [
        b"",
        GOOD[:-1],
        GOOD + b" ",
        GOOD.replace(b'"path"', b'"what"'),
        b"[]",
        GOOD.replace(b"[]", b"[1]"),
        b"\xff" + GOOD,
    ],
)
def test_anything_else_is_refused(text: bytes) -> None:
    assert read([GOOD]).findings == (Finding("p", "r"),)
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        read([text])
