"""Gathers what a run's report is made of."""

from __future__ import annotations

from collections.abc import Iterator

from axiom.evidence.finding import TaskEvidence
from axiom.evidence.proving import prove
from axiom.evidence.reports import DiffSize, Proved, report
from axiom.evidence.searching import parsed
from axiom.evidence.segments import EvidenceError


def report_of(evidence: TaskEvidence) -> Iterator[str]:
    """The Markdown page of one task. Raises EvidenceError."""
    ledgers = []
    for ledger in evidence.ledgers:
        proof = prove(ledger)
        lines = tuple(parsed(ledger.lines()))
        faults = (
            *(f"record {fault.seq} ({fault.fault.value}): {fault.message}" for fault in proof.faults),
            *proof.damage,
        )
        ledgers.append(Proved(ledger.name, lines, proof.findings.head, proof.witnessed, faults))
    yield from report(evidence.task, ledgers, _diff(evidence))


def _diff(evidence: TaskEvidence) -> DiffSize | None:
    task = evidence.task
    if task is None or evidence.blob is None or not task.status.rounds or not task.status.rounds[-1].diff:
        return None
    try:
        return DiffSize.of(evidence.blob(task.status.rounds[-1].diff))
    except EvidenceError:
        return None  # the report says that it was not at hand
