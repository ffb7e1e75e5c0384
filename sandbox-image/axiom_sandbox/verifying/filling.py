"""Putting versions of paths into the clean room, and looking at them afterwards. The I/O of verifying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from axiom_sandbox.protocol.changes import EntryKind
from axiom_sandbox.snapshots import Limits, Tree, clear
from axiom_sandbox.snapshots.paths import is_derived, printable
from axiom_sandbox.snapshots.trees import CHUNK_BYTES, Selection, copy_hashed, walk
from axiom_sandbox.snapshots.writing import Writer
from axiom_sandbox.verifying.judging import Guard, Source

_LOOK = Limits(max_files=1_000_000)


@dataclass(frozen=True)
class DirectoryFiles(Mapping[str, bytes]):
    """The files of a tree that lies in a directory which only we write, read when they are asked for."""

    tree: Tree
    root: Path
    over: DirectoryFiles | None = None
    """Files that lie elsewhere and belong to `tree`, too."""

    def place(self, path: str) -> Path:
        """Where a path of the tree really lies."""
        over = self.over
        return over.place(path) if over and path in over.tree.entries else self.root / path

    def __getitem__(self, path: str) -> bytes:
        entry = self.tree.entries[path]
        if entry.kind is not EntryKind.FILE:
            raise KeyError(path)
        return self.place(path).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return (path for path, entry in self.tree.entries.items() if entry.kind is EntryKind.FILE)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, path: object) -> bool:
        entry = self.tree.entries.get(path) if isinstance(path, str) else None
        return entry is not None and entry.kind is EntryKind.FILE


def fill(
    room: Path,
    layout: Mapping[str, Source],
    sides: Mapping[Source, DirectoryFiles],
    over: Mapping[str, bytes],
) -> None:
    """Empties the room's tree and puts the layout there, some files with another content. No process of the candidate may be
    alive.
    """
    clear(room)
    with Writer(room) as writer:
        for path, source in layout.items():
            side = sides[source]
            entry = side.tree.entries[path]
            if entry.kind is EntryKind.SYMLINK:
                writer.symlink(path, entry.target)
            else:
                content = (over[path],) if path in over else _chunks(side.place(path))
                writer.file(path, content, executable=entry.executable)
        for path in sides[Source.BASE].tree.empty_directories:
            prefixes = {path[:at] for at, char in enumerate(path) if char == "/"} | {path}
            if prefixes.isdisjoint(layout):
                writer.directory(path)


def altered(room: Path, base: Tree, guard: Guard) -> tuple[str, ...]:
    """Guarded paths of the room that are no longer as the base has them, or that should not be there at all."""
    found = walk(
        room,
        _LOOK,
        copy_hashed,
        Selection(wants=lambda path, is_directory: _looks(path, is_directory, guard)),
    )
    expected = {
        path: entry for path, entry in base.entries.items() if guard.covers(path) and not is_derived(path)
    }
    changed = [path for path, entry in expected.items() if found.entries.get(path) != entry]
    new = [path for path in found.entries if path not in base.entries and guard.forbids(path)]
    return tuple(sorted(printable(path) for path in [*changed, *new]))


def _looks(path: str, is_directory: bool, guard: Guard) -> bool:
    return not is_derived(path) and (is_directory or guard.covers(path))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
