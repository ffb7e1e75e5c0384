"""Carries the bytes of a tunnel between an agent and a destination, without looking at them.

What comes from one side is written to the other at once; a side that does not take it holds the other back, so that a
tunnel keeps no more than the buffers of two sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import cast

import aiohappyeyeballs
from aiohttp import web
from aiohttp.abc import ResolveResult

_HAPPY_EYEBALLS_SECONDS = 0.25


class _End(asyncio.Protocol):
    """One side of a tunnel."""

    def __init__(self, tunnel: Tunnel, count: Callable[[int], None]) -> None:
        self._tunnel, self._count = tunnel, count
        self.transport: asyncio.Transport
        self.other: _End
        self.is_done = False
        self.after: Callable[[BaseException | None], None] | None = None
        """Also wants to know of the connection's end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._count(len(data))
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.is_done = True
        if self.other.is_done or self.other.transport.is_closing():
            return False
        if self.other.transport.can_write_eof():
            self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.closed.set()
        if self.after:
            self.after(exc)


class Tunnel:
    """Two connections that have become one."""

    def __init__(self) -> None:
        self.up = self.down = 0
        """Bytes from the agent, and to it."""
        self.moved_at = time.monotonic()
        self.closed = asyncio.Event()
        self._agent, self._far = _End(self, self._count_up), _End(self, self._count_down)
        self._agent.other, self._far.other = self._far, self._agent

    async def reach(self, addresses: Sequence[ResolveResult], port: int) -> None:
        """Connects to the first of these addresses that answers, and to nothing else. Raises OSError."""
        infos = [(one["family"], 1, 0, "", _address(one, port)) for one in addresses]
        made = await aiohappyeyeballs.start_connection(
            infos, happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS, interleave=1
        )
        # until the agent's side is there, nothing is read
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: self._far, sock=made)
        transport.pause_reading()

    def join(self, request: web.Request) -> None:
        """Takes the agent's connection over from the HTTP server, with whatever was sent behind the request."""
        server, transport = request.protocol, request.transport
        assert transport is not None
        early = bytearray()
        server.set_parser(_Early(early))  # type: ignore[arg-type]
        self._agent.connection_made(transport)
        self._agent.after = server.connection_lost
        transport.set_protocol(self._agent)
        if early:
            self._agent.data_received(bytes(early))
        transport.resume_reading()
        self._far.transport.resume_reading()

    def close(self) -> None:
        """Hangs up on both sides; what was not sent yet is lost."""
        for end in (self._agent, self._far):
            if transport := getattr(end, "transport", None):
                transport.abort()
        self.closed.set()

    async def finish(self) -> None:
        """Waits until one side has gone, and lets the other have what was still under way."""
        await self.closed.wait()
        for end in (self._agent, self._far):
            if transport := getattr(end, "transport", None):
                transport.close()

    def _count_up(self, size: int) -> None:
        self.up += size
        self.moved_at = time.monotonic()

    def _count_down(self, size: int) -> None:
        self.down += size
        self.moved_at = time.monotonic()


class _Early:
    """What the HTTP server had read of the tunnel already."""

    def __init__(self, into: bytearray) -> None:
        self._into = into

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._into += data
        return False, b""

    def feed_eof(self) -> None:
        """The server is told of the connection's end, too."""


def _address(one: ResolveResult, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    return (one["host"], port, 0, 0) if ":" in one["host"] else (one["host"], port)
