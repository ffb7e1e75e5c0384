"""What a process of the agent has said so far, kept beside the ledger: a supervisor that starts again reads it anew.

So nothing is lost of what was read, though it may have been in the middle of a line. It is no evidence: that is what the
ledger holds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

MOST_BYTES = 64 * 2**20


class Spool:
    """One process's standard output. Where it grows too long to be read again, none is kept."""

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self._path, self._descriptor, self._size = path, descriptor, size

    @classmethod
    def open(cls, path: Path) -> Self:
        """Goes on with what there is."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return cls(path, descriptor, os.fstat(descriptor).st_size)

    def append(self, data: bytes) -> None:
        """Keeps what was read, before anything is made of it. Raises OSError."""
        if self._size > MOST_BYTES:
            return
        self._size += len(data)
        if self._size > MOST_BYTES:
            os.ftruncate(self._descriptor, 0)
            self._path.with_suffix(".cut").touch()
            return
        while data:
            data = data[os.write(self._descriptor, data) :]

    @property
    def whole(self) -> bytes | None:
        """All that the process has said; None: it is too much."""
        return None if self._path.with_suffix(".cut").exists() else self._path.read_bytes()

    def close(self) -> None:
        """Nothing more comes in this life."""
        os.close(self._descriptor)

    @staticmethod
    def remove(path: Path) -> None:
        """The process has ended, and all is recorded."""
        path.unlink(missing_ok=True)
        path.with_suffix(".cut").unlink(missing_ok=True)
