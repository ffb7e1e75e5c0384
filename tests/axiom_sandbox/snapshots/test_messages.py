"""Code that stands in a message: how blocks name their files, what is no file, and what is not taken over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.protocol.changes import ChangeKind, Entry, EntryKind
from axiom_sandbox.snapshots import apply_changes, pack, read_tree, unpack
from axiom_sandbox.snapshots.captures import capture_files
from axiom_sandbox.snapshots.messages import MAX_FILES, Given, code_in, placed
from axiom_sandbox.snapshots.paths import check_path


def block(info: str, *lines: str, fence: str = "```") -> str:
    return "\n".join([f"{fence}{info}", *lines, fence])


def files(message: str, path: str = "") -> dict[str, str]:
    return {name: content.decode() for name, content in code_in(message, path).files.items()}


NAMED = [
    block("python src/leap.py", "x = 1"),
    block("python ./src/leap.py", "x = 1"),
    block("python /workspace/src/leap.py", "x = 1"),
    block("python:src/leap.py", "x = 1"),
    block("src/leap.py", "x = 1"),
    block('python title="src/leap.py"', "x = 1"),
    block("python {path=src/leap.py}", "x = 1"),
    block("py filename='src/leap.py' linenos", "x = 1"),
    block("python src/leap.py (new)", "x = 1"),
    block("python", "# src/leap.py", "x = 1"),
    block("", "// file: src/leap.py", "x = 1"),
    block("html", "<!-- src/leap.py -->", "x = 1"),
    block("python src/leap.py", "x = 1", fence="~~~~"),
    "Here it is:\n\n  " + block("python src/leap.py", "  x = 1", "  ").replace("\n```", "\n  ```"),
    block("python src/leap.py", "x = 1").replace("\n", "\r\n"),
]  # fmt: skip


@pytest.mark.parametrize("message", NAMED)
def test_a_block_names_its_file(message: str) -> None:
    given = code_in(f"Done.\n\n{message}\n\nThat is all.")
    assert {path: content.strip() for path, content in given.files.items()} == {"src/leap.py": b"x = 1"}
    assert given.findings == ()


@pytest.mark.parametrize(
    "message",
    [
        "no code at all",
        block("python", "x = 1"),
        block("python", "# leap years are rare", "x = 1"),
        block("python", "#!/usr/bin/python3", "x = 1"),
        block("python", "# https://example.org/leap.py", "x = 1"),
        block("sh", "$ python3 src/leap.py"),
        block("console", "src/leap.py  | 3 +++"),
        block("python linenos=1", "x = 1"),
        "inline ```python src/leap.py``` code",
        "    ```python src/leap.py\n    x = 1\n    ```",
    ],
)
def test_what_names_no_file_is_an_illustration(message: str) -> None:
    assert code_in(message) == Given({})


def test_a_block_that_names_none_is_the_file_that_the_task_names() -> None:
    assert files(block("python", "x = 1"), "src/leap.py") == {"src/leap.py": "x = 1\n"}
    assert files(block("", "x = 1"), "src/leap.py") == {"src/leap.py": "x = 1\n"}
    usage = block("sh", "python3 src/leap.py")
    assert files(f"{block('py', 'x = 1')}\n{usage}", "src/leap.py") == {"src/leap.py": "x = 1\n"}
    named = block("python src/leap.py", "x = 2")
    assert files(f"{block('py', 'x = 1')}\n{named}", "src/leap.py") == {"src/leap.py": "x = 2\n"}


def test_several_blocks_that_name_none_are_not_guessed_at() -> None:
    given = code_in(f"{block('py', 'x = 1')}\n{block('py', 'x = 2')}", "leap.py")
    assert given.files == {}
    assert [(one.path, one.reason) for one in given.findings] == [
        ("leap.py", "is given by 2 blocks that name no file")
    ]


def test_the_last_block_of_a_file_counts_and_longer_fences_hold_shorter_ones() -> None:
    assert files(f"{block('py a.py', '1')}\n{block('py a.py', '2')}") == {"a.py": "2\n"}
    inner = block("md README.md", "```sh", "make", "```", fence="````")
    assert files(inner) == {"README.md": "```sh\nmake\n```\n"}
    assert files(block("py empty.py")) == {"empty.py": ""}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../evil.py", "is not a path inside the workspace"),
        ("/etc/evil.py", "is not a path inside the workspace"),
        ("a/../../evil.py", "is not a path inside the workspace"),
        ("a//b.py", "is not a path inside the workspace"),
        (".git/hooks/pre-commit.py", "is never part of a result"),
        ("x/.git/config.py", "is never part of a result"),
        ("__pycache__/a.pyc", "is never part of a result"),
    ],
)
def test_a_path_that_no_capture_takes_over_is_a_finding(path: str, reason: str) -> None:
    given = code_in(block(f"py path={path}", "x = 1"))
    assert given.files == {}
    assert [(one.path, one.reason) for one in given.findings] == [(path, reason)]


def test_a_block_that_does_not_end_or_lost_its_middle_is_a_finding() -> None:
    assert [one.reason for one in code_in("```py a.py\nx = 1").findings] == [
        "is given by a block that does not end"
    ]
    cut = block("py a.py", "x = 1", "[… 70,000 characters …]", "y = 1")
    assert [one.reason for one in code_in(cut).findings] == ["is given by a block that lost its middle"]


def test_of_a_message_without_its_beginning_a_closing_fence_opens_nothing() -> None:
    tail = f"x = 0\n```\n\nAnd:\n{block('py a.py', 'x = 1')}"
    assert files(tail) == {}
    assert code_in(tail, is_tail=True).files == {"a.py": b"x = 1\n"}


def test_files_have_room_in_the_base_or_are_findings() -> None:
    base = {
        "src/leap.py": Entry("src/leap.py", EntryKind.FILE),
        "link": Entry("link", EntryKind.SYMLINK, target="src"),
    }
    given = Given(
        {"src": b"", "link/a.py": b"", "src/leap.py/b": b"", "new": b"", "new/c": b"", "link": b"x"}
    )
    found = placed(given, base)
    assert set(found.files) == {"link", "new"}
    assert {one.path: one.reason for one in found.findings} == {
        "src": "is a folder",
        "link/a.py": "lies below link, which is no folder",
        "src/leap.py/b": "lies below src/leap.py, which is no folder",
        "new/c": "lies below new, which is no folder",
    }


def test_there_is_an_end_to_files() -> None:
    given = code_in("\n".join(block(f"py f{n}.py", "x") for n in range(MAX_FILES + 2)))
    assert len(given.files) == MAX_FILES
    assert "only the first 1000 are taken over" in given.findings[0].reason


def test_the_files_are_laid_over_the_base_as_a_capture_would_have_them(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    source.mkdir()
    (source / "run").write_text("old")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("run")
    (source / "same").write_text("same\n")
    pack(source, tmp_path / "base.tar.zst")
    base = read_tree(tmp_path / "base.tar.zst")
    given = {"run": b"new\n", "link": b"file\n", "same": b"same\n", "tool": b"#!/bin/sh\n", "a/b.py": b"x\n"}
    result = capture_files(base, given, (), tmp_path / "out")
    unpack(tmp_path / "base.tar.zst", root)
    changes = apply_changes(result.archive, root)
    assert {one.path: one.kind for one in changes.changes} == {
        "run": ChangeKind.MODIFIED,
        "link": ChangeKind.MODIFIED,
        "tool": ChangeKind.ADDED,
        "a/b.py": ChangeKind.ADDED,
    }
    assert {path: (root / path).read_bytes() for path in given} == given
    assert not (root / "link").is_symlink()
    assert [(root / path).stat().st_mode & 0o100 for path in ("run", "link", "tool", "a/b.py")] == [
        0o100,
        0,
        0o100,
        0,
    ]


pieces = st.sampled_from(
    ["```", "~~~", "`", "py ", "a.py", "../x", "/", ":", "path=", "\n", "# ", " ", ".git/", "x", "\0", "é"]
)


@given(st.lists(pieces, max_size=60).map("".join), st.booleans())
def test_whatever_the_message_its_files_lie_inside_the_workspace(message: str, is_tail: bool) -> None:
    for path in code_in(message, "default.py", is_tail=is_tail).files:
        assert check_path(path) == path
        assert ".git" not in path.split("/")
