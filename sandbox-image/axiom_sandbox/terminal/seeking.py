"""A recording compressed so that any moment of it is found without unpacking what comes before.

The lines are cut into zstd frames; behind them, in a frame that every zstd tool skips, stands an index of what each begins
with: time, byte of output, and the ledger's sequence number. So the whole is an ordinary `.cast.zst`, and a moment is found by
a binary search and the unpacking of one frame.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import zstandard

from axiom_sandbox.terminal.casts import BadCastError, CastEvent, CastReader, Header, parse_header

_FRAME_BYTES = 256 * 1024
_MAX_FRAME = 128 * 1024 * 1024
_SKIPPABLE = 0x184D2A5E
_FOOTER = struct.Struct("<I8s")
_MAGIC = b"axiomIDX"
_HEAD = struct.Struct("<II")
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """One stretch of a recording."""

    start: int
    """Byte in the compressed file."""
    size: int
    """Bytes there."""
    at_ms: int
    """Time of the last event before it."""
    output: int
    """Bytes of output before it."""
    seq: int
    """The last marker's sequence number before it; 0: none."""


def pack(cast: bytes) -> bytes:
    """An asciicast → its seekable form; `zstd -d` gives the very same bytes back. Raises BadCastError."""
    header = parse_header(cast.partition(b"\n")[0])
    reader = CastReader(header.version)
    packed, frames, held = BytesIO(), list[Frame](), bytearray()
    began, now = (0, 0, 0), (0, 0, 0)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)

    def end_frame() -> None:
        data = compressor.compress(bytes(held))
        frames.append(Frame(packed.tell(), len(data), *began))
        packed.write(data)
        held.clear()

    for number, line in enumerate(BytesIO(cast)):
        held += line
        if number and (event := reader.take(line)):
            output = event.output + (len(event.data.encode(errors="replace")) if event.code == "o" else 0)
            now = (event.at_ms, output, event.seq or now[2])
        if len(held) >= _FRAME_BYTES:
            end_frame()
            began = now
    if held:
        end_frame()
    columns = [[getattr(frame, name) for frame in frames] for name in Frame.__slots__]
    index = compressor.compress(json.dumps(columns).encode())
    content = index + _FOOTER.pack(len(index), _MAGIC)
    packed.write(_HEAD.pack(_SKIPPABLE, len(content)) + content)
    return packed.getvalue()


class SeekableCast:
    """A packed recording, open for reading."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Raises BadCastError."""
        self._file = file
        self._frames = _read_index(file, size)
        self.header: Header = parse_header(next(iter(self._lines(0)), b""))

    def from_time(self, at_ms: int) -> Iterator[CastEvent]:
        """Events at this time and later."""
        first = self._first(lambda frame: frame.at_ms, at_ms)
        return (event for event in self._events(first) if event.at_ms >= at_ms)

    def from_output(self, offset: int) -> Iterator[CastEvent]:
        """Events from the one on that holds this byte of output."""
        first = self._first(lambda frame: frame.output, offset)
        return (event for event in self._events(first) if _end(event) > offset)

    def from_seq(self, seq: int) -> Iterator[CastEvent]:
        """Events after the last marker that is not beyond this sequence number."""
        near = max(bisect_right(self._frames, seq, key=lambda frame: frame.seq) - 1, 0)
        first = max(bisect_left(self._frames, self._frames[near].seq, key=lambda frame: frame.seq) - 1, 0)
        begun = False
        held: list[CastEvent] = []
        for event in self._events(first):
            if event.seq is not None and event.seq > seq and not begun:
                begun = True
                yield from held
            if begun:
                yield event
            elif event.seq is not None:
                held = [event]
            else:
                held.append(event)
        if not begun:
            yield from held

    def _first(self, key: Callable[[Frame], int], value: int) -> int:
        return max(bisect_right(self._frames, value - 1, key=key) - 1, 0)

    def _events(self, first: int) -> Iterator[CastEvent]:
        frame = self._frames[first]
        reader = CastReader(self.header.version, frame.at_ms, frame.output)
        for number in range(first, len(self._frames)):
            for index, line in enumerate(self._lines(number)):
                if (number or index) and (event := reader.take(line)):
                    yield event

    def _lines(self, number: int) -> Iterator[bytes]:
        frame = self._frames[number]
        self._file.seek(frame.start)
        try:
            data = zstandard.ZstdDecompressor().decompress(
                self._file.read(frame.size), max_output_size=_MAX_FRAME
            )
        except zstandard.ZstdError as error:
            raise BadCastError(f"a stretch of the recording is damaged: {error}") from error
        return iter(BytesIO(data))


def _end(event: CastEvent) -> int:
    return event.output + (len(event.data.encode(errors="replace")) if event.code == "o" else 0)


def _read_index(file: BinaryIO, size: int) -> list[Frame]:
    try:
        file.seek(size - _FOOTER.size)
        length, magic = _FOOTER.unpack(file.read(_FOOTER.size))
        if magic != _MAGIC:
            raise BadCastError("the recording has no index at its end; unpack it with zstd -d")
        file.seek(size - _FOOTER.size - length)
        text = zstandard.ZstdDecompressor().decompress(file.read(length), max_output_size=_MAX_FRAME)
        frames = [Frame(*values) for values in zip(*json.loads(text), strict=True)]
    except (OSError, ValueError, TypeError, struct.error, zstandard.ZstdError) as error:
        raise BadCastError(f"the recording's index cannot be read: {error}") from error
    if not frames:
        raise BadCastError("the recording's index is empty")
    return frames
