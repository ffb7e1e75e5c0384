"""The files of one ledger: `segments/000001.jsonl` while it is written, `….jsonl.zst` for ever once it is cut.

All functions here block; `Ledger` calls them in threads. A cut segment appears under its name only when it is
whole and on disk, and its raw file goes only after that, so whoever finds both believes the compressed one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import zstandard

from axiom_sandbox.durable import replace_durably, sync_folder
from axiom_sandbox.ledger.checking import ALL_HERE, Elsewhere, Findings, verify
from axiom_sandbox.ledger.errors import LedgerCorruptError
from axiom_sandbox.ledger.records import decode

_LEVEL = 2
"""Of zstd: 3 takes half as much time again for a fortieth of the size."""
_MODE = 0o640
_NAME = re.compile(r"(\d{6,})\.jsonl(\.zst)?\Z")


@dataclass(slots=True)
class Extent:
    """The durable part of a segment."""

    first: int
    """The first record's seq."""
    size: int
    """Bytes, uncompressed."""
    ended: datetime
    """When its last record was written, by the ledger's clock."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a folder held when it was opened."""

    extents: tuple[Extent, ...]
    findings: Findings
    torn: int
    """Bytes at the end that were never acknowledged, and were cut off."""


def raw_path(folder: Path, number: int) -> Path:
    """Where segment `number` is written."""
    return folder / "segments" / f"{number:06}.jsonl"


def cut_path(folder: Path, number: int) -> Path:
    """Where segment `number` lies once it is cut."""
    return folder / "segments" / f"{number:06}.jsonl.zst"


def stored_lines(folder: Path) -> Iterator[bytes]:
    """The lines of a ledger's folder as they lie there, with their line feeds: for `verify`. Changes nothing."""
    for number in _numbers(folder):
        yield from split(_content(folder, number))


def read_segment(folder: Path, number: int, offset: int, end: int) -> bytes:
    """Bytes `offset` to `end` of a segment, uncompressed, whether it is cut or not."""
    try:
        with raw_path(folder, number).open("rb") as raw:
            raw.seek(offset)
            return raw.read(end - offset)
    except FileNotFoundError:
        return decompress(cut_path(folder, number).read_bytes())[offset:end]


def split(content: bytes) -> list[bytes]:
    """A segment's content → its lines with their line feeds; the last one may lack it."""
    return BytesIO(content).readlines()


def create_folder(folder: Path) -> None:
    """Make the folders of a ledger, durably."""
    segments = folder / "segments"
    if not segments.is_dir():
        segments.mkdir(parents=True)
        sync_folder(folder)
        sync_folder(folder.parent)


def create_raw(folder: Path, number: int) -> int:
    """Begin a segment; returns a descriptor for appending."""
    path = raw_path(folder, number)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, _MODE)
    sync_folder(path.parent)
    return descriptor


def compress_raw(folder: Path, number: int) -> None:
    """Cut a segment that is no longer written. Done twice, it does nothing the second time."""
    raw = raw_path(folder, number)
    replace_durably(cut_path(folder, number), compress(raw.read_bytes()), _MODE)
    raw.unlink()


def remove_segments(folder: Path, numbers: Iterable[int]) -> None:
    """Take segments away for good. What is gone already is no error."""
    for number in numbers:
        raw_path(folder, number).unlink(missing_ok=True)
        cut_path(folder, number).unlink(missing_ok=True)
    sync_folder(folder / "segments")


def compress(data: bytes) -> bytes:
    """One zstd frame with its content's size and checksum; equal input gives equal output."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)


def decompress(data: bytes) -> bytes:
    """The other way round. Only for segments of our own making: the frame's size is believed."""
    return zstandard.ZstdDecompressor().decompress(data)


