"""Reads the agent's terminal, records it, and notes in the ledger which stretch came when."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Awaitable, Callable

from axiom_sandbox.protocol.events import Event, Gap, Terminal
from axiom_sandbox.terminal.recording import Recording

_READ_BYTES = 64 * 1024
_TAIL_BYTES = 16 * 1024
_NOTE_SECONDS = 0.5


class TerminalPump:
    """One PTY master, from take-over to hang-up. Owns the descriptor."""

    def __init__(
        self,
        fd: int,
        recording: Recording,
        record: Callable[[Event], Awaitable[object]],
        on_output: Callable[[], None],
    ) -> None:
        self._fd, self._recording, self._record, self._on_output = fd, recording, record, on_output
        self._noted = recording.output_bytes
        self._tail = bytearray()
        self._ended = asyncio.Event()
        self._dropped_from: int | None = None
        os.set_blocking(fd, False)

    @property
    def tail(self) -> bytes:
        """The last bytes of output, at most 16 KiB."""
        return bytes(self._tail)

    def open(self) -> None:
        """Begins to read."""
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    async def run(self) -> None:
        """Notes what came, until the terminal hangs up or `drain` is called."""
        while not self._ended.is_set():
            try:
                await asyncio.wait_for(self._ended.wait(), _NOTE_SECONDS)
            except TimeoutError:
                pass  # time to note what came meanwhile
            await self._note()

    async def drain(self, grace: float) -> None:
        """Reads what is still in the kernel's buffer, waiting at most `grace` seconds for the hang-up; then closes."""
        try:
            await asyncio.wait_for(self._ended.wait(), grace)
        except TimeoutError:
            pass  # a process left behind holds the terminal open; it is frozen next
        self._end()
        await self._note()

    async def write(self, data: bytes) -> None:
        """Types on the terminal. Gives up after 10 s when nobody reads."""
        loop = asyncio.get_running_loop()
        until = loop.time() + 10
        while data and loop.time() < until:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.02)

    def resize(self, columns: int, rows: int) -> None:
        """Gives the terminal another size; whoever works on it gets SIGWINCH."""
        termios.tcsetwinsize(self._fd, (rows, columns))
        self._recording.resize(columns, rows)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process on the terminal is gone
            data = b""
        if not data:
            self._end()
            return
        if not self._recording.output(data) and self._dropped_from is None:
            self._dropped_from = self._recording.output_bytes - len(data)
        self._tail += data
        del self._tail[:-_TAIL_BYTES]
        self._on_output()

    def _end(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._ended.set()

    async def _note(self) -> None:
        now = self._recording.output_bytes
        if now > self._noted:
            start, self._noted = self._noted, now
            await self._record(Terminal(start=start, size=now - start))
        await asyncio.to_thread(self._recording.flush)
        if self._fd < 0 and self._dropped_from is not None:
            start, self._dropped_from = self._dropped_from, None
            reason = "the recording reached its limit; later output was read and not kept"
            await self._record(Gap(what="recording", start=start, end=now, size=now - start, reason=reason))
