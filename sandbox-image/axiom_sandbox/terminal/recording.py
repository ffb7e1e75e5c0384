"""The recording of one terminal: asciicast v3, written as it happens and gone on with after a crash.

Each event goes to the file at once, so the end of the process loses nothing; `flush` makes it durable. Times
come from one clock and are kept as whole milliseconds since the header's timestamp, so rounding never adds up.
https://docs.asciinema.org/manual/asciicast/v3/
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

OUTPUT_LIMIT = 64 * 1024 * 1024
"""Output that would make the file longer than this, in bytes, is dropped."""
_PLAIN = bytes(byte for byte in range(0x20, 0x100) if byte not in b'"\\')
"""Bytes of UTF-8 that stand for themselves in a string of JSON."""
_ESCAPES = {byte: json.dumps(chr(byte))[1:-1].encode() for byte in range(0x100) if byte not in _PLAIN}
_LIMIT_REACHED = "the recording's limit is reached: later output is not kept"


class RecordingError(Exception):
    """The recording could not be written, or what lies there is none. What was written before remains."""


class Code(StrEnum):
    """What an event of a recording is."""

    OUTPUT = "o"
    INPUT = "i"
    RESIZE = "r"
    MARKER = "m"
    EXIT = "x"


@dataclass(slots=True)
class _Written:
    """What the file holds."""

    size: int = 0
    started: int = 0
    """The header's timestamp, in milliseconds."""
    elapsed: int = 0
    """Milliseconds from the header's timestamp to the last event."""
    output: int = 0
    """Bytes of output in it, as UTF-8."""
    full: bool = False