def recover(folder: Path, elsewhere: Elsewhere = ALL_HERE) -> Recovered:
    """Bring a folder into order after any end: every segment cut, the chain checked, a torn tail gone.

    The segment that was being written is cut, too: its copy is fsynced as new bytes, so nothing depends on
    what the kernel made of the old file's last fsync. Segments that were noted as being elsewhere, and whose removal
    was broken off, are removed.

    Raises:
        LedgerCorruptError: something that was acknowledged is not as it was. Nothing is changed then.
        OSError: the disk.
    """
    found, first = _numbers(folder), elsewhere.segments + 1
    numbers = [number for number in found if number >= first]
    if numbers != list(range(first, first + len(numbers))):
        raise LedgerCorruptError(f"{folder}: segments are missing; there are {found}, from {first} on")
    torn = _torn_tail(folder, numbers[-1]) if numbers else 0
    extents, findings = _survey(folder, numbers, torn, elsewhere)
    if findings.broken:
        raise LedgerCorruptError(f"{folder}: {findings.broken.message}")
    if torn:
        _cut_off(raw_path(folder, numbers[-1]), torn)
    for number in numbers:
        _finish_cut(folder, number)
    if extents and extents[-1].size == 0:
        raw_path(folder, numbers[-1]).unlink()
        extents.pop()
    for unfinished in (folder / "segments").glob("*.tmp"):
        unfinished.unlink()
    if len(found) > len(numbers):
        remove_segments(folder, (number for number in found if number < first))
    return Recovered(tuple(extents), findings, torn)


def _numbers(folder: Path) -> list[int]:
    names = (_NAME.match(path.name) for path in (folder / "segments").iterdir())
    return sorted({int(name[1]) for name in names if name})


def _content(folder: Path, number: int) -> bytes:
    path = cut_path(folder, number)
    try:
        return decompress(path.read_bytes())
    except FileNotFoundError:
        return raw_path(folder, number).read_bytes()
    except zstandard.ZstdError as error:
        raise LedgerCorruptError(f"{path} is not the segment that was written: {error}") from error


def _torn_tail(folder: Path, number: int) -> int:
    """How many bytes at the end of the newest segment are no whole lines.

    A crash in the middle of a write leaves part of a line, or blocks that the disk never got and that read as
    zeros, which no line contains. Anything else that is wrong there was acknowledged, and is not torn.
    """
    if cut_path(folder, number).exists():
        return 0
    content = _content(folder, number)
    zeros = content.find(b"\0")
    end = content.rfind(b"\n", 0, zeros if zeros >= 0 else len(content)) + 1
    return len(content) - end


def _survey(
    folder: Path, numbers: list[int], torn: int, elsewhere: Elsewhere
) -> tuple[list[Extent], Findings]:
    begun: list[tuple[int, int, bytes]] = []

    def lines() -> Iterator[bytes]:
        seq = elsewhere.records + 1
        for number in numbers:
            content = _content(folder, number)
            if number == numbers[-1]:
                content = content[: len(content) - torn]
            held = split(content)
            begun.append((seq, len(content), held[-1] if held else b""))
            for line in held:
                yield line
                seq += 1

    findings = verify(lines(), None, elsewhere)
    if findings.broken:
        return [], findings
    return [Extent(first, size, _time_of(last)) for first, size, last in begun], findings


def _time_of(line: bytes) -> datetime:
    """A segment without a line is about to be removed."""
    return decode(line).time_utc if line else datetime.max.replace(tzinfo=UTC)


def _cut_off(raw: Path, torn: int) -> None:
    with raw.open("r+b") as file:
        file.truncate(raw.stat().st_size - torn)
        os.fsync(file.fileno())


def _finish_cut(folder: Path, number: int) -> None:
    raw = raw_path(folder, number)
    if not raw.exists():
        return
    if not cut_path(folder, number).exists():
        if raw.stat().st_size:
            compress_raw(folder, number)
    elif raw.read_bytes() == _content(folder, number):
        raw.unlink()
    else:
        raise LedgerCorruptError(f"{raw} differs from its cut segment")
