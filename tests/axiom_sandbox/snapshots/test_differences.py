"""What two snapshots differ in: patches that make the second of the first, and rows that leave nothing out."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.axiom_sandbox.snapshots.strategies import build, trees

from axiom_sandbox.snapshots.differences import (
    MOST_FILE_BYTES,
    Difference,
    Side,
    compare,
    content_of,
    patch,
    shown,
)
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.lines import Effort, hunks
from axiom_sandbox.snapshots.packs import Reader
from axiom_sandbox.snapshots.states import Memory, Node, State, put_in_place, take


def patch_of(one: State, other: State, packs: Path) -> bytes:
    differences = compare(one, other)
    with Reader(packs, {**one.chunks, **other.chunks}) as reader:
        chunk = reader.unpacking()
        return b"".join(patch(differences, shown(differences), lambda node: content_of(node, chunk)))


def apply(patch: bytes, tree: Path) -> None:
    if b"\ndiff --git " in b"\n" + patch:
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"],
            cwd=tree, input=patch, check=True, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip


def for_git(root: Path) -> dict[str, tuple[object, ...]]:
    """What a patch can hold of a tree, by other means than those under test."""
    found: dict[str, tuple[object, ...]] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_file():
            found[name] = ("file", bool(path.stat().st_mode & 0o100), path.read_bytes())
    return found


@given(before=trees(), after=trees())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_git_apply_makes_the_second_of_the_first(tmp_path_factory, before, after) -> None:
    loops = [path for path, what in before.items() if isinstance(what, str)]
    assume(
        not any(path.startswith(f"{loop}/") for path in after for loop in loops)
    )  # git apply looks through the link
    folder, memory = tmp_path_factory.mktemp("t"), Memory()
    one = take(build(folder / "before", before), folder / "packs", memory)
    other = take(build(folder / "after", after), folder / "packs", memory)
    (folder / "tree").mkdir()
    put_in_place(one, folder / "packs", folder / "tree")
    apply(patch_of(one, other, folder / "packs"), folder / "tree")
    assert for_git(folder / "tree") == for_git(folder / "after")


lines = st.lists(
    st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\n", b"\xff\n", b"x" * 30 + b"\n"]), max_size=60
)


@given(lines, lines, st.booleans())
@settings(max_examples=60, deadline=None)
def test_hunks_say_what_both_texts_are(before: list[bytes], after: list[bytes], cut: bool) -> None:
    one, other = b"".join(before), b"".join(after)
    other = other.rstrip(b"\n") if cut else other
    left, right, at = [], [], 0
    old = one.split(b"\n")
    for line in b"".join(hunks(one, other, Effort())).split(b"\n"):
        if line.startswith(b"@@"):
            first, _, count = line.split()[1][1:].partition(b",")
            begin = int(first) - (count != b"0")
            left += old[at:begin]
            right += old[at:begin]
            at = begin
        elif line.startswith(b"\\"):
            continue
        elif line[:1] in (b" ", b"-", b"+"):
            left += [line[1:]] * (line[:1] != b"+")
            right += [line[1:]] * (line[:1] != b"-")
            at += line[:1] != b"+"
    rest = old[at:]
    assert b"\n".join(left + rest).rstrip(b"\n") == one.rstrip(b"\n")
    assert b"\n".join(right + rest).rstrip(b"\n") == other.rstrip(b"\n")


def test_texts_that_cost_too_much_are_shown_as_replaced() -> None:
    chance = random.Random(1)
    one, other = (b"".join(b"%d\n" % chance.randrange(40) for _ in range(400)) for _ in range(2))
    effort = Effort(left=1_000)
    found = b"".join(hunks(one, other, effort)).split(b"\n")
    assert found[0] == b"@@ -1,400 +1,400 @@"
    assert effort.left > -10_000, "it stops soon"
    assert [line[1:] for line in found if line.startswith(b"-")] == one.split(b"\n")[:-1]


def both(tmp_path: Path) -> tuple[State, State]:
    """All that a patch cannot hold, and some of what it can."""
    root, memory = tmp_path / "root", Memory()
    root.mkdir()
    for name in ("same", "mode", "x", "content", "touched", "gone", "becomes-link", "one", "two"):
        (root / name).write_bytes(b"content of " + name.encode() + b"\n")
        (root / name).chmod(0o644)
        os.utime(root / name, ns=(1, 1))
    (root / "empty").mkdir()
    (root / ".git").mkdir()
    (root / "link").symlink_to("same")
    (root / "large").write_bytes(bytes(MOST_FILE_BYTES + 1))
    one = take(root, tmp_path / "packs", memory)
    (root / "mode").chmod(0o600)
    (root / "x").chmod(0o755)
    (root / "content").write_bytes(b"other\0\n")
    os.utime(root / "touched", ns=(2, 2))
    (root / "gone").unlink()
    (root / "becomes-link").unlink()
    (root / "becomes-link").symlink_to("x")
    (root / "two").unlink()
    os.link(root / "one", root / "two")
    shutil.rmtree(root / "empty")
    (root / "new").mkdir(mode=0o700)
    (root / "link").unlink()
    (root / "link").symlink_to("/elsewhere")
    (root / ".git" / "HEAD").write_bytes(b"x")
    (root / "large").write_bytes(b"small now\n")
    return one, take(root, tmp_path / "packs", memory)


def test_rows_name_all_that_differs(tmp_path: Path) -> None:
    one, other = both(tmp_path)
    found = {row.path: row for row in compare(one, other)}

    def said(path: str) -> tuple[str, tuple[str, ...]]:
        return found[path].change, found[path].what

    assert "same" not in found
    assert said("mode") == ("changed", ("mode",))
    assert said("content") == ("changed", ("content",))
    assert said("touched") == ("touched", ("time",))
    assert said("gone") == ("deleted", ())
    assert said("becomes-link") == ("changed", ("kind",))
    assert said("link") == ("changed", ("target",))
    assert said("two") == ("changed", ("content", "links"))
    assert said("empty") == ("deleted", ())
    assert said("new") == ("added", ())
    assert said(".git/HEAD") == ("added", ())
    assert found["two"].row() == {
        "path": "two", "change": "changed", "what": ["content", "links"],
        "before": {"kind": "file", "mode": "0644", "size": 15},
        "after": {"kind": "file", "mode": "0644", "size": 15, "linkTo": "one"},
    }  # fmt: skip
    assert compare(one, one) == []


def test_a_patch_names_what_it_cannot_hold_and_has_the_rest(tmp_path: Path) -> None:
    one, other = both(tmp_path)
    text = patch_of(one, other, tmp_path / "packs")
    notes = [line for line in text.decode().splitlines() if line.startswith("# ")]
    assert notes == [
        "# not shown: 1 paths of .git",
        "# deleted directory 'empty'",
        "# not shown, as too large: 'large'",
        "# mode of 'mode': 0644 → 0600",
        "# added directory 'new'",
    ]
    (tmp_path / "tree").mkdir()
    put_in_place(one, tmp_path / "packs", tmp_path / "tree")
    apply(text, tmp_path / "tree")
    made, wanted = for_git(tmp_path / "tree"), for_git(tmp_path / "root")
    assert {path for path in {*made, *wanted} if made.get(path) != wanted.get(path)} == {
        ".git/HEAD",
        "large",
    }


@pytest.mark.parametrize("name", ["a b", '\udcff\n\t"\\', " lead", "n" * 255, "ü", "x b", "-"])
def test_odd_names_come_through_git(tmp_path: Path, name: str) -> None:
    root, memory = tmp_path / "root", Memory()
    root.mkdir()
    one = take(root, tmp_path / "packs", memory)
    for content in (b"", b"text\n", b"\0binary"):
        (root / name).write_bytes(content)
        other = take(root, tmp_path / "packs", memory)
        tree = tmp_path / f"tree-{len(content)}"
        tree.mkdir()
        put_in_place(one, tmp_path / "packs", tree)
        apply(patch_of(one, other, tmp_path / "packs"), tree)
        assert for_git(tree) == {name: ("file", False, content)}


def test_only_so_much_is_shown() -> None:
    def added(path: str, size: int) -> Difference:
        return Difference(path, None, Side(Node(path, "f", 0o644, size=size)))

    rows = [*(added(str(number), MOST_FILE_BYTES) for number in range(5)), added("small", 10)]
    assert shown(rows) == {"0", "1", "2", "3"}
    assert shown([added("large", MOST_FILE_BYTES + 1), added("small", 10)]) == {"small"}
    text = b"".join(patch(rows, set(), lambda node: b""))
    assert text.startswith(b"# not shown, as too large: '0'\n")


def test_chunks_that_do_not_fit_are_refused() -> None:
    node = Node("a", "f", size=4, extents=((0, 4),), chunks=("x", "y"))
    with pytest.raises(SnapshotError, match="do not fit"):
        content_of(node, {"x": b"abc", "y": b"defg"}.__getitem__)
    with pytest.raises(SnapshotError, match="do not fit"):
        content_of(node, {"x": b"abc"}.__getitem__)
