"""The segments of one ledger, wherever they lie, as lines; what cannot be read of them is told and not hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO

import zstandard

from axiom_sandbox.ledger.checking import ALL_HERE, Elsewhere

LARGEST_SEGMENT = 64 * 1024**2
"""Bytes of a segment's content; more than that was never written."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One stored segment."""

    name: str
    """Its file name or key: `….jsonl`, or `….jsonl.zst` where it is compressed."""
    data: bytes


@dataclass
class StoredLedger:
    """A ledger to be read."""

    name: str
    """`<task uid>/<attempt>/<slot>`, or where it lies."""
    load: Callable[[], Iterable[Segment]]
    """Its segments in order. Raises EvidenceError."""
    head: str | None = None
    """Hash of the last record where somebody else witnessed it."""
    elsewhere: Elsewhere = ALL_HERE
    """What a sandbox's own copy has no more: it is in object storage."""
    damage: list[str] = field(default_factory=list)
    """Filled while lines are read: segments that are not as they were stored."""

    def lines(self) -> Iterator[bytes]:
        """All lines with their line feeds; of a damaged segment those that can be read."""
        self.damage.clear()
        for segment in self.load():
            content, fault = unpack(segment)
            if fault:
                self.damage.append(f"{segment.name}: {fault}")
            yield from BytesIO(content)


class EvidenceError(Exception):
    """Evidence could not be read. The message says what, and what to do."""


def unpack(segment: Segment) -> tuple[bytes, str]:
    """A segment → its content, and what is wrong with it (empty: nothing)."""
    if not segment.name.endswith(".zst"):
        return segment.data, ""
    content, rest = bytearray(), segment.data
    while rest:
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        try:
            for start in range(0, len(rest), 4096):
                content += decompressor.decompress(rest[start : start + 4096])
                if len(content) > LARGEST_SEGMENT:
                    return bytes(content), f"holds more than {LARGEST_SEGMENT} bytes, as no segment does"
        except zstandard.ZstdError as error:
            return bytes(content), f"is damaged: {error}"
        if not decompressor.eof:
            return bytes(content), "ends too early"
        if len(decompressor.unused_data) == len(rest):
            break
        rest = decompressor.unused_data + rest[start + 4096 :]
    return bytes(content), ""
