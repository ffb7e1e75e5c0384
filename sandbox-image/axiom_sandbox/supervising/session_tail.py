"""Follows the file in which an agent keeps its session, as it is written.

The file lies in the agent's home, so all of it is the agent's word, and its path may be anything: no link is followed, and
nothing but a plain file is read.
"""

from __future__ import annotations

import fnmatch
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from axiom_sandbox.durable import replace_durably

_AT_ONCE_BYTES = 1024 * 1024
_MOST_ENTRIES = 20_000
"""Names that are looked at in search of the file."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class SessionTail:
    """One process's part of the file: what was there before its start is not read."""

    def __init__(self, home: Path, patterns: tuple[str, ...], noted: Path) -> None:
        """Follows what the first pattern names.

        Args:
            home: the agent's home.
            patterns: paths in which `*` stands for any name and `**` for folders; the further ones name what else may become it.
            noted: where it is kept, for a supervisor that starts again, how much was there before.
        """
        self._home, self._pattern = home, patterns[0]
        self._name: tuple[str, ...] | None = None
        self._at = 0
        if not noted.exists():
            known = {inode: size for pattern in patterns for _, size, inode in self._found(pattern)}
            replace_durably(noted, json.dumps(known).encode())
        self._before: dict[str, int] = json.loads(noted.read_bytes())
        """Sizes by inode: a file that is renamed is the same."""

    def read(self) -> bytes:
        """What is new, at most 1 MiB. The first file that grows, or appears, is the one."""
        if self._name is None:
            for name, size, inode in self._found(self._pattern):
                if size > self._before.get(str(inode), 0):
                    self._name, self._at = name, self._before.get(str(inode), 0)
                    break
            else:
                return b""
        data = self._read(self._name)
        self._at += len(data)
        return data

    def _read(self, name: tuple[str, ...]) -> bytes:
        try:
            folder = os.open(self._home, _FOLDER)
            try:
                for part in name[:-1]:
                    inner = os.open(part, _FOLDER, dir_fd=folder)
                    os.close(folder)
                    folder = inner
                file = os.open(name[-1], _FILE, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError:
            return b""
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size <= self._at:
                return b""
            return os.pread(file, _AT_ONCE_BYTES, self._at)
        except OSError:
            return b""
        finally:
            os.close(file)

    def _found(self, pattern: str) -> Iterator[tuple[tuple[str, ...], int, int]]:
        """Files that a pattern names, with their sizes and inodes; the newest first."""
        found: list[tuple[float, tuple[str, ...], int, int]] = []
        left = _MOST_ENTRIES
        stack: list[tuple[tuple[str, ...], list[str]]] = [((), pattern.split("/"))]
        while stack and left > 0:
            name, (part, *rest) = stack.pop()
            try:
                entries = list(os.scandir(self._home.joinpath(*name)))
            except OSError:
                continue
            for entry in entries[:left]:
                left -= 1
                try:
                    if entry.is_symlink():
                        continue
                    if part == "**" and entry.is_dir(follow_symlinks=False):
                        stack.append(((*name, entry.name), [part, *rest]))
                    wanted = rest[0] if part == "**" else part
                    if not fnmatch.fnmatchcase(entry.name, wanted):
                        continue
                    behind = rest[1:] if part == "**" else rest
                    if behind and entry.is_dir(follow_symlinks=False):
                        stack.append(((*name, entry.name), behind))
                    elif not behind and entry.is_file(follow_symlinks=False):
                        about = entry.stat(follow_symlinks=False)
                        found.append((about.st_mtime, (*name, entry.name), about.st_size, about.st_ino))
                except OSError:
                    continue
        for _, name, size, inode in sorted(found, reverse=True):
            yield name, size, inode
