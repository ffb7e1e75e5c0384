"""Which files of a test run are the base's, whatever the agent did to them. Pure.

Pinned are: the files that the criterion's ids name; everything in directories called `test` or `tests` that hold
tests; files named like tests; and what configures or hooks into a run, wherever it lies. The base's versions are put
back. What the agent added is left out where it could take part unasked: in those directories, and configuration.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from axiom_sandbox.protocol.changes import Changes, EntryKind
from axiom_sandbox.snapshots.paths import is_derived, printable
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.verifying.judging import Source

SETTINGS = frozenset(
    {
        "conftest.py",
        "pytest.toml",
        ".pytest.toml",
        "pytest.ini",
        ".pytest.ini",
        "pyproject.toml",
        "tox.ini",
        "setup.cfg",
        "sitecustomize.py",
        "usercustomize.py",
    }
)
"""Names of files that steer pytest or Python before or beside the tests."""
_FOLDERS = frozenset({"test", "tests"})


@dataclass(frozen=True)
class Pins:
    """The pinned part of a workspace."""

    folders: frozenset[str]
    files: frozenset[str]

    def covers(self, path: str) -> bool:
        """Whether a path of the base is put back as it was."""
        return path in self.files or self.leaves_out(path) or is_test_file(path)

    def leaves_out(self, path: str) -> bool:
        """Whether a path that the base does not have stays away."""
        return _steers(path) or any(parent in self.folders for parent in parents(path))

    def forbids(self, path: str) -> bool:
        """Whether a path that appears during a run shows that somebody meddles with it. Tests may write files."""
        return _steers(path)


def pins_of(base: Tree, test_ids: Iterable[str], others: Iterable[str] = ()) -> Pins:
    """The pinned part, as the base and the ids that a criterion names determine it.

    Args:
        others: files that are pinned whatever they are called.
    """
    named = {*others, *(test_id.partition("::")[0] for test_id in test_ids)}
    tests = [
        path for path in base.entries if path in named or is_test_file(path) or _name(path) == "conftest.py"
    ]
    folders = {parent for path in tests for parent in parents(path) if _name(parent).lower() in _FOLDERS}
    pins = Pins(frozenset(folders), frozenset(named))
    targets = set(_link_targets(base, pins))
    return Pins(pins.folders | targets, pins.files | targets)


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


def is_settings(path: str) -> bool:
    """Whether a file configures something, and is no code of the tests."""
    return _name(path) in SETTINGS and not path.endswith(".py")


def is_test_file(path: str) -> bool:
    """Whether pytest would take this file for tests by its name."""
    name = _name(path)
    return name.endswith("_test.py") or (name.startswith("test_") and name.endswith(".py"))


def _steers(path: str) -> bool:
    return _name(path) in SETTINGS or path.endswith(".pth")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _link_targets(base: Tree, pins: Pins) -> Iterator[str]:
    for path, entry in base.entries.items():
        if entry.kind is EntryKind.SYMLINK and pins.covers(path):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.target))
            if target != ".":
                yield target
