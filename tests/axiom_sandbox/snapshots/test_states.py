"""Trees come back exactly as they were, and what has not changed is neither read nor stored again."""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import shutil
import stat
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.faults.parts import kills

from axiom_sandbox.snapshots import states
from axiom_sandbox.snapshots.chunks import MOST_BYTES, split
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.states import (
    Memory,
    State,
    StateLimits,
    put_in_place,
    read_state,
    take,
    write_state,
)

Look = dict[bytes, tuple[Any, ...]]


def look(root: Path) -> Look:
    """Everything that can be seen of a tree, by other means than those under test."""
    found: Look = {}
    groups: dict[tuple[int, int], bytes] = {}
    base = os.fsencode(root)
    for folder, directories, files in os.walk(base):
        directories.sort()
        for name in (b"", *directories, *sorted(files)):
            path = os.path.join(folder, name) if name else folder
            status = os.lstat(path)
            key = os.path.relpath(path, base)
            kind, mode = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
            if kind == stat.S_IFLNK:
                found[key] = (kind, os.readlink(path), status.st_mtime_ns)
            elif kind == stat.S_IFREG:
                group = groups.setdefault((status.st_dev, status.st_ino), key)
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
                found[key] = (kind, mode, status.st_mtime_ns, content, group, status.st_nlink)
            else:
                found[key] = (kind, mode, status.st_mtime_ns)
    return found


def restored(state: State, packs: Path, where: Path) -> Look:
    """By way of its file."""
    file = where.with_suffix(".tree")
    write_state(state, file)
    where.mkdir()
    put_in_place(read_state(file), packs, where)
    return look(where)


names = st.binary(min_size=1, max_size=12).filter(lambda name: name not in (b".", b"..")).map(
    lambda name: name.replace(b"/", b"\n").replace(b"\0", b"\xff")
) | st.sampled_from([b"n" * 255, b"a\nb", b"\xff\xfe", b"-rf", "é".encode(), b" "])
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["file", "sparse", "dir", "link", "hard", "chmod", "delete", "touch", "append", "rename"]
        ),
        st.integers(0, 30),
        names,
        st.binary(max_size=40),
        st.sampled_from([0o644, 0o755, 0o600, 0o444, 0o700, 0o751]),
    ),
    max_size=25,
)


def play(root: bytes, moves: list[tuple[str, int, bytes, bytes, int]]) -> None:
    """Does to a tree what can be done to it; what cannot is left."""
    for kind, which, name, data, mode in moves:
        directories = sorted(folder for folder, _, _ in os.walk(root))
        entries = sorted(os.path.join(d, n) for d, ds, fs in os.walk(root) for n in (*ds, *fs))
        target = os.path.join(directories[which % len(directories)], name)
        other = entries[which % len(entries)] if entries else None
        try:
            if kind in ("file", "sparse"):
                with open(target, "xb") as file:
                    file.write(data)
                    if kind == "sparse":
                        file.truncate(1 << 20)
                        file.seek(1 << 19)
                        file.write(data)
            elif kind == "dir":
                os.mkdir(target)
            elif kind == "link":
                os.symlink(data.replace(b"\0", b"x") or b"/", target)
            elif other and kind == "hard" and stat.S_ISREG(os.lstat(other).st_mode):
                os.link(other, target, follow_symlinks=False)
            elif other and kind == "chmod" and not os.path.islink(other):
                os.chmod(other, mode)
            elif other and kind == "delete":
                shutil.rmtree(other) if os.path.isdir(other) and not os.path.islink(other) else os.unlink(
                    other
                )
            elif other and kind == "touch":
                os.utime(other, ns=(which * 10**9, which * 10**9 + 1), follow_symlinks=False)
            elif other and kind == "append" and stat.S_ISREG(os.lstat(other).st_mode):
                with open(other, "ab") as file:
                    file.write(data)
            elif other and kind == "rename":
                os.rename(other, target)
        except OSError:
            continue


@settings(max_examples=kills(25), deadline=None)
@given(st.lists(steps, min_size=1, max_size=4))
def test_every_snapshot_of_a_tree_that_goes_on_changing_gives_back_that_moment(lives: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, packs, memory = folder / "root", folder / "packs", Memory()
        root.mkdir()
        moments: list[tuple[State, Look]] = []
        for moves in lives:
            play(os.fsencode(root), moves)
            seen = look(root)
            moments.append((take(root, packs, memory), seen))
            assert look(root) == seen, "taking one changes nothing"
        for number, (state, seen) in enumerate(moments):
            assert restored(state, packs, folder / f"again-{number}") == seen


def test_holes_stay_holes_and_large_files_keep_their_bytes(tmp_path: Path) -> None:
    root, chance = tmp_path / "root", random.Random(1)
    root.mkdir()
    (root / "large").write_bytes(chance.randbytes(9 * 2**20))
    with (root / "holes").open("wb") as file:
        file.truncate(2**26)
        file.seek(2**25)
        file.write(b"in the middle")
    seen = look(root)
    state = take(root, tmp_path / "packs", Memory())
    assert restored(state, tmp_path / "packs", tmp_path / "again") == seen
    assert (tmp_path / "again" / "holes").stat().st_blocks * 512 < 2**20
    assert sum(path.stat().st_size for path in (tmp_path / "packs").iterdir()) < 10 * 2**20


def test_an_insertion_costs_the_chunks_beside_it_and_a_copy_nothing(tmp_path: Path) -> None:
    root, chance, memory = tmp_path / "root", random.Random(2), Memory()
    root.mkdir()
    data = chance.randbytes(8 * 2**20)
    (root / "a").write_bytes(data)
    take(root, tmp_path / "packs", memory)
    (root / "a").write_bytes(data[:1000] + b"inserted" + data[1000:])
    (root / "b").write_bytes(data)
    second = take(root, tmp_path / "packs", memory)
    [pack] = second.new_packs
    assert pack.stat().st_size < 2**20
    assert restored(second, tmp_path / "packs", tmp_path / "again") == look(root)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 700_000), max_size=6))
