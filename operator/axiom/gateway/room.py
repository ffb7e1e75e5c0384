"""Room on this machine's disk for what is on its way: what is large waits until there is enough, small things never do.

A scratch volume that overflows would end the gateway, and with it every transfer.
"""

from __future__ import annotations

import asyncio

SMALL_BYTES = 64 * 1024 * 1024
MOST_BYTES = 4 * 1024**3
"""Half of the chart's scratch volume; the other half is for small things."""


class Room:
    """Counts bytes. One thing always fits, however large it is."""

    def __init__(self, most: int = MOST_BYTES, small: int = SMALL_BYTES) -> None:
        self._most, self._small, self._used = most, small, 0
        self._freed = asyncio.Event()

    async def enter(self, size: int) -> None:
        """Returns once there is room for so many bytes, which then count until `leave`."""
        if size <= self._small:
            return
        while self._used and self._used + size > self._most:
            self._freed.clear()
            await self._freed.wait()
        self._used += size

    def leave(self, size: int) -> None:
        """They are gone."""
        if size > self._small:
            self._used -= size
            self._freed.set()
