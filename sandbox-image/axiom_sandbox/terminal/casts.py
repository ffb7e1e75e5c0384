"""A recording read back: its events by time, by byte of output and by the ledger's sequence number. Pure.

Reads asciicast v3 as `recording` writes it, and v2; events of unknown kinds are passed over, a torn last line ends it.
https://docs.asciinema.org/manual/asciicast/v3/
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from axiom_sandbox.terminal.recording import Code

MAX_SIDE = 1000
"""Columns or rows; what says more is not believed."""


class BadCastError(ValueError):
    """These bytes are no recording."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording says of itself."""

    columns: int
    rows: int
    started_ms: int
    """Unix time."""
    version: int
    title: str = ""
    line: bytes = b""
    """As it stands there."""


@dataclass(frozen=True, slots=True)
class CastEvent:
    """One line of a recording."""

    at_ms: int
    """Since the recording began."""
    code: str
    data: str
    output: int
    """Bytes of output before it."""

    @property
    def size(self) -> int:
        """Bytes of output in it."""
        return len(self.data.encode(errors="replace")) if self.code == Code.OUTPUT else 0

    @property
    def seq(self) -> int | None:
        """Of a marker that `Recording.mark` made: where the ledger stood."""
        number = self.data.partition(" ")[0].removeprefix("#")
        is_mark = self.code == Code.MARKER and self.data.startswith("#") and number.isdecimal()
        return int(number) if is_mark and len(number) < 19 else None


def parse_header(line: bytes) -> Header:
    """The first line. Raises BadCastError."""
    try:
        fields: dict[str, Any] = json.loads(line)
        version = int(fields["version"])
        size = fields["term"] if version == 3 else fields
        columns, rows = (
            int(size["cols" if version == 3 else "width"]),
            int(size["rows" if version == 3 else "height"]),
        )
        header = Header(
            columns,
            rows,
            int(float(fields.get("timestamp", 0)) * 1000),
            version,
            str(fields.get("title", "")),
            line,
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise BadCastError(f"the first line is no header of an asciicast: {error!r}") from error
    if version not in (2, 3) or not (0 < columns <= MAX_SIDE and 0 < rows <= MAX_SIDE):
        raise BadCastError(f"an asciicast of version {version} with {columns}x{rows} cells is not known here")
    return header


class CastReader:
    """Lines after the header → events."""

    def __init__(self, version: int, at_ms: int = 0, output: int = 0) -> None:
        self._is_relative = version == 3
        self._at, self._output = at_ms, output

    def take(self, line: bytes) -> CastEvent | None:
        """One line; None for a comment and for what is torn. Raises BadCastError."""
        if not line.strip() or line.startswith(b"#"):
            return None
        try:
            interval, code, data = json.loads(line)
            ms = round(float(interval) * 1000)
            text = str(data)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            if not line.endswith(b"\n"):
                return None
            raise BadCastError(f"a line is no event of an asciicast: {error}") from error
        self._at = self._at + max(ms, 0) if self._is_relative else max(ms, self._at)
        event = CastEvent(self._at, str(code), text, self._output)
        self._output += event.size
        return event


@dataclass
class Cast:
    """A whole recording."""

    header: Header
    events: list[CastEvent]
    _times: list[int] = field(default_factory=list)
    _offsets: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._times = [event.at_ms for event in self.events]
        self._offsets = [event.output for event in self.events]

    @classmethod
    def parse(cls, data: bytes) -> Cast:
        """Raises BadCastError."""
        first, _, rest = data.partition(b"\n")
        header = parse_header(first)
        reader = CastReader(header.version)
        lines: Iterable[bytes] = rest.splitlines(keepends=True) if rest else ()
        return cls(header, [event for line in lines if (event := reader.take(line))])

    @property
    def output_bytes(self) -> int:
        """All of it."""
        if not self.events:
            return 0
        return self.events[-1].output + self.events[-1].size

    def at_time(self, at_ms: int) -> int:
        """How many events had happened at this time."""
        return bisect_right(self._times, at_ms)

    def at_output(self, offset: int) -> int:
        """How many events lie before the end of the first `offset` bytes of output; what was shown last may go beyond."""
        count = bisect_right(self._offsets, offset)
        while (
            count and self.events[count - 1].output == offset and self.events[count - 1].code == Code.OUTPUT
        ):
            count -= 1
        return count

    def output_until(self, offset: int) -> Iterator[CastEvent]:
        """The events up to a byte of output; the last is cut there, where it goes beyond."""
        for event in self.events[: self.at_output(offset)]:
            if event.output + event.size <= offset:
                yield event
            else:
                kept = event.data.encode(errors="replace")[: offset - event.output].decode(errors="ignore")
                yield CastEvent(event.at_ms, event.code, kept, event.output)
