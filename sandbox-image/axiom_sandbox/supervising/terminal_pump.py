"""Reads the agent's terminal, records it, and notes in the ledger which stretch came when."""

from __future__ import annotations

import asyncio
import json
import os
import termios
from collections.abc import Awaitable, Callable
from pathlib import Path

from axiom_sandbox.protocol.events import Event, Gap, Terminal
from axiom_sandbox.supervising.descriptors import write_all
from axiom_sandbox.terminal.recording import Code, Recording, RecordingError

_READ_BYTES = 64 * 1024
_TAIL_BYTES = 16 * 1024
_NOTE_SECONDS = 0.5
_TYPING_SECONDS = 10.0


class TerminalPump:
    """One PTY master, from take-over to hang-up. Owns the descriptor."""

    def __init__(
        self,
        fd: int,
        recording: Recording,
        record: Callable[[Event], Awaitable[object]],
        on_output: Callable[[int], None],
        noted: int,
        tail: bytes = b"",
    ) -> None:
        """`noted` is the offset up to which the ledger knows the output; `tail` the last output before it."""
        self._fd, self._recording, self._record, self._on_output = fd, recording, record, on_output
        self._noted = noted
        self._tail = bytearray(tail)
        self._heard = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._finished = asyncio.Event()
        self._error: RecordingError | None = None
        self._dropped_from: int | None = None
        os.set_blocking(fd, False)

    @property
    def tail(self) -> bytes:
        """The last bytes of output, at most 16 KiB."""
        return bytes(self._tail)

    @property
    def noted(self) -> int:
        """Offset up to which the ledger knows the output."""
        return self._noted

    async def run(self) -> None:
        """Reads, and notes what came, until `finish`. Raises RecordingError, and whatever `record` raises."""
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        try:
            while not self._finished.is_set():
                await _within(_NOTE_SECONDS, self._finished)
                await self._note()
        finally:
            self._stop_reading()
            os.close(self._fd)
        await self._note_loss()
        if self._error:
            raise self._error

    async def finish(self, grace: float) -> None:
        """Waits at most `grace` seconds for the hang-up, then lets `run` end. A process left behind keeps a terminal open."""
        await _within(grace, self._hung_up)
        self._finished.set()

    async def type(self, data: bytes) -> bool:
        """Types once the agent has shown something and rests. False if it did not read all of it within 10 s."""
        await self._rest()
        self._recording.input(data)
        try:
            async with asyncio.timeout(_TYPING_SECONDS):
                return await write_all(self._fd, data)
        except TimeoutError:
            return False

    def resize(self, columns: int, rows: int) -> None:
        """Gives the terminal another size; whoever works on it gets SIGWINCH."""
        termios.tcsetwinsize(self._fd, (rows, columns))
        self._recording.resize(columns, rows)

    async def _rest(self, first: float = 3.0, quiet: float = 0.3, most: float = 10.0) -> None:
        """A full-screen program drops what is typed before it listens; one that has drawn and rests does listen."""
        await _within(first, self._heard)
        until = asyncio.get_running_loop().time() + most
        while self._heard.is_set() and asyncio.get_running_loop().time() < until:
            self._heard.clear()
            await _within(quiet, self._heard)

    def _read(self) -> None:
        data, hung_up = _read_some(self._fd)
        if hung_up:
            self._stop_reading()
            self._hung_up.set()
        try:
            if data:
                self._keep(data)
        except RecordingError as error:
            self._error = error
            self._stop_reading()
            self._finished.set()

    def _keep(self, data: bytes) -> None:
        before = self._recording.output_bytes
        if not self._recording.output(data) and self._dropped_from is None:
            self._dropped_from = before
        self._tail += data
        del self._tail[:-_TAIL_BYTES]
        self._heard.set()
        self._on_output(len(data))

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)

    async def _note(self) -> None:
        now = self._recording.output_bytes
        if now > self._noted:
            start, self._noted = self._noted, now
            await self._record(Terminal(start=start, size=now - start))
        await asyncio.to_thread(self._recording.flush)

    async def _note_loss(self) -> None:
        if self._dropped_from is not None:
            start, end = self._dropped_from, self._recording.output_bytes
            reason = "the recording reached its limit; later output was read and not kept"
            await self._record(Gap(what="recording", start=start, end=end, size=end - start, reason=reason))


def _read_some(fd: int) -> tuple[bytes, bool]:
    """What is there, at most 64 KiB, and whether the terminal hung up. The kernel gives it in small pieces."""
    pieces, size = list[bytes](), 0
    while size < _READ_BYTES:
        try:
            piece = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return b"".join(pieces), False
        except OSError:  # EIO: the last process on the terminal is gone
            piece = b""
        if not piece:
            return b"".join(pieces), True
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), False


def recorded_tail(recording: Path, most: int = _TAIL_BYTES) -> bytes:
    """The last output that a recording holds: what the terminal showed before a supervisor was started again."""
    with recording.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 8 * most - 4096, 0))
        lines = file.read().split(b"\n")[1:]
    output = bytearray()
    for line in lines:
        try:
            _, code, data = json.loads(line)
        except ValueError:
            continue  # the beginning of the stretch that was read, or the header
        if code == Code.OUTPUT:
            output += data.encode()
    return bytes(output[-most:])


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass  # both are in order: it happened, or the time is over
