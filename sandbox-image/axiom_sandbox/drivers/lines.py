"""From a stream of bytes to lines, however it is cut, in bounded memory. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MOST_LINE_BYTES = 16 * 2**20
_KEPT_OF_LONGER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line, without its end."""

    data: bytes
    """Whole, or its beginning if it was too long."""
    size: int
    """Bytes that it had."""

    @property
    def whole(self) -> bool:
        """Whether `data` is all of it."""
        return self.size == len(self.data)


class LineReader:
    """Collects lines. One that is longer than `most` bytes is read to its end, and only its beginning is kept."""

    def __init__(self, most: int = MOST_LINE_BYTES, kept: int = _KEPT_OF_LONGER) -> None:
        self._most, self._kept = most, min(kept, most)
        self._line = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> list[Line]:
        """The lines that end in `data`; empty ones are left out."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._add(end)
            lines += self.finish()
        self._add(rest)
        return lines

    def finish(self) -> list[Line]:
        """The line that has not ended, if there is one: nothing follows."""
        line = Line(bytes(self._line), self._size)
        self._line, self._size = bytearray(), 0
        return [line] if line.data.strip() else []

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._most:
            self._line += piece
        elif len(self._line) != self._kept or self._size - len(piece) <= self._most:
            self._line = (self._line + piece[: self._kept])[: self._kept]