def test_however_the_reading_is_cut_the_chunks_are_the_same(seed: int, cuts: list[int]) -> None:
    data = random.Random(seed).randbytes(1_500_000)
    whole = list(split(data, is_last=True))
    assert b"".join(whole) == data
    assert max(map(len, whole)) <= MOST_BYTES
    found, rest, at = [], b"", 0
    for end in [*sorted({min(cut, len(data)) for cut in cuts}), len(data)]:
        rest += data[at:end]
        at = end
        pieces = list(split(rest, is_last=end == len(data)))
        found += pieces
        rest = rest[sum(map(len, pieces)) :]
    assert found == whole


def test_what_is_unchanged_is_not_read_and_what_is_too_young_to_tell_is(tmp_path: Path) -> None:
    if states._is_in_memory(tmp_path):
        pytest.skip("a file system in memory, where everything is read")
    root, memory = tmp_path / "root", Memory()
    root.mkdir()
    old, young = root / "old", root / "young"
    old.write_bytes(b"1")
    while os.stat(old).st_ctime_ns > time.time_ns() - 100_000_000:
        pass
    young.write_bytes(b"1")
    take(root, tmp_path / "packs", memory)
    assert set(memory.seen) == {"old"}
    before = young.stat()
    with young.open("r+b") as file:
        file.write(b"2")
    os.utime(young, ns=(before.st_mtime_ns, before.st_mtime_ns))
    second = take(root, tmp_path / "packs", memory)
    assert (
        restored(second, tmp_path / "packs", tmp_path / "again")[b"young"][3]
        == hashlib.sha256(b"2").hexdigest()
    )


def test_a_file_that_was_dirty_by_a_memory_map_before_the_first_snapshot_is_read_again_once_it_changed(
    tmp_path: Path,
) -> None:
    if states._is_in_memory(tmp_path):
        pytest.skip("a file system in memory, where everything is read")
    root, memory = tmp_path / "root", Memory(quiet_ns=time.time_ns())
    root.mkdir()
    (root / "mapped").write_bytes(bytes(8192))
    with (root / "mapped").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = 1
        while os.stat(file.fileno()).st_ctime_ns > time.time_ns() - 100_000_000:
            pass
        take(root, tmp_path / "packs", memory)
        assert "mapped" in memory.seen
        mapped[0] = 2
        second = take(root, tmp_path / "packs", memory)
        assert restored(second, tmp_path / "packs", tmp_path / "again") == look(root)
        assert (tmp_path / "again" / "mapped").read_bytes()[0] == 2


def test_limits_are_said(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(5):
        (root / str(number)).write_bytes(b"x" * 5000)
    with pytest.raises(SnapshotError, match="more than 3 files"):
        take(root, tmp_path / "packs", Memory(), StateLimits(max_files=3))
    with pytest.raises(SnapshotError, match="hold more than 10,000 bytes"):
        take(root, tmp_path / "packs", Memory(), StateLimits(max_bytes=10_000))
    os.mkfifo(root / "pipe")
    state = take(root, tmp_path / "packs", Memory())
    assert state.left_out == ("pipe: neither file, directory nor symlink",)


@pytest.mark.parametrize(
    "path", ["../out", "a/../../out", "/out", "link/out", "a//b", "a", ""], ids=lambda path: path or "root"
)
def test_a_tree_that_leads_out_of_its_root_is_refused_before_anything_is_written(
    tmp_path: Path, path: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "z").write_bytes(b"z")
    state = take(root, tmp_path / "packs", Memory())
    *others, last = state.nodes
    bad = replace(state, nodes=(*others, replace(last, path=path)))
    (tmp_path / "again").mkdir()
    with pytest.raises(SnapshotError, match="refused"):
        put_in_place(bad, tmp_path / "packs", tmp_path / "again")
    assert not list((tmp_path / "again").iterdir())


def test_damage_is_noticed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"content" * 100)
    state = take(root, tmp_path / "packs", Memory())
    file = tmp_path / "tree"
    write_state(state, file)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(SnapshotError, match="cannot be read"):
        read_state(file)
    [pack] = state.new_packs
    pack.write_bytes(b"\0" * pack.stat().st_size)
    (tmp_path / "again").mkdir()
    with pytest.raises(SnapshotError, match="damaged"):
        put_in_place(state, tmp_path / "packs", tmp_path / "again")
