"""Reads the agent's terminal, records it, shows it to an emulator, and notes in the ledger which stretch came when.

The emulator answers what a program asks its terminal (its kind, its colours, where the cursor is), whoever types besides:
some programs stall without an answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import termios
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from axiom_sandbox.protocol.events import Event, Gap, Terminal
from axiom_sandbox.supervising.descriptors import write_all
from axiom_sandbox.terminal.casts import CastReader, parse_header
from axiom_sandbox.terminal.keys import bracketed_paste, entered_lines
from axiom_sandbox.terminal.live import INTERVAL_SECONDS, LiveScreen
from axiom_sandbox.terminal.recording import Code, Recording, RecordingError
from axiom_sandbox.terminal.screens import (
    BRACKETED_PASTE,
    EmulatorMissingError,
    Screen,
    ScreenState,
    View,
    make_screen,
    play,
)

_READ_BYTES = 64 * 1024
_PIECE_BYTES = 8 * 1024
"""More than a terminal gives at once: its buffer has 4 KiB."""
TAIL_BYTES = 16 * 1024
_LOOKED_AT_BYTES = 256 * 1024
_NOTE_SECONDS = 0.5
_TYPING_SECONDS = 10.0
_MARKS_SECONDS = 4.0
LONGEST_LINE = 4095
"""Bytes of a line that a terminal of Linux holds for a program that reads whole lines."""
_MOST_ANSWERS = 4096
"""Bytes of answers that wait while something is typed; more are dropped."""


class TerminalPump:
    """One PTY master, from take-over to hang-up. Owns the descriptor."""

    def __init__(
        self,
        fd: int,
        recording: Recording,
        record: Callable[[Event], Awaitable[int]],
        on_output: Callable[[int], None],
        noted: int,
        look: Callable[[bytes], Awaitable[None]],
        size: tuple[int, int],
        tail: bytes = b"",
        shown: Path | None = None,
    ) -> None:
        """Takes over a terminal.

        Args:
            noted: the offset up to which the ledger knows the output.
            look: looks through what was shown, of each half second the first 256 KiB; in the end it is given nothing.
            size: columns and rows.
            tail: the last output before `noted`.
            shown: a recording that ends in what the terminal shows already; None: it is empty.
        """
        self._fd, self._recording, self._record, self._on_output = fd, recording, record, on_output
        self._noted, self._look, self._unseen = noted, look, bytearray()
        self._tail = bytearray(tail)
        self._heard = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._finished = asyncio.Event()
        self._error: RecordingError | None = None
        self._dropped_from: int | None = None
        self.screen = LiveScreen(time.monotonic)
        """What it shows."""
        self.shows = asyncio.Event()
        """The emulator is there, or never will be."""
        self.last_view: View | None = None
        self.last_screen: ScreenState | None = None
        """What it showed at the end."""
        self._size, self._shown = size, shown
        self._shown_bytes = shown.stat().st_size if shown else 0
        self._typing = self._silent = False
        self._answers = bytearray()
        os.set_blocking(fd, False)

    @property
    def tail(self) -> bytes:
        """The last bytes of output, at most 16 KiB."""
        return bytes(self._tail)

    @property
    def hung_up(self) -> bool:
        """Nobody holds the other side any more."""
        return self._hung_up.is_set()

    @property
    def noted(self) -> int:
        """Offset up to which the ledger knows the output."""
        return self._noted

    async def run(self) -> None:
        """Reads, and notes what came, until `finish`. Raises RecordingError, and whatever `record` raises."""
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        showing = asyncio.ensure_future(self._show())
        try:
            is_last = False
            while not is_last:
                await _within(_NOTE_SECONDS, self._finished)
                is_last = self._finished.is_set()
                await self._note()
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            self._stop_reading()
            os.close(self._fd)
            self.last_view, self.last_screen = self.screen.view(), self.screen.snapshot()
            self.screen.close()
        await self._look(b"")
        await self._note_loss()
        if self._error:
            raise self._error

    async def finish(self, grace: float) -> None:
        """Waits at most `grace` seconds for the hang-up, then lets `run` end. A process left behind keeps a terminal open."""
        await _within(grace, self._hung_up)
        self._finished.set()

    async def paste(self, text: str) -> str:
        """Types text and Enter once the agent has shown something and rests, marked as pasted if the program asks for that, as a
        terminal does. Returns what was lost of it, for a person; empty: nothing."""
        await self._rest()
        marked = await self._wants_marks()
        typed = bracketed_paste(text) if marked else entered_lines(text)
        cut = (
            not marked and self._takes_lines and any(len(line) > LONGEST_LINE for line in typed.split(b"\r"))
        )
        if not await self.press(typed + b"\r"):
            return "the agent did not read all of what it was told"
        if cut:
            return (
                f"the agent's terminal takes lines of at most {LONGEST_LINE} bytes, and the end of a longer one of its prompt was"
                " lost; promptDelivery Stdin or Argument loses nothing"
            )
        return ""

    async def press(self, data: bytes) -> bool:
        """Types at once. False if the agent did not read all of it within 10 s."""
        self._recording.input(data)
        self._typing = True
        try:
            async with asyncio.timeout(_TYPING_SECONDS):
                return await write_all(self._fd, data)
        except TimeoutError:
            return False
        finally:
            self._typing = False
            self._answer(b"")

    def resize(self, columns: int, rows: int) -> None:
        """Gives the terminal another size; whoever works on it gets SIGWINCH."""
        termios.tcsetwinsize(self._fd, (rows, columns))
        self._recording.resize(columns, rows)
        self._size = columns, rows
        self.screen.resize(columns, rows)

    async def _show(self) -> None:
        """Loads the emulator beside the agent's own start, then keeps up with what came too fast."""
        try:
            screen = await asyncio.to_thread(make_screen, *self._size, self._answer)
        except EmulatorMissingError as error:
            reason = (
                f"{error}; what the agent asks its terminal stays unanswered, and its screen is not known"
            )
            await self._record(Gap(what="screen", start=0, end=0, size=0, reason=reason))
            self.shows.set()
            return
        if self._shown:
            self._silent = True
            await asyncio.to_thread(_play, self._shown, self._shown_bytes, screen)
            self._silent = False
        self.screen.attach(screen)
        self.shows.set()
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            if self.screen.behind:
                self.screen.settle()

    def _answer(self, answer: bytes) -> None:
        """Says what a terminal says; between two keys, not among them. A program that does not read misses it."""
        if self._silent:
            return
        self._answers += answer[: _MOST_ANSWERS - len(self._answers)]
        if self._answers and not self._typing:
            try:
                os.write(self._fd, self._answers)
            except OSError:
                pass  # it does not read, or it has hung up
            self._answers.clear()

    def attributes(self) -> list[Any] | None:
        """As tcgetattr gives them; None once it has hung up."""
        try:
            return termios.tcgetattr(self._fd)
        except (OSError, termios.error):
            return None

    async def _wants_marks(self) -> bool:
        """A program asks for marks a moment after it has drawn; one that takes whole lines never does."""
        await _within(_MARKS_SECONDS, self.shows)
        until = asyncio.get_running_loop().time() + _MARKS_SECONDS
        while (view := self.screen.view()) is not None and BRACKETED_PASTE not in view.modes:
            if self._takes_lines or asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(INTERVAL_SECONDS)
        return True

    @property
    def _takes_lines(self) -> bool:
        """The kernel holds what is typed until Enter, and no more of a line than fits."""
        attributes = self.attributes()
        return attributes is not None and bool(attributes[3] & termios.ICANON)

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
        self._unseen += data[: _LOOKED_AT_BYTES - len(self._unseen)]
        self._tail += data
        del self._tail[:-TAIL_BYTES]
        self.screen.feed(data)
        self._heard.set()
        self._on_output(len(data))

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)

    async def _note(self) -> None:
        now = self._recording.output_bytes
        if now > self._noted:
            start, self._noted = self._noted, now
            seq = await self._record(Terminal(start=start, size=now - start))
            if self._dropped_from is None:
                self._recording.mark(seq)
        if not self._recording.is_durable:
            await asyncio.to_thread(self._recording.flush)
        if self._unseen:
            shown, self._unseen = bytes(self._unseen), bytearray()
            await self._look(shown)

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
            piece = os.read(fd, _PIECE_BYTES)
        except BlockingIOError:
            return b"".join(pieces), False
        except OSError:  # EIO: the last process on the terminal is gone
            piece = b""
        if not piece:
            return b"".join(pieces), True
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), False


def recorded_tail(recording: Path, most: int = TAIL_BYTES) -> bytes:
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


def _play(recording: Path, size: int, screen: Screen) -> None:
    """Shows the first so many bytes of a recording."""
    with recording.open("rb") as file:
        reader = CastReader(parse_header(file.readline()).version)
        while file.tell() < size:
            if event := reader.take(file.readline()):
                play(screen, (event,))


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass  # both are in order: it happened, or the time is over
