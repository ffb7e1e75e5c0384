"""Which statements are read out of an agent's last words."""

from __future__ import annotations

import pytest

from axiom_sandbox.drivers.statements import said_in_words
from axiom_sandbox.protocol.agents import StatementKind

WRITTEN, DELETED, RAN, PASS = (
    StatementKind.FILE_WRITTEN,
    StatementKind.FILE_DELETED,
    StatementKind.COMMAND_RAN,
    StatementKind.TESTS_PASS,
)


def stated(text: str) -> list[tuple[StatementKind, str]]:
    found = said_in_words(text, "/workspace")
    assert all(one.in_words for one in found)
    return [(one.kind, one.subject) for one in found]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I created `src/leap.py`.", [(WRITTEN, "src/leap.py")]),
        ("I've added a new file called src/leap.py and fixed it.", [(WRITTEN, "src/leap.py")]),
        ("Updated `/workspace/a.py` and `b.py`, and `c/d.md`.", [(WRITTEN, "a.py"), (WRITTEN, "b.py"), (WRITTEN, "c/d.md")]),
        ("Changed [src/leap.py](/workspace/src/leap.py#L3).", [(WRITTEN, "src/leap.py")]),
        ("`Makefile` was updated.", [(WRITTEN, "Makefile")]),
        ("**Files created:**\n\n- `a.py`: the rule\n- `b.py`\n\nThat is all.\n- `c.py`", [(WRITTEN, "a.py"), (WRITTEN, "b.py")]),
        ("I removed `old.py`. The file `older.py` has been deleted.", [(DELETED, "old.py"), (DELETED, "older.py")]),
        ("I ran `pytest -q` and it was fine.", [(RAN, "pytest -q")]),
        ("All tests pass. I then ran `ruff check .`", [(PASS, "All tests pass."), (RAN, "ruff check .")]),
    ],
)  # fmt: skip
def test_what_is_said_plainly_is_a_statement(text: str, wanted: list[tuple[StatementKind, str]]) -> None:
    assert stated(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "I did not create `src/leap.py`.",
        "You should create `src/leap.py`, then run `pytest`.",
        "I would have changed `a.py` if it had been there.",
        "I removed `os` from `a.py`, and `leap.py` from the list.",
        "I created a test for `leap.py`.",
        "Added `a.py` to the manifest.",
        "I fixed `leap.is_leap` and updated Node.js.",
        "See `src/leap.py` and run `pytest -q`.",
        "I read `a.py`; nobody wrote it.",
        "Please make sure that all tests pass.",
        "Tests pass only when `a.py` is there.",
        "Files to be changed:\n- `a.py`",
        "",
    ],
)
def test_what_is_denied_planned_or_about_something_else_is_none(text: str) -> None:
    assert stated(text) == []


def test_the_same_thing_is_stated_once_and_a_flood_is_cut() -> None:
    assert stated("I wrote `a.py`. I wrote `a.py`.") == [(WRITTEN, "a.py")]
    assert len(stated(" ".join(f"I wrote `a{n}.py`." for n in range(400)))) == 50


def test_a_text_made_to_be_slow_is_read_in_no_time() -> None:
    for text in (
        "created " * 12_000,
        "a/" * 50_000 + "b.py",
        "`" * 99_999,
        "- " * 50_000,
        "I ran the " * 9_000,
    ):
        assert stated(text) == []
