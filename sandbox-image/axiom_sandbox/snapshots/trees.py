"""Reading a directory that an enemy may have written, and may still be writing, into a `Tree`.

No symlink is followed, nothing but regular files and directories is opened, and every entry is read through the
descriptor of the directory that holds it. What cannot be taken over becomes a finding. Nothing is written, except
that the permissions of our own user's unreadable entries are widened while they are read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from axiom_sandbox.protocol.changes import Entry, EntryKind, Finding
from axiom_sandbox.snapshots.paths import leaves_tree, printable

MIB = 1024 * 1024
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Limits:
    """How much of a tree is taken over. Where a limit cuts inside a directory is not determined."""

    max_files: int = 200_000
    """Entries; the rest of the tree is not read."""
    max_file_bytes: int = 64 * MIB
    """Bytes of one file; a larger one is a finding."""
    max_total_bytes: int = 8192 * MIB
    """Bytes of all files; the rest of the tree is not read."""
    max_depth: int = 100
    """Directories inside one another; each costs an open descriptor."""


CAPTURE_LIMITS = Limits()
"""For what an agent leaves behind."""
BASE_LIMITS = Limits(max_files=500_000, max_file_bytes=4096 * MIB)
"""For what people hand in: repositories with their history."""


@dataclass
class Amount:
    """What went through so far, for whoever looks meanwhile from another thread."""

    files: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """One file more."""
        self.files += 1
        self.bytes += size


@dataclass(frozen=True)
class Tree:
    """A workspace at one moment."""

    entries: Mapping[str, Entry]
    """Path → file or symlink, in the order of the walk."""
    findings: tuple[Finding, ...] = ()
    """What is there and was not taken over."""
    empty_directories: tuple[str, ...] = ()
    complete: bool = True
    """False: a limit ended the walk, so a path that is not listed may exist."""
    digest: str = ""
    """SHA-256 of the archive that this tree came from or went into; empty when there is none."""


@dataclass(frozen=True)
class OpenFile:
    """A regular file that the walk has opened."""

    path: str
    executable: bool
    descriptor: int
    most: int
    """Bytes that may be read from it."""


Consume = Callable[[OpenFile], tuple[int, str]]
"""Reads a file to its end → (bytes, SHA-256 in hexadecimal). Raises TooLargeError."""


@dataclass(frozen=True)
class Selection:
    """Which part of a tree a walk looks at."""

    wants: Callable[[str, bool], bool] = lambda path, is_directory: True
    """(path, whether it is a directory) → look at it."""
    allowance: Callable[[str], int] = lambda path: 0
    """Bytes that a path may have beyond `Limits.max_file_bytes`, as an absolute number."""


class TooLargeError(Exception):
    """A file holds more than it may."""


def scan(root: Path, limits: Limits = CAPTURE_LIMITS) -> Tree:
    """Everything below `root`, `.git` and caches included, with the digest of each file."""
    return walk(root, limits, copy_hashed)


def walk(root: Path | int, limits: Limits, consume: Consume, selection: Selection | None = None) -> Tree:
    """Walks depth first, in the order of names as bytes; `consume` reads each regular file, once.

    `root` may be a directory that is open already, which stays open.

    Raises:
        OSError: `root` itself is no readable directory.
    """
    walker = _Walk(limits, consume, selection or Selection())
    descriptor = os.open(root, _DIRECTORY) if isinstance(root, Path) else os.dup(root)
    try:
        walker.directory(descriptor, "", 0)
    finally:
        os.close(descriptor)
    return Tree(walker.entries, tuple(walker.findings), tuple(walker.empty), walker.complete)


def copy_hashed(file: OpenFile, sink: BinaryIO | None = None) -> tuple[int, str]:
    """Reads to the end, into `sink` if there is one → (bytes, SHA-256 in hexadecimal).

    Raises:
        TooLargeError: there are more than `file.most` bytes; the sink then holds a part.
    """
    digest, size = hashlib.sha256(), 0
    while chunk := os.read(file.descriptor, CHUNK_BYTES):
        size += len(chunk)
        if size > file.most:
            raise TooLargeError
        digest.update(chunk)
        if sink:
            sink.write(chunk)
    return size, digest.hexdigest()


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass
class _Walk:
    """One walk's state."""

    limits: Limits
    consume: Consume
    selection: Selection
    entries: dict[str, Entry] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    complete: bool = True
    total: int = 0

    def directory(self, descriptor: int, path: str, depth: int) -> None:
        """Everything in the directory open at `descriptor`; `path` is empty for the root."""
        with os.scandir(descriptor) as listing:
            names = sorted((entry.name for entry in islice(listing, self._room() + 1)), key=os.fsencode)
        for name in names:
            if not self.complete:
                return
            self._entry(descriptor, name, f"{path}/{name}" if path else name, depth)
        if not names and path:
            self.empty.append(path)

    def _room(self) -> int:
        return max(0, self.limits.max_files - len(self.entries) - len(self.findings))

    def _entry(self, parent: int, name: str, path: str, depth: int) -> None:
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not self.selection.wants(path, stat.S_ISDIR(status.st_mode)):
                return
            if not self._room():
                self._stop(path, f"more than {self.limits.max_files} files; from here on nothing was read")
            elif stat.S_ISDIR(status.st_mode):
                self._subdirectory(parent, name, path, depth)
            elif stat.S_ISLNK(status.st_mode):
                self._symlink(path, os.readlink(name, dir_fd=parent))
            elif stat.S_ISREG(status.st_mode):
                self._file(parent, name, path)
            else:
                self._find(path, f"is {_SPECIAL.get(stat.S_IFMT(status.st_mode), 'a special file')}")
        except OSError as error:
            changed = error.errno in _VANISHED
            self._find(path, "changed while it was read" if changed else f"cannot be read: {error.strerror}")

    def _subdirectory(self, parent: int, name: str, path: str, depth: int) -> None:
        if depth == self.limits.max_depth:
            self._find(path, f"is more than {self.limits.max_depth} directories deep; nothing below was read")
            return
        with _opened(parent, name, _DIRECTORY, 0o500) as (descriptor, _):
            self.directory(descriptor, path, depth + 1)

    def _symlink(self, path: str, target: str) -> None:
        if leaves_tree(path, target):
            self._find(path, f"is a symlink that leaves the workspace, to {printable(target)[:200]}")
        else:
            self.entries[path] = Entry(path=path, kind=EntryKind.SYMLINK, target=target)

    def _file(self, parent: int, name: str, path: str) -> None:
        with _opened(parent, name, _FILE, 0o400) as (descriptor, status):
            if not stat.S_ISREG(status.st_mode):
                self._find(path, "changed while it was read")
            elif status.st_mode & (stat.S_ISUID | stat.S_ISGID):
                self._find(path, "has a setuid or setgid bit")
            else:
                self._content(descriptor, status, path)

    def _content(self, descriptor: int, status: os.stat_result, path: str) -> None:
        most = max(self.limits.max_file_bytes, self.selection.allowance(path))
        left = self.limits.max_total_bytes - self.total
        executable = bool(status.st_mode & stat.S_IXUSR)
        try:
            if status.st_size > min(most, left):
                raise TooLargeError
            size, digest = self.consume(OpenFile(path, executable, descriptor, min(most, left)))
        except TooLargeError:
            if left < most:
                self._stop(
                    path, f"more than {self.limits.max_total_bytes} bytes; from here on nothing was read"
                )
            else:
                self._find(path, f"is larger than {most} bytes")
            return
        self.total += size
        self.entries[path] = Entry(
            path=path, kind=EntryKind.FILE, executable=executable, size=size, digest=digest
        )

    def _find(self, path: str, reason: str) -> None:
        self.findings.append(Finding(path=printable(path), reason=reason))

    def _stop(self, path: str, reason: str) -> None:
        self.complete = False
        self._find(path, reason)


@contextmanager
def _opened(parent: int, name: str, flags: int, needs: int) -> Iterator[tuple[int, os.stat_result]]:
    """The entry, open, with its status; permissions that our own user lacks are lent for the time being."""
    lent: tuple[int, int] | None = None
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        status = os.fstat(handle)
        kind = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
        if kind and status.st_uid == os.geteuid() and status.st_mode & needs != needs:
            _entry_of(handle).chmod(stat.S_IMODE(status.st_mode) | needs)
            lent = (handle, stat.S_IMODE(status.st_mode))
        descriptor = os.open(name, flags, dir_fd=parent)
        try:
            yield descriptor, os.fstat(descriptor)
        finally:
            os.close(descriptor)
    finally:
        if lent:
            _entry_of(lent[0]).chmod(lent[1])
        os.close(handle)


def _entry_of(handle: int) -> Path:
    """What an O_PATH descriptor stands for: fchmod does not take one, and the name may mean another entry by now."""
    return Path(f"/proc/self/fd/{handle}")
