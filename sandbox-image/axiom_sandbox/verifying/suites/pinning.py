"""Which files of a test run are the base's, whatever the agent did to them. Pure.

Pinned are: the files that the criterion's ids name; everything in directories of tests, by the names that the runner's
`Conventions` give, that hold tests; files named like tests; other people's code that lies in the workspace; and what
configures or hooks into a run, wherever it lies. The base's versions are put back. What the agent added is left out where
it could take part unasked: in those directories, and configuration.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from axiom_sandbox.protocol.changes import Changes, EntryKind
from axiom_sandbox.snapshots.paths import is_derived, printable
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.verifying.judging import Source


@dataclass(frozen=True)
class Conventions:
    """What tests, and what steers them, are called by those who use a runner."""

    is_test: Callable[[str], bool]
    """Whether a path is taken for tests by its name."""
    settings: frozenset[str]
    """Names of files that configure the runner or the language, or run before or beside the tests."""
    endings: tuple[str, ...] = ()
    """Ends of such names."""
    folders: frozenset[str] = frozenset({"test", "tests"})
    """Names, in small letters, of directories that belong to tests where they hold some."""
    owned: frozenset[str] = frozenset()
    """Names of directories that are the base's wherever they lie."""
    code: tuple[str, ...] = (".py",)
    """Ends of the names of the language's code."""

    def steers(self, path: str) -> bool:
        """Whether a file configures or hooks into a run."""
        return name_of(path) in self.settings or path.endswith(self.endings)

    def is_settings(self, path: str) -> bool:
        """Whether a file configures something, and is no code."""
        return name_of(path) in self.settings and not path.endswith(self.code)


@dataclass(frozen=True)
class Pins:
    """The pinned part of a workspace."""

    folders: frozenset[str]
    files: frozenset[str]
    conventions: Conventions

    def covers(self, path: str) -> bool:
        """Whether a path of the base is put back as it was."""
        return path in self.files or self.leaves_out(path) or self.conventions.is_test(path)

    def leaves_out(self, path: str) -> bool:
        """Whether a path that the base does not have stays away."""
        return self.conventions.steers(path) or any(map(self._is_pinned, parents(path)))

    def forbids(self, path: str) -> bool:
        """Whether a path that appears during a run shows that somebody meddles with it. Tests may write files."""
        return self.conventions.steers(path)

    def _is_pinned(self, folder: str) -> bool:
        return folder in self.folders or name_of(folder) in self.conventions.owned


def pins_of(
    base: Tree, test_ids: Iterable[str], conventions: Conventions, others: Iterable[str] = ()
) -> Pins:
    """The pinned part, as the base and the ids that a criterion names determine it.

    Args:
        conventions: those of the runner.
        others: files that are pinned whatever they are called.
    """
    named = {*others, *(test_id.partition("::")[0] for test_id in test_ids)}
    tests = [
        path
        for path in base.entries
        if path in named or conventions.is_test(path) or name_of(path) == "conftest.py"
    ]
    folders = {
        parent for path in tests for parent in parents(path) if name_of(parent).lower() in conventions.folders
    }
    pins = Pins(frozenset(folders), frozenset(named), conventions)
    targets = set(_link_targets(base, pins))
    return Pins(pins.folders | targets, pins.files | targets, conventions)


def layout_of(base: Tree, candidate: Tree, pins: Pins) -> dict[str, Source]:
    """The candidate with the pinned part of the base."""
    restored = {path for path in base.entries if pins.covers(path) and not is_derived(path)}
    in_the_way = {parent for path in restored for parent in parents(path)}
    found = dict.fromkeys(restored, Source.BASE)
    for path in candidate.entries:
        pinned = path in restored or (path not in base.entries and pins.leaves_out(path))
        blocked = path in in_the_way or any(parent in restored for parent in parents(path))
        if not pinned and not blocked and not is_derived(path):
            found[path] = Source.CANDIDATE
    return dict(sorted(found.items(), key=lambda item: os.fsencode(item[0])))


def disregarded(base: Tree, changes: Changes, pins: Pins) -> list[str]:
    """The agent's changes that a run does not see, as they can be shown."""
    return [
        printable(change.path)
        for change in changes.changes
        if (pins.covers(change.path) if change.path in base.entries else pins.leaves_out(change.path))
    ]


def parents(path: str) -> Iterator[str]:
    """`a/b/c` → `a`, `a/b`."""
    return (path[:at] for at, char in enumerate(path) if char == "/")


def name_of(path: str) -> str:
    """`a/b` → `b`."""
    return path.rpartition("/")[2]


def _link_targets(base: Tree, pins: Pins) -> Iterator[str]:
    for path, entry in base.entries.items():
        if entry.kind is EntryKind.SYMLINK and pins.covers(path):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.target))
            if target != ".":
                yield target
