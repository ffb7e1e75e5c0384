"""Time for what must not jump with a machine's clock: deadlines, retention, waits. Pure but for the clocks that it is given.

A wall clock may be set by an hour in either direction at any moment, by a person or by NTP. Ours is taken once, at the start,
from the API server's, whose times the objects of the cluster carry, and goes on by a clock that only goes forward.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def _wall() -> datetime:
    return datetime.now(UTC)


class SteadyClock:
    """The time as it was set once, carried on. Until it is set: the machine's time when this was made."""

    def __init__(
        self, wall: Callable[[], datetime] = _wall, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._steady = wall, steady
        self.set(wall())

    def set(self, now: datetime) -> None:
        """From now on this is the time."""
        self._began, self._began_steady = now, self._steady()

    def __call__(self) -> datetime:
        """The time (UTC)."""
        return self._began + timedelta(seconds=self._steady() - self._began_steady)

    def offset_seconds(self) -> float:
        """How far the machine's own clock is ahead; negative: behind."""
        return (self._wall() - self()).total_seconds()
