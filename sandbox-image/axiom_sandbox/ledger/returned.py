"""Segments that have left, brought back from object storage: believed only as links of this ledger's own chain. Pure."""

from __future__ import annotations

import zstandard

from axiom_sandbox.ledger.checking import ALL_HERE, Elsewhere, verify
from axiom_sandbox.ledger.errors import LedgerCorruptError
from axiom_sandbox.ledger.files import decompress, split

LARGEST_SEGMENT = 64 * 1024**2
"""Bytes of a segment, packed or not."""


class Returned:
    """Takes them in their order."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        self._all, self._so_far = elsewhere, ALL_HERE

    @property
    def wanted(self) -> int:
        """Number of the next one; one more than there are once all are here."""
        return self._so_far.segments + 1

    def take(self, packed: bytes) -> list[bytes]:
        """The next segment → its lines with their line feeds.

        Raises:
            LedgerCorruptError: it does not follow from the one before, or the ledger that is here does not follow from it.
                It is still wanted.
        """
        number, lines = self.wanted, split(_unpacked(packed))
        findings = verify(lines, None, self._so_far)
        if findings.broken:
            raise LedgerCorruptError(
                f"segment {number} is not the one that has left: {findings.broken.message}"
            )
        so_far = Elsewhere(number, findings.records, findings.head)
        if number == self._all.segments and so_far != self._all:
            raise LedgerCorruptError(
                f"segment {number} is not the one that has left: it ends with record {so_far.records}, hash {so_far.head};"
                f" what is here follows record {self._all.records}, hash {self._all.head}"
            )
        self._so_far = so_far
        return lines


def _unpacked(packed: bytes) -> bytes:
    try:
        if zstandard.frame_content_size(packed) > LARGEST_SEGMENT:
            raise LedgerCorruptError("no segment is as large as this one says that it is")
        return decompress(packed)
    except zstandard.ZstdError as error:
        raise LedgerCorruptError(f"a segment that was brought back cannot be unpacked: {error}") from error
