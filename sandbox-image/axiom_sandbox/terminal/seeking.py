"""A recording compressed so that any moment of it is found without unpacking what comes before.

The lines are cut into zstd frames; behind them, in a frame that every zstd tool skips, stands an index of what each begins
with: time, byte of output, and the ledger's sequence number. So the whole is an ordinary `.cast.zst`, and a moment is found by
a binary search and the unpacking of one frame.
"""

from __future__ import annotations

import json
import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_END, BufferedReader, BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import zstandard

from axiom_sandbox.terminal.casts import BadCastError, CastReader, Header, parse_header

_FRAME_BYTES = 256 * 1024
_MAX_FRAME = 128 * 1024 * 1024
_ZSTD = b"\x28\xb5\x2f\xfd"
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


def pack(source: BinaryIO, target: BinaryIO) -> None:
    """An asciicast → its seekable form; `zstd -d` gives the very same bytes back. Raises BadCastError."""
    first = source.readline()
    reader = CastReader(parse_header(first).version)
    frames, held, size = list[Frame](), bytearray(first), 0
    began = now = (0, 0, 0)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)

    def end_frame() -> int:
        data = compressor.compress(bytes(held))
        frames.append(Frame(size, len(data), *began))
        held.clear()
        return target.write(data)

    for line in source:
        held += line
        if event := reader.take(line):
            now = (event.at_ms, event.output + event.size, event.seq or now[2])
        if len(held) >= _FRAME_BYTES:
            size += end_frame()
            began = now
    if held:
        end_frame()
    columns = [[getattr(frame, name) for frame in frames] for name in Frame.__slots__]
    index = compressor.compress(json.dumps(columns).encode())
    content = index + _FOOTER.pack(len(index), _MAGIC)
    target.write(_HEAD.pack(_SKIPPABLE, len(content)) + content)


def packed_recording(recording: Path) -> Path:
    """Packs a recording into a file beside it, durably; itself where the disk has no room for that, or it is no recording."""
    packed = recording.with_suffix(".cast.zst")
    try:
        with recording.open("rb") as source, packed.open("wb") as target:
            pack(source, target)
            target.flush()
            os.fsync(target.fileno())
    except (OSError, BadCastError):
        packed.unlink(missing_ok=True)
        return recording
    return packed


def has_index(file: BinaryIO) -> bool:
    """Whether a recording was packed here. Those of earlier versions were not."""
    size = file.seek(0, SEEK_END)
    file.seek(max(size - len(_MAGIC), 0))
    return file.read() == _MAGIC


def unpacking(file: BinaryIO) -> BinaryIO:
    """A recording, packed or not → the recording itself. `file` can seek."""
    file.seek(0)
    beginning = file.read(len(_ZSTD))
    file.seek(0)
    if beginning != _ZSTD:
        return file
    return BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))


class SeekableCast:
    """A packed recording, open for reading."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises BadCastError."""
        self._file = file
        self._frames = _read_index(file, file.seek(0, SEEK_END))
        self.header: Header = parse_header(next(self._frame(0), b""))

    def at_time(self, at_ms: int) -> int:
        """The stretch in which a time lies: what happened before that time begins in it, or earlier."""
        return self._last(bisect_right(self._frames, at_ms - 1, key=lambda frame: frame.at_ms))

    def at_output(self, offset: int) -> int:
        """The stretch in which a byte of output lies."""
        return self._last(bisect_right(self._frames, offset - 1, key=lambda frame: frame.output))

    def at_seq(self, seq: int) -> int:
        """The stretch in which the last marker lies that is not beyond this sequence number."""
        found = self._last(bisect_right(self._frames, seq, key=lambda frame: frame.seq))
        return max(bisect_left(self._frames, self._frames[found].seq, key=lambda frame: frame.seq) - 1, 0)

    def lines(self, first: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The lines of stretches `first` to before `end`, the header's not among them."""
        for number in range(first, len(self._frames) if end is None else end):
            lines = self._frame(number)
            yield from lines if number else islice(lines, 1, None)

    def reader(self, first: int) -> CastReader:
        """What makes events of the lines from a stretch on."""
        frame = self._frames[first]
        return CastReader(self.header.version, frame.at_ms, frame.output)

    def _last(self, count: int) -> int:
        return max(count - 1, 0)

    def _frame(self, number: int) -> Iterator[bytes]:
        frame = self._frames[number]
        self._file.seek(frame.start)
        try:
            data = zstandard.ZstdDecompressor().decompress(
                self._file.read(frame.size), max_output_size=_MAX_FRAME
            )
        except zstandard.ZstdError as error:
            raise BadCastError(f"a stretch of the recording is damaged: {error}") from error
        return iter(BytesIO(data))


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
