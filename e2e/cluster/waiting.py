"""Waiting with a limit: the only place of this package that sleeps."""

import time
from collections.abc import Callable

from e2e.cluster.errors import ClusterError


def wait_until(
    what: str,
    ready: Callable[[], str | None],
    *,
    limit_seconds: float,
    diagnose: Callable[[], str] = lambda: "",
    interval_seconds: float = 0.1,
) -> None:
    """Call `ready` until it returns None; a string says what is still missing.

    Raises:
        ClusterError: after `limit_seconds`, with the last reason and what `diagnose` tells.
    """
    deadline = time.monotonic() + limit_seconds
    while (missing := ready()) is not None:
        if time.monotonic() > deadline:
            details = diagnose()
            raise ClusterError(
                f"waited {limit_seconds:.0f} s for {what}: {missing}" + (f"\n{details}" if details else "")
            )
        time.sleep(interval_seconds)
