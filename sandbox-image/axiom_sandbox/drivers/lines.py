"""From a stream of bytes to lines of JSON, however it is cut, in bounded memory. Pure.

A line that is too long to be held loses the middle of its long texts, and stays a message: it says what it is and about
what, though not all that it says.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LONG_LINE_BYTES = 2**20
"""Lines up to this length are as they came."""
MOST_LINE_BYTES = 4 * 2**20
"""What is longer than this even with its texts clipped is no message; its beginning is kept."""
_MOST_TEXT_BYTES = 64 * 1024
_KEPT_OF_LONGER = 64 * 1024
_ESCAPE_BYTES = 6
_CUT = " [… cut …]".encode()
_SPECIAL = re.compile(rb'["\\]')
_REST_OF_TEXT = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class Line(NamedTuple):
    """One line, without its end."""

    data: bytes
    """As it came, or with its texts clipped, or its beginning."""
    size: int
    """Bytes that it had."""
    readable: bool
    """Whether `data` may be a message."""


class LineReader:
    """Collects lines."""

    def __init__(self) -> None:
        self._begin()

    def feed(self, data: bytes) -> list[Line]:
        """The lines that end in `data`; empty ones are left out."""
        *ends, rest = data.split(b"\n")
        lines = list[Line]()
        for end in ends:
            if not self._size and len(end) <= LONG_LINE_BYTES:
                if end.strip():
                    lines.append(Line(end, len(end), True))
            else:
                self._add(end)
                lines += self.finish()
        self._add(rest)
        return lines

    def finish(self) -> list[Line]:
        """The line that has not ended, if there is one: nothing follows."""
        readable = len(self._kept) <= MOST_LINE_BYTES
        line = Line(bytes(self._kept if readable else self._kept[:_KEPT_OF_LONGER]), self._size, readable)
        self._begin()
        return [line] if line.data.strip() else []

    def _begin(self) -> None:
        self._kept, self._size = bytearray(), 0
        self._clipper: _Clipper | None = None

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._clipper is None and self._size > LONG_LINE_BYTES:
            self._clipper = _Clipper()
            piece, self._kept = bytes(self._kept) + piece, bytearray()
        if len(self._kept) <= MOST_LINE_BYTES:
            self._kept += self._clipper.clip(piece) if self._clipper else piece


class _Clipper:
    """Passes JSON on, piece by piece, and of each text in it only so much."""

    def __init__(self) -> None:
        self._in_text = self._escaped = self._cutting = False
        self._length = 0

    def clip(self, piece: bytes) -> bytes:
        """What is to be kept of the next piece."""
        kept, at = bytearray(), 0
        while at < len(piece):
            at = self._text(piece, at, kept) if self._in_text else self._structure(piece, at, kept)
        return bytes(kept)

    def _structure(self, piece: bytes, at: int, kept: bytearray) -> int:
        quote = piece.find(b'"', at)
        end = len(piece) if quote < 0 else quote + 1
        kept += piece[at:end]
        self._in_text, self._cutting, self._length = quote >= 0, False, 0
        return end

    def _text(self, piece: bytes, at: int, kept: bytearray) -> int:
        if self._escaped:
            self._escaped = False
            self._keep(piece[at : at + 1], kept)
            return at + 1
        if self._cutting:
            at = _REST_OF_TEXT.match(piece, at).end()  # type: ignore[union-attr]
        found = _SPECIAL.search(piece, at)
        end = found.start() if found else len(piece)
        self._keep(piece[at:end], kept)
        if not found:
            return end
        if found[0] == b'"':
            kept += (_CUT if self._cutting else b"") + b'"'
            self._in_text = False
        else:
            # No escape is begun that could not be kept whole.
            self._cutting = self._cutting or self._length + _ESCAPE_BYTES > _MOST_TEXT_BYTES
            self._escaped = True
            self._keep(b"\\", kept)
        return end + 1

    def _keep(self, run: bytes, kept: bytearray) -> None:
        if self._cutting:
            return
        room = _MOST_TEXT_BYTES - self._length
        kept += run[:room]
        self._length += len(run)
        self._cutting = len(run) > room
