"""Lets a browser that has a network of its own reach the loopback of a sandbox, and nothing else.

The browser speaks SOCKS 5 (RFC 1928) at a socket that it listens on itself; the launcher hands out a connection for each request. What
is asked for is the browser's word, which a page may have made: names and addresses other than the loopback's are refused here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from axiom_sandbox.supervising.launcher_link import LauncherError, LauncherLostError

Dial = Callable[[str], Awaitable[int]]
"""Address of the loopback → a connection's descriptor. Raises LauncherError, LauncherLostError."""

_MOST = 64
"""Connections at once; a browser opens six to one server."""
_PATIENCE_SECONDS = 10.0
_PIECE = 64 * 1024
_OK, _NOT_ALLOWED, _REFUSED, _UNKNOWN_COMMAND = 0, 2, 5, 7


class Tunnel:
    """From one listening socket, until it is closed."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def begin(self, door: socket.socket) -> None:
        """Serves whoever connects; owns the socket."""
        self._server = await asyncio.start_server(self._admit, sock=door)

    async def close(self) -> None:
        """Ends every connection."""
        if self._server:
            self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) <= _MOST:
                await self._serve(reader, writer)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # the connection ends, with whoever is at its other end
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            target = await _greeted(reader, writer)
            addresses = addresses_of(*target) if target else ()
            inside = await connected(self._dial, addresses)
        if inside is None:
            code = _UNKNOWN_COMMAND if target is None else _REFUSED if addresses else _NOT_ALLOWED
            writer.write(_reply(code))
            await writer.drain()
            return
        there, back = await asyncio.open_connection(sock=inside)
        try:
            writer.write(_reply(_OK))
            async with asyncio.TaskGroup() as both:
                both.create_task(_copied(reader, back))
                both.create_task(_copied(there, writer))
        except* OSError:
            pass
        finally:
            back.close()


async def connected(dial: Dial, addresses: tuple[str, ...]) -> socket.socket | None:
    """A connection to the first of these at which somebody listens; None: nobody does."""
    for address in addresses:
        with suppress(LauncherError, LauncherLostError, OSError):
            return await _arrived(await dial(address))
    return None


def addresses_of(host: str, port: int) -> tuple[str, ...]:
    """Where to look for a server, as the launcher takes it; empty: nowhere. Pure."""
    if host == "localhost" or host.endswith(".localhost"):
        return (f"127.0.0.1:{port}", f"[::1]:{port}")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ()
    if not address.is_loopback or not port:
        return ()
    return (f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}",)


async def _greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int] | None:
    """Where the peer wants to go; None if that is nothing that is done here. Raises EOFError, OSError."""
    version, count = await reader.readexactly(2)
    if version != 5:
        raise EOFError
    await reader.readexactly(count)
    writer.write(b"\x05\x00")
    version, command, _, kind = await reader.readexactly(4)
    match kind:
        case 1:
            host = str(ipaddress.IPv4Address(await reader.readexactly(4)))
        case 3:
            [length] = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode("ascii", "replace").lower()
        case 4:
            host = str(ipaddress.IPv6Address(await reader.readexactly(16)))
        case _:
            return None
    port = int.from_bytes(await reader.readexactly(2))
    return (host, port) if command == 1 else None


def _reply(code: int) -> bytes:
    return bytes((5, code, 0, 1)) + bytes(6)


async def _arrived(descriptor: int) -> socket.socket:
    """The socket, once it is connected. Raises OSError."""
    connection = socket.socket(fileno=descriptor)
    try:
        connection.setblocking(False)
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(connection, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(connection)
        if number := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))
    except BaseException:
        connection.close()
        raise
    return connection


async def _copied(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """To the end, which is passed on."""
    while piece := await source.read(_PIECE):
        sink.write(piece)
        await sink.drain()
    with suppress(OSError):
        sink.write_eof()
