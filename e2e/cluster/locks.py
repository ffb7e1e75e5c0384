"""Locks, so that two callers at once do not build or start the same thing."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.waiting import wait_until


@contextmanager
def locked(path: Path, what: str, *, limit_seconds: float) -> Iterator[None]:
    """Hold the lock file `path`; the kernel releases it when the process ends.

    Raises:
        ClusterError: somebody else holds it for longer than `limit_seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held: list[int] = []

    def acquire() -> str | None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return f"another process holds {path}"
        # The holder removes the file: a lock on a removed file is one that nobody else sees.
        if not path.exists() or path.stat().st_ino != os.fstat(descriptor).st_ino:
            os.close(descriptor)
            return f"{path} has just been released"
        held.append(descriptor)
        return None

    wait_until(what, acquire, limit_seconds=limit_seconds)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(held[0])
