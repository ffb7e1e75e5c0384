"""What a reviewer should see of a task before deciding: verdict, claims, evidence, and what the agent answered to it. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from axiom.api.agenttask import AgentTask, RoundStatus
from axiom.cli.showing import disagreement_line
from axiom.planning.rounds import evidence
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.verifying.texts import clean

_LONGEST = 4_000


def sheet(task: AgentTask) -> str:
    """The whole sheet."""
    return "\n".join(_lines(task))


def _lines(task: AgentTask) -> Iterator[str]:
    status = task.status
    yield f"{task.name}: {status.verdict.value if status.verdict else 'no verdict'} ({status.state.value})"
    yield from _block("why", status.message)
    yield from _block("asked", task.spec.prompt)
    if status.assisted:
        rounds = ", ".join(str(one.number) for one in status.rounds if one.assisted)
        yield f"  assisted: a person stepped in (rounds: {rounds or 'of an earlier attempt'})"
    for at, record in enumerate(status.rounds):
        yield ""
        yield from _round(record, status.rounds[at - 1] if at else None)
    yield ""
    if claim := status.claim:
        yield f"at the end it claimed {claim.says.value}"
    for one in status.claim_disagreements:
        yield f"  but {clean(disagreement_line(one))}"
    if review := status.review:
        yield f"decided: {review.decision.value} by {clean(review.by)} at {review.time}"
        yield from _block("why", review.why)


def _round(record: RoundStatus, before: RoundStatus | None) -> Iterator[str]:
    found = record.verdict.value if record.verdict else "no verdict"
    yield f"round {record.number}{' (assisted)' if record.assisted else ''}: {found}"
    if before and before.verdict is Verdict.FAIL:
        yield from _block("it was told", evidence(before))
        yield from _block("it answered", record.rebuttal)
    if record.claim:
        yield from _block(f"it claimed {record.claim.says.value}", record.claim.text)
    for one in record.disagreements:
        yield f"  but {clean(disagreement_line(one))}"
    for result in record.criteria:
        head = f"{result.name} ({result.type.value}, {result.enforcement.value}, {result.strength.value})"
        yield from _block(f"{head}: {result.verdict.value}", result.message)
    if record.diff:
        yield f"  patch: {record.diff}"


def _block(head: str, text: str) -> Iterator[str]:
    if kept := clean(text, _LONGEST):
        yield f"  {head}:"
        yield textwrap.indent(kept, "    | ", lambda _: True)
