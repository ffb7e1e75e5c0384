"""Which files of a directory were added, changed or deleted since it was last looked at.

The directory is an enemy's, who goes on writing: no symlink is followed, each entry is reached through the descriptor of its
parent, and everything is bounded. What is compared are sizes, times and inodes; only what differs is read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from axiom_sandbox.protocol.changes import ChangeKind
from axiom_sandbox.protocol.events import FileChange
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.supervising.inotify import Inotify

MOST_FILES = 200_000
"""Entries that are remembered; as many as a capture takes over."""
MOST_WATCHES = 16_384
"""Directories that the kernel tells of; others are looked at from time to time."""
MOST_DEPTH = 100
LARGEST_DIGESTED = 64 * 1024 * 1024
_LONGEST_TARGET = 200
_FRESH_NS = 50_000_000
"""Times of files stand still for some milliseconds: a second change within them may leave no trace."""
_UNSETTLED = -1
"""A fingerprint that no file has."""
_CHUNK = 256 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(slots=True)
class _Directory:
    """What was there when it was last looked at."""

    files: dict[str, int] = field(default_factory=dict)
    """By name, a fingerprint of what lstat says."""
    directories: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Seen:
    """What one look found."""

    changes: list[FileChange] = field(default_factory=list)
    unseen: int = 0
    """Entries beyond the limits: nobody looked at them, nor below them."""


class Looker:
    """Remembers a directory's files. Blocks; one thread at a time."""

    def __init__(self, root: Path, inotify: Inotify | None) -> None:
        self._root, self._inotify = root, inotify
        self._directories: dict[str, _Directory] = {}
        """By path, "" for the root."""
        self._watches: dict[int, str] = {}
        self._fresh: dict[str, tuple[str, int]] = {}
        """Digest and size of files that were changed so shortly before that a further change need not show in their times."""
        self._count = 0

    def path_of(self, watch: int) -> str | None:
        """The directory that the kernel tells of; None: it is not known any more."""
        return self._watches.get(watch)

    def knows(self, directory: str, name: str) -> bool:
        """Whether a file was there at the last look."""
        known = self._directories.get(directory)
        return known is not None and name in known.files

    def begin(self) -> int:
        """Takes what is there as given; the number of entries beyond the limits."""
        return self._look([""], everywhere=True, reads=False).unseen

    def look(self, directories: Iterable[str]) -> Seen:
        """What changed in these directories, and in those that are new below them."""
        return self._look(sorted(directories), everywhere=False, reads=True)

    def look_everywhere(self) -> Seen:
        """What changed anywhere."""
        return self._look([""], everywhere=True, reads=True)

    def _look(self, directories: list[str], *, everywhere: bool, reads: bool) -> Seen:
        seen, looked = Seen(), set[str]()
        for path in directories:
            if path and path not in self._directories:
                continue  # it went with its parent
            self._from_root(path, seen, looked, everywhere=everywhere, reads=reads)
        return seen

    def _from_root(self, path: str, seen: Seen, looked: set[str], *, everywhere: bool, reads: bool) -> None:
        """Opens a directory, part by part, and looks at it and below."""
        descriptors = list[int]()
        try:
            descriptors.append(os.open(self._root, _DIRECTORY))
            for part in path.split("/") if path else ():
                descriptors.append(os.open(part, _DIRECTORY, dir_fd=descriptors[-1]))
            self._directory(descriptors[-1], path, seen, looked, everywhere=everywhere, reads=reads)
        except PermissionError:
            seen.unseen += 1
        except OSError:
            self._forget(path, seen)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _directory(
        self, descriptor: int, path: str, seen: Seen, looked: set[str], *, everywhere: bool, reads: bool
    ) -> None:
        if path in looked:
            return
        looked.add(path)
        self._watch(descriptor, path)
        before = self._directories.get(path) or _Directory()
        now, differing = _Directory(), list[tuple[str, os.stat_result]]()
        for name, status in self._entries(descriptor, before, seen):
            if stat.S_ISDIR(status.st_mode):
                now.directories.add(name)
                continue
            now.files[name] = fingerprint = _fingerprint(status)
            if before.files.get(name) != fingerprint:
                differing.append((name, status))
        self._directories[path] = now
        self._count += len(now.files) - len(before.files)
        if reads:
            for name, status in sorted(differing, key=lambda one: one[0]):
                self._changed(descriptor, path, name, status, seen, was_there=name in before.files)
            seen.changes += (_deleted(path, name) for name in sorted(before.files.keys() - now.files.keys()))
        for name in sorted(before.directories - now.directories):
            self._forget(_below(path, name), seen)
        for name in sorted(now.directories):
            below = _below(path, name)
            if everywhere or below not in self._directories:
                self._subdirectory(descriptor, name, below, seen, looked, everywhere=everywhere, reads=reads)

    def _entries(
        self, descriptor: int, before: _Directory, seen: Seen
    ) -> Iterator[tuple[str, os.stat_result]]:
        """Each with what lstat says; those beyond the limit are counted."""
        room = MOST_FILES - self._count + len(before.files)
        with os.scandir(descriptor) as listing:
            for entry in listing:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # it went meanwhile
                if not stat.S_ISDIR(status.st_mode):
                    room -= 1
                    if room < 0:
                        seen.unseen += 1
                        if room < -MOST_FILES:
                            return
                        continue
                yield entry.name, status

    def _subdirectory(
        self,
        parent: int,
        name: str,
        path: str,
        seen: Seen,
        looked: set[str],
        *,
        everywhere: bool,
        reads: bool,
    ) -> None:
        if path.count("/") >= MOST_DEPTH or len(self._directories) >= MOST_FILES:
            seen.unseen += 1
            return
        try:
            descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        except PermissionError:
            seen.unseen += 1
            return
        except OSError:
            self._forget(path, seen)  # it went, or became something else
            return
        try:
            self._directory(descriptor, path, seen, looked, everywhere=everywhere, reads=reads)
        finally:
            os.close(descriptor)

    def _watch(self, descriptor: int, path: str) -> None:
        if self._inotify is None or (path not in self._directories and len(self._watches) >= MOST_WATCHES):
            return
        try:
            self._watches[self._inotify.watch(descriptor)] = path
        except OSError:
            pass  # more than this kernel allows: it is looked at with everything else

    def _forget(self, path: str, seen: Seen) -> None:
        """A directory is gone, and all that was in it."""
        waiting = [path]
        while waiting:
            path = waiting.pop()
            if gone := self._directories.pop(path, None):
                self._count -= len(gone.files)
                seen.changes += (_deleted(path, name) for name in sorted(gone.files))
                waiting += (_below(path, name) for name in gone.directories)

    def _changed(
        self,
        parent: int,
        directory: str,
        name: str,
        status: os.stat_result,
        seen: Seen,
        *,
        was_there: bool,
    ) -> None:
        path = _below(directory, name)
        if is_fresh := time.time_ns() - status.st_ctime_ns < _FRESH_NS:
            self._directories[directory].files[name] = _UNSETTLED
        kind = ChangeKind.MODIFIED if was_there else ChangeKind.ADDED
        change = FileChange(path=printable(path), kind=kind, size=status.st_size)
        try:
            if stat.S_ISLNK(status.st_mode):
                target = printable(os.readlink(name, dir_fd=parent))[:_LONGEST_TARGET]
                change = change.model_copy(update={"target": target})
            elif stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_DIGESTED:
                digest, size = _digest(parent, name)
                change = change.model_copy(update={"digest": digest, "size": size})
        except OSError:
            pass  # closed to us, or gone meanwhile, as the next look will tell
        content = (change.digest, change.size)
        if self._fresh.pop(path, None) != content or not was_there:
            seen.changes.append(change)
        if is_fresh:
            self._fresh[path] = content


def _digest(parent: int, name: str) -> tuple[str, int]:
    """SHA-256 of a regular file, and its size. Raises OSError."""
    descriptor = os.open(name, _FILE, dir_fd=parent)
    try:
        hashed, size = hashlib.sha256(), 0
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return "", 0
        while size <= LARGEST_DIGESTED and (chunk := os.read(descriptor, _CHUNK)):
            hashed.update(chunk)
            size += len(chunk)
        return hashed.hexdigest() if size <= LARGEST_DIGESTED else "", size
    finally:
        os.close(descriptor)


def _fingerprint(status: os.stat_result) -> int:
    return hash((status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


def _deleted(directory: str, name: str) -> FileChange:
    return FileChange(path=printable(_below(directory, name)), kind=ChangeKind.DELETED)


def _below(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
