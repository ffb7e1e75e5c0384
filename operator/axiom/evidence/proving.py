"""Whether a stored ledger is the one that was written. Pure, but for reading it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from axiom.evidence.segments import StoredLedger
from axiom_sandbox.ledger.checking import Break, Elsewhere, Findings, every_fault, verify


@dataclass(frozen=True)
class Proof:
    """What the proof of one ledger came to."""

    name: str
    findings: Findings
    faults: tuple[Break, ...]
    """Every one; `findings.broken` is the first."""
    damage: tuple[str, ...]
    """Segments that are not as they were stored."""
    witnessed: bool
    """There was a head to compare with."""
    lines: int
    """Lines that could be read."""
    elsewhere: Elsewhere
    """What is in object storage, and not in this copy; its records count among those of `findings`."""

    @property
    def is_whole(self) -> bool:
        """Nothing was edited, removed, inserted, reordered, cut off or damaged."""
        return self.findings.intact and not self.damage

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        first = self.findings.broken
        return {
            "ledger": self.name,
            "whole": self.is_whole,
            "witnessed": self.witnessed,
            "records": self.findings.records,
            "head": self.findings.head,
            "elsewhere": asdict(self.elsewhere) if self.elsewhere.segments else None,
            "broken": _as_json(first) if first else None,
            "faults": [_as_json(fault) for fault in self.faults],
            "damage": list(self.damage),
            "gaps": [{"seq": item.seq, **item.gap.model_dump(mode="json")} for item in self.findings.gaps],
        }


def prove(ledger: StoredLedger, head: str | None = None) -> Proof:
    """Against the head that is given, else the witnessed one. Raises EvidenceError."""
    wanted = head if head is not None else ledger.head
    counted = _Counted(ledger.lines())
    findings = verify(counted, wanted, ledger.elsewhere)
    for _ in counted:
        pass  # what follows a fault may be damaged, too
    damage = tuple(ledger.damage)
    faults: tuple[Break, ...] = ()
    if findings.broken:
        faults = every_fault(ledger.lines(), wanted, ledger.elsewhere) or (findings.broken,)
    return Proof(ledger.name, findings, faults, damage, wanted is not None, counted.count, ledger.elsewhere)


class _Counted:
    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self.count = lines, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self.count += 1
        return line


def _as_json(fault: Break) -> dict[str, Any]:
    return {"seq": fault.seq, "fault": fault.fault.value, "message": fault.message}
