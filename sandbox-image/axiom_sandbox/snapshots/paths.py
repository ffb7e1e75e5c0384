"""Which paths of a workspace mean something to us. Pure; paths are relative, with `/` between components."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from axiom_sandbox.snapshots.errors import SnapshotError

CACHES = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"})
"""Directories that tools fill by themselves: not part of what an agent did, and never an input to anything."""

BYTECODE = (".pyc", ".pyo")
MAX_NAME_BYTES = 255

_GIT_CONTROLS = frozenset({"config", "config.worktree"})


def check_path(path: str) -> str:
    """A path that stays inside its tree, as it was given.

    Raises:
        SnapshotError: it is absolute, empty, not normalised, or has a component that no file system takes.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\0" in path:
        raise SnapshotError(f"{printable(path)!r} is not a path inside the workspace")
    if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parts):
        raise SnapshotError(f"{printable(path)[:80]!r} has a name of more than {MAX_NAME_BYTES} bytes")
    return path


def leaves_tree(path: str, target: str) -> bool:
    """Whether a symlink at `path` can lead out of the tree.

    `..` is accepted at the beginning of the target alone: there it climbs from the directory that really holds
    the link. Behind a name it would climb from wherever that name, perhaps a link itself, leads.
    """
    parts = [part for part in target.split("/") if part not in {"", "."}]
    climbs = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    return not target or target.startswith("/") or ".." in parts[climbs:] or climbs > path.count("/")


def is_derived(path: str) -> bool:
    """Whether a tool made this by itself: caches and Python's bytecode."""
    return not CACHES.isdisjoint(path.split("/")) or path.endswith(BYTECODE)


def is_git(path: str) -> bool:
    """Whether this is a git directory, something in one, or a file that names one."""
    return ".git" in path.split("/")


def is_git_control(path: str) -> bool:
    """Whether git would run this, or be steered by it."""
    parts = path.split("/")
    if ".git" not in parts:
        return False
    inside = parts[parts.index(".git") + 1 :]
    if not inside:
        return True
    hook = "hooks" in inside[:-1] and not path.endswith(".sample")
    return hook or inside[-1] in _GIT_CONTROLS


def is_git_store(path: str) -> bool:
    """Whether this directory holds git's objects, which steer nothing."""
    return is_git(path) and PurePosixPath(path).name == "objects"


def printable(path: str) -> str:
    """A path as it can be shown and stored as UTF-8: bytes that are none become `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
