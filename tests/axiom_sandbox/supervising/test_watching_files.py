"""Files of a workspace as they change, also where whoever changes them means ill."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axiom_sandbox.protocol.changes import ChangeKind
from axiom_sandbox.protocol.events import Event, FileChange, FilesChanged, Gap
from axiom_sandbox.supervising import looking
from axiom_sandbox.supervising.inotify import Inotify
from axiom_sandbox.supervising.looking import Looker
from axiom_sandbox.supervising.watching_files import Allowance, FileWatch

PATIENCE = 60
A, M, D = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.DELETED


class Watched:
    """A workspace and what was told of it."""

    def __init__(self, root: Path, allowance: Allowance | None = None) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.events: list[Event] = []
        self.watch = FileWatch(root, self._record, allowance)

    async def _record(self, event: Event) -> int:
        self.events.append(event)
        return len(self.events)

    @property
    def changes(self) -> list[FileChange]:
        return [one for event in self.events if isinstance(event, FilesChanged) for one in event.changes]

    @property
    def told(self) -> list[tuple[str, ChangeKind]]:
        return [(change.path, change.kind) for change in self.changes]

    @property
    def gaps(self) -> list[Gap]:
        return [event for event in self.events if isinstance(event, Gap)]

    @property
    def there(self) -> set[str]:
        """What is there, by what was told of a workspace that began empty."""
        paths = set[str]()
        for change in self.changes:
            (paths.discard if change.kind is D else paths.add)(change.path)
        return paths

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not wanted():
                await asyncio.sleep(0.01)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    made = Watched(tmp_path / "workspace")
    (made.root / "base").write_text("base")
    await made.watch.begin()
    yield made
    await made.watch.close()


def files_of(root: Path) -> set[str]:
    return {
        os.fsencode(Path(folder, name).relative_to(root)).decode("utf-8", "backslashreplace")
        for folder, folders, names in os.walk(root)
        for name in (*names, *folders)
        if not Path(folder, name).is_dir() or Path(folder, name).is_symlink()
    }


async def test_each_change_is_told_as_it_happens_with_digest_and_size(watched: Watched) -> None:
    file = watched.root / "a"
    file.write_text("one")
    await watched.until(lambda: ("a", A) in watched.told)
    [change] = watched.changes
    assert (change.size, change.digest) == (3, hashlib.sha256(b"one").hexdigest())
    file.write_text("other")
    await watched.until(lambda: ("a", M) in watched.told)
    assert watched.changes[-1].digest == hashlib.sha256(b"other").hexdigest()
    file.unlink()
    await watched.until(lambda: ("a", D) in watched.told)
    assert "base" not in dict(watched.told)


async def test_what_has_happened_is_told_at_once_to_who_asks_and_waits_no_longer_than_asked(
    watched: Watched,
) -> None:
    for number in range(20):
        (watched.root / f"new{number}").mkdir()
        (watched.root / f"new{number}/a").write_text("one")
        await watched.watch.catch_up(PATIENCE)
        assert (f"new{number}/a", A) in watched.told
    (watched.root / "late").write_text("one")
    await watched.watch.catch_up(0)
    await watched.until(lambda: ("late", A) in watched.told)


async def test_what_could_not_be_listed_is_told_at_once_to_who_asks(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "workspace", Allowance(most=2, per_second=0))
    await watched.watch.begin()
    for number in range(5):
        (watched.root / f"t{number}").write_text("x")
    await watched.watch.catch_up(PATIENCE)
    assert (len(watched.changes), [gap.size for gap in watched.gaps]) == (2, [3])
    await watched.watch.close()


async def test_what_happens_in_new_and_moved_folders_is_told(watched: Watched) -> None:
    (watched.root / "one/two").mkdir(parents=True)
    (watched.root / "one/two/a").touch()
    await watched.until(lambda: ("one/two/a", A) in watched.told)
    (watched.root / "one").rename(watched.root / "moved")
    await watched.until(lambda: {("one/two/a", D), ("moved/two/a", A)} <= set(watched.told))
    (watched.root / "moved/two/b").touch()
    await watched.until(lambda: ("moved/two/b", A) in watched.told)


async def test_a_file_that_is_written_without_end_is_told_of_now_and_then(watched: Watched) -> None:
    with (watched.root / "log").open("w") as log:
        for _ in range(500):
            log.write("x" * 100)
            log.flush()
            await asyncio.sleep(0)
    await watched.until(lambda: any(change.size == 50_000 for change in watched.changes))
    assert len(watched.changes) < 200


async def test_files_that_came_and_went_are_counted(watched: Watched) -> None:
    for number in range(50):
        (watched.root / f"t{number}").touch()
        (watched.root / f"t{number}").unlink()
    await watched.watch.settle()
    passing = sum(event.passing for event in watched.events if isinstance(event, FilesChanged))
    assert passing + len([one for one in watched.told if one[1] is A]) == 50


async def test_symlinks_are_told_and_never_followed(watched: Watched, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (watched.root / "link").symlink_to(outside)
    (watched.root / "folder").mkdir()
    await watched.watch.settle()
    (watched.root / "folder").rmdir()
    (watched.root / "folder").symlink_to(outside)
    (outside / "secret").write_text("x")
    await watched.watch.settle()
    (outside / "another").write_text("x")
    await watched.watch.settle()
    assert sorted(watched.told) == [("folder", A), ("link", A)]
    assert watched.changes[0].target == str(outside)
    assert watched.changes[0].digest == ""


async def test_names_that_are_no_utf_8_and_special_files_are_told(watched: Watched) -> None:
    (watched.root / os.fsdecode(b"\xff\n")).touch()
    os.mkfifo(watched.root / "fifo")
    await watched.watch.settle()
    assert sorted(watched.told) == [("\\xff\n", A), ("fifo", A)]


async def test_deep_folders_are_told_of_as_far_as_the_limit_and_the_rest_is_a_gap(watched: Watched) -> None:
    descriptor = os.open(watched.root, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d" * 50, dir_fd=descriptor)
        below = os.open("d" * 50, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    await watched.watch.settle()
    assert len(watched.changes) == looking.MOST_DEPTH
    assert "beyond the limits" in watched.gaps[0].reason
    await watched.watch.settle()
    assert len(watched.gaps) == 1, "it is told once"


async def test_more_changes_than_may_be_listed_are_counted_in_a_gap(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "workspace", Allowance(most=100, per_second=0))
    await watched.watch.begin()
    for number in range(1000):
        (watched.root / str(number)).touch()
    await watched.watch.settle()
    await watched.watch.close()
    assert len(watched.changes) == 100
    assert sum(gap.size for gap in watched.gaps) == 900


async def test_a_storm_of_renames_comes_out_right(watched: Watched) -> None:
    chance = random.Random(7)
    (watched.root / "base").unlink()
    for number in range(20):
        (watched.root / f"d{number}").mkdir()
        (watched.root / f"d{number}/f").write_text(str(number))
    for step in range(600):
        folders = [path for path in watched.root.iterdir() if path.is_dir()]
        moved, into = chance.choice(folders), chance.choice(folders)
        target = (into if moved != into and chance.random() < 0.3 else watched.root) / f"n{step}"
        moved.rename(target)
        if step % 50 == 0:
            await asyncio.sleep(0.01)
    await watched.watch.settle()
    assert watched.there | {"base"} == files_of(watched.root) | {"base"}
    assert not watched.gaps


async def test_without_news_of_the_kernel_everything_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Inotify) -> None:
        raise OSError(24, "no more")

    monkeypatch.setattr(Inotify, "__init__", refuse)
    monkeypatch.setattr("axiom_sandbox.supervising.watching_files._WITHOUT_NEWS_SECONDS", 0.05)
    watched = Watched(tmp_path / "workspace")
    await watched.watch.begin()
    (watched.root / "a").touch()
    await watched.until(lambda: ("a", A) in watched.told)
    await watched.watch.close()


def test_a_file_that_comes_back_as_it_was_is_told_again(tmp_path: Path) -> None:
    looker = Looker(tmp_path, None)
    looker.begin()
    (tmp_path / "a").write_text("a")
    assert [change.kind for change in looker.look_everywhere().changes] == [A]
    (tmp_path / "a").unlink()
    assert [change.kind for change in looker.look_everywhere().changes] == [D]
    (tmp_path / "a").write_text("a")
    assert [change.kind for change in looker.look_everywhere().changes] == [A]


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["write", "unlink", "rename", "mkdir", "rmdir", "link", "chmod"]),
        st.sampled_from(["a", "b", "d/a", "d/e/a", "d", "d/e"]),
        st.sampled_from(["a", "b", "d/a", "d/e/a", "d", "d/e"]),
    ),
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(MOVES, st.data())
def test_what_was_told_is_what_is_there(moves: list[tuple[str, str, str]], data: st.DataObject) -> None:
    """Whatever is done, and whenever somebody looks."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        looker, there = Looker(root, None), dict[str, str]()
        looker.begin()
        for what, one, other in moves:
            do(root, what, one, other)
            if data.draw(st.booleans()):
                apply(looker, there)
        apply(looker, there)
        assert there == {
            path: "" if (root / path).is_symlink() else digest_of(root / path) for path in files_of(root)
        }


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def apply(looker: Looker, there: dict[str, str]) -> None:
    for change in looker.look_everywhere().changes:
        if change.kind is D:
            del there[change.path]
        else:
            assert (change.path in there) == (change.kind is M)
            there[change.path] = change.digest


def do(root: Path, what: str, one: str, other: str) -> None:
    path, second = root / one, root / other
    try:
        match what:
            case "write":
                path.write_text(other)
            case "unlink":
                path.unlink()
            case "rename":
                path.rename(second)
            case "mkdir":
                path.mkdir()
            case "rmdir":
                path.rmdir()
            case "link":
                path.symlink_to(other)
            case _:
                path.chmod(0o755 if one < other else 0o644, follow_symlinks=True)
    except OSError:
        pass  # it does not fit what is there
