"""Advisory locks, so that two callers at once do not build or start the same thing."""

import fcntl
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
    with path.open("w") as lock:

        def acquire() -> str | None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return f"another process holds {path}"
            return None

        wait_until(what, acquire, limit_seconds=limit_seconds)
        yield
