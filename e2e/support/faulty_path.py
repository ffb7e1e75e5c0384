"""A TCP server in front of another one, which can be made to fail: away, silent, slow, or answering HTTP 500."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

_CHUNK = 64 * 1024
_HEAD_LIMIT = 1024 * 1024
_ERROR_BODY = b"<Error><Code>InternalError</Code><Message>an injected fault</Message></Error>"


class Fault(StrEnum):
    """What is wrong with the path."""

    NONE = "None"
    AWAY = "Away"
    """Connections are reset at once."""
    SILENT = "Silent"
    """Connections are taken and nothing is ever answered."""
    SLOW = "Slow"
    """Every piece of data in either direction is held for a while."""
    ERRORS = "Errors"
    """Every HTTP request is answered with 500."""


@dataclass
class _Weather:
    fault: Fault = Fault.NONE
    delay_seconds: float = 0.0


class FaultyPath:
    """The server, in a thread of its own. Made by `faulty_path`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._weather = _Weather()
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty path", daemon=True)
        self.address = ""
        """host:port, once it is open."""
        self.hit = 0
        """Connections and requests that met a fault."""

    def open(self) -> None:
        """Begins to listen."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD_LIMIT), self._loop
        ).result(10)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Ends everything."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def set(self, fault: Fault, delay_seconds: float = 0.0) -> None:
        """From now on; connections that are open are cut."""
        asyncio.run_coroutine_threadsafe(self._change(_Weather(fault, delay_seconds)), self._loop).result(10)

    def retarget(self, host: str, port: int) -> tuple[str, int]:
        """Leads to another server from now on; to which it led before. Connections that are open are cut."""
        before, self._target = self._target, (host, port)
        self.set(self._weather.fault, self._weather.delay_seconds)
        return before

    async def _change(self, weather: _Weather) -> None:
        self._weather = weather
        for task in list(self._connections):
            task.cancel()

    async def _end(self) -> None:
        self._server.close()
        running = list(self._connections)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._carry(reader, writer, self._weather)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # whoever is at either end sees that the connection is cut
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, weather: _Weather
    ) -> None:
        if weather.fault not in (Fault.NONE, Fault.SLOW):
            self.hit += 1
        match weather.fault:
            case Fault.AWAY:
                return
            case Fault.SILENT:
                await asyncio.Event().wait()
            case Fault.ERRORS:
                await self._refuse(reader, writer)
            case Fault.NONE | Fault.SLOW:
                await self._forward(reader, writer, weather.delay_seconds)

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name == b"content-length":
                await reader.readexactly(int(value))
        writer.write(
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(_ERROR_BODY), _ERROR_BODY)
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
    ) -> None:
        there, back = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, back, delay))
                group.create_task(_pump(there, writer, delay))
        except* OSError:
            pass  # one end hung up
        finally:
            back.transport.abort()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float) -> None:
    while data := await source.read(_CHUNK):
        await asyncio.sleep(delay)
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


@contextmanager
def faulty_path(host: str, port: int) -> Iterator[FaultyPath]:
    """A path to a server, whole at first."""
    path = FaultyPath(host, port)
    path.open()
    try:
        yield path
    finally:
        path.close()
