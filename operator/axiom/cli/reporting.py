"""Gathers what a run's report is made of."""

from __future__ import annotations

from collections.abc import Iterator

from axiom.evidence.finding import TaskEvidence
from axiom.evidence.masking import mask_lines, scanner_of
from axiom.evidence.proving import prove
from axiom.evidence.reports import DiffSize, Proved, report
from axiom.evidence.searching import parsed
from axiom.evidence.segments import EvidenceError
from axiom_sandbox.secrets.masking import masked


def report_of(evidence: TaskEvidence, *, masks: bool = True) -> Iterator[str]:
    """The Markdown page of one task; `masks`: without its secrets. Raises EvidenceError."""
    page = "\n".join(_blocks(evidence, masks=masks))
    yield masked(scanner_of(), page) if masks else page


def _blocks(evidence: TaskEvidence, *, masks: bool) -> Iterator[str]:
    ledgers = []
    for ledger in evidence.ledgers:
        proof = prove(ledger)
        lines = tuple(parsed(mask_lines(ledger.lines()) if masks else ledger.lines()))
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
