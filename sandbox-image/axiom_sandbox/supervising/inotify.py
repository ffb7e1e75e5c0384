"""The kernel's news of directories: which of them something happened in.

A directory is given by a descriptor, so that no symlink is followed on the way, and nothing is watched that was not asked for.
What the news mean is decided by whoever looks there.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_OVERFLOW, _IGNORED, _IS_DIRECTORY = 0x4000, 0x8000, 0x40000000
_ONLY_DIRECTORIES, _EXCLUDE_UNLINKED = 0x1000000, 0x4000000
_WATCHED = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_HEAD = struct.Struct("iIII")
_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class News:
    """Something happened in a directory."""

    watch: int
    """As `Inotify.watch` returned it."""
    name: bytes
    """Of the entry."""
    is_new: bool
    """The entry is a file, and was not there under this name before."""
    is_lost: bool = False
    """More happened than the kernel kept: this stands for all of it."""


class Inotify:
    """One queue of news. `descriptor` is readable when there are any."""

    def __init__(self) -> None:
        """Raises OSError: the kernel allows no more of them to this user, or has none."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            _raise()

    def watch(self, directory: int) -> int:
        """Begins to tell of a directory that is open; again, it gives the same number. Raises OSError: there are too many."""
        path = b"/proc/self/fd/%d" % directory
        number: int = self._libc.inotify_add_watch(
            self.descriptor, path, _WATCHED | _ONLY_DIRECTORIES | _EXCLUDE_UNLINKED
        )
        if number < 0:
            _raise()
        return number

    def read(self) -> Iterator[News]:
        """What there is, without waiting; once it is empty, `descriptor` is not readable any more."""
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, size = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            name, at = data[at : at + size].rstrip(b"\0"), at + size
            if mask & _IGNORED:
                continue  # the directory is gone, as whoever looks at its parent sees
            is_new = bool(mask & (_CREATE | _MOVED_TO)) and not mask & _IS_DIRECTORY
            yield News(watch, name, is_new, bool(mask & _OVERFLOW))

    def close(self) -> None:
        """Nothing more is told."""
        os.close(self.descriptor)


def _raise() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