class Recording:
    """An asciicast v3 file, open for appending. Every method blocks, but `flush` and `close` alone for long."""

    def __init__(
        self, path: Path, descriptor: int, written: _Written, clock: Callable[[], datetime], limit: int
    ) -> None:
        self._path, self._descriptor, self._written = path, descriptor, written
        self._clock, self._limit = clock, limit
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._dropped = 0
        self._durable = -1

    @classmethod
    def open(
        cls,
        path: Path,
        columns: int,
        rows: int,
        *,
        title: str = "",
        command: str = "",
        terminal_type: str = "xterm-256color",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        limit: int = OUTPUT_LIMIT,
    ) -> Recording:
        """Begin a recording, or go on with the one that lies there; then its header stays as it is.

        Raises:
            RecordingError: the disk refuses, or the file is no recording. A torn last line is cut off.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            try:
                written = _recover(path, descriptor)
                recording = cls(path, descriptor, written, clock, limit)
                if written.size == 0:
                    recording._begin(columns, rows, terminal_type, command, title)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise RecordingError(f"the recording {path} cannot be opened: {error}") from error
        return recording

    @property
    def output_bytes(self) -> int:
        """Bytes of output so far, kept or not: where the next output stands.

        What is kept counts as it is kept: an undecodable byte as the three bytes of U+FFFD, the beginning of a
        character once it is complete. So the offsets of what is kept are the same after a restart.
        """
        return self._written.output + self._dropped

    @property
    def dropped_bytes(self) -> int:
        """Bytes of output that were not kept since the recording was opened."""
        return self._dropped

    def output(self, data: bytes) -> bool:
        """What the terminal showed. False if it was dropped: the limit is reached, now and from now on."""
        text = self._decoder.decode(data)
        if not text:
            return not self._written.full
        output = text.encode()
        size = len(output)
        if not self._written.full:
            elapsed, line = self._line(Code.OUTPUT, output)
            if self._written.size + len(line) <= self._limit:
                self._write(elapsed, line)
                self._written.output += size
                return True
            self._written.full = True
            self._event(Code.MARKER, _LIMIT_REACHED)
        self._dropped += size
        return False

    def input(self, data: bytes) -> None:
        """What was typed."""
        self._event(Code.INPUT, data.decode(errors="replace"))

    def resize(self, columns: int, rows: int) -> None:
        """The terminal's size changed."""
        self._event(Code.RESIZE, f"{columns}x{rows}")

    def mark(self, seq: int, label: str = "") -> None:
        """Here the ledger stood at record `seq`: the marker is `#<seq> <label>`."""
        self._event(Code.MARKER, f"#{seq} {label}".rstrip())

    def exited(self, status: int) -> None:
        """The process on the terminal ended."""
        self._event(Code.EXIT, str(status))

    @property
    def is_durable(self) -> bool:
        """Whether nothing was written since `flush`."""
        return self._durable == self._written.size

    def flush(self) -> None:
        """Make what was written durable."""
        size = self._written.size
        try:
            os.fdatasync(self._descriptor)
            self._durable = size
        except OSError as error:
            raise RecordingError(f"the recording {self._path} cannot be made durable: {error}") from error

    def close(self) -> None:
        """Write what is left of a character cut short, make all durable, let go. Again is harmless."""
        if self._descriptor < 0:
            return
        rest = self._decoder.decode(b"", final=True)
        try:
            if rest and not self._written.full:
                self._event(Code.OUTPUT, rest)
                self._written.output += len(rest.encode())
            self.flush()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self, columns: int, rows: int, terminal_type: str, command: str, title: str) -> None:
        started = int(self._clock().timestamp())
        self._written.started = started * 1000
        header: dict[str, Any] = {
            "version": 3,
            "term": {"cols": columns, "rows": rows, "type": terminal_type},
            "timestamp": started,
        }
        header |= {key: value for key, value in (("command", command), ("title", title)) if value}
        self._write(0, _json_line(header))

    def _event(self, code: Code, data: str) -> None:
        self._write(*self._line(code, data.encode(errors="replace")))

    def _line(self, code: Code, data: bytes) -> tuple[int, bytes]:
        """The event as a line, and the time at which it is, since the beginning."""
        now = int(self._clock().timestamp() * 1000) - self._written.started
        elapsed = max(now, self._written.elapsed)
        interval = json.dumps((elapsed - self._written.elapsed) / 1000)
        return elapsed, b'[%b,"%b","%b"]\n' % (interval.encode(), code.value.encode(), _escaped(data))

    def _write(self, elapsed: int, line: bytes) -> None:
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                os.ftruncate(self._descriptor, self._written.size)
                raise OSError(f"only {written} of {len(line)} bytes were taken")
        except OSError as error:
            raise RecordingError(f"the recording {self._path} cannot be written: {error}") from error
        self._written.size += len(line)
        self._written.elapsed = elapsed


def _escaped(text: bytes) -> bytes:
    """UTF-8 as it stands in a string of JSON; in half the time that `json` takes."""
    special = set(text.translate(None, _PLAIN))
    for byte in sorted(
        special, key=lambda byte: byte != ord("\\")
    ):  # backslashes before those that escapes bring
        text = text.replace(bytes((byte,)), _ESCAPES[byte])
    return text


def _json_line(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace") + b"\n"


def _recover(path: Path, descriptor: int) -> _Written:
    """Read what the file holds, and cut off a torn last line."""
    written = _Written()
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or b"\0" in line:
                break
            _take_up(path, written, line)
            written.size += len(line)
    os.ftruncate(descriptor, written.size)
    return written


def _take_up(path: Path, written: _Written, line: bytes) -> None:
    try:
        value = json.loads(line)
        if written.size == 0:
            written.started = int(value["timestamp"]) * 1000
            return
        interval, code, data = value
        written.elapsed += round(interval * 1000)
        if code == Code.OUTPUT:
            written.output += len(data.encode())
        elif code == Code.MARKER and data == _LIMIT_REACHED:
            written.full = True
    except (ValueError, TypeError, KeyError) as error:
        raise RecordingError(f"{path} is no recording that can be gone on with: {error!r}") from error
