"""When a task is over, and what it came to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axiom.api.agenttask import RoundStatus
from axiom.api.conditions import Reason
from axiom_sandbox.protocol.channel import Failure, FailureReason
from axiom_sandbox.protocol.criteria import Enforcement
from axiom_sandbox.protocol.verdicts import (
    Claim,
    ClaimAbout,
    ClaimDisagreement,
    CriterionResult,
    Saying,
    Verdict,
)

MAX_LOST_ATTEMPTS = 3
MAX_TRIALS = 2
LEAST_CHANGE_PERCENT = 5
"""A round that failed and changed less of the work than this ends the rounds: `changed_percent` says what is measured."""


@dataclass(frozen=True)
class Outcome:
    """What a task came to. Written once."""

    verdict: Verdict | None
    """None where nothing could be verified and no limit was passed."""
    reason: Reason
    message: str


LIMIT_REASONS = {
    FailureReason.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
    FailureReason.IDLE_EXCEEDED: Reason.IDLE_EXCEEDED,
    FailureReason.STORAGE_EXCEEDED: Reason.STORAGE_EXCEEDED,
    FailureReason.PROCESS_LIMIT_EXCEEDED: Reason.PROCESS_LIMIT_EXCEEDED,
}
"""Limits are part of what was asked: passing one is Fail."""

_FAULT_REASONS = {
    FailureReason.ISOLATION_FAILED: Reason.ISOLATION_FAILED,
    FailureReason.START_FAILED: Reason.START_FAILED,
    FailureReason.WORKSPACE_FAILED: Reason.WORKSPACE_FAILED,
    FailureReason.LEDGER_FAILED: Reason.LEDGER_FAILED,
    FailureReason.INTERNAL_ERROR: Reason.INTERNAL_ERROR,
}
"""Faults for which a new attempt would not help."""


def outcome_of_failure(failure: Failure) -> Outcome | None:
    """What a failed sandbox makes of the task; None where a new attempt may help."""
    if failure.reason in LIMIT_REASONS:
        return Outcome(Verdict.FAIL, LIMIT_REASONS[failure.reason], failure.message)
    if failure.reason in _FAULT_REASONS:
        return Outcome(None, _FAULT_REASONS[failure.reason], failure.message)
    return None


def outcome_of_rounds(rounds: Sequence[RoundStatus], max_rounds: int) -> Outcome | None:
    """What the rounds so far make of the task; None where it goes on."""
    if not rounds or rounds[-1].verdict is None:
        return None
    last = rounds[-1]
    failing = failing_messages(last.criteria)
    match last.verdict:
        case Verdict.PASS:
            return Outcome(Verdict.PASS, Reason.PASSED, f"every hard criterion passed in round {last.number}")
        case Verdict.INCONCLUSIVE:
            if last.trials < MAX_TRIALS:
                return None
            return Outcome(Verdict.INCONCLUSIVE, Reason.NEEDS_REVIEW, f"twice inconclusive: {failing}")
    if last.claim and last.claim.says is Saying.NONE:
        why = last.claim.text.partition("\n")[0].strip("[]")
        failing = f"{why}, and what the agent left does not pass: {failing}"
        reason = Reason.IDLE_EXCEEDED if why.startswith("silent") else Reason.FAILED
    else:
        reason = Reason.FAILED
    if last.number >= max_rounds:
        return Outcome(Verdict.FAIL, reason, failing)
    if why := stagnation(rounds):
        return Outcome(Verdict.FAIL, Reason.NEEDS_REVIEW, f"{why}; {failing}")
    return None


def stagnation(rounds: Sequence[RoundStatus]) -> str:
    """Why a further round would be no use; empty if it may be."""
    if len(rounds) < 2:
        return ""
    before, last = rounds[-2], rounds[-1]
    if last.fingerprint and before.fingerprint == last.fingerprint:
        return f"round {last.number} changed nothing"
    if last.changed_percent is not None and last.changed_percent < LEAST_CHANGE_PERCENT:
        return f"round {last.number} changed less than {LEAST_CHANGE_PERCENT}% of the work"
    if _failures(before.criteria) == _failures(last.criteria):
        return f"round {last.number} failed in exactly the same way as the round before"
    return ""


def failing_messages(results: Sequence[CriterionResult]) -> str:
    """The hard criteria that did not pass, in one line."""
    return (
        "; ".join(f"{name}: {message}" for name, _, message in _failures(results))
        or "no criterion was decided"
    )


def disagreements(claim: Claim | None, last: RoundStatus | None, outcome: Outcome) -> list[ClaimDisagreement]:
    """What the agent claimed at the end, and the evidence says otherwise of: of its outcome first."""
    verdict, stated = outcome.verdict, last.disagreements if last else []
    pair = (claim.says if claim else None, verdict)
    if verdict is None or pair not in ((Saying.SUCCESS, Verdict.FAIL), (Saying.FAILURE, Verdict.PASS)):
        return list(stated)
    assert claim is not None
    found = ClaimDisagreement(
        about=ClaimAbout.OUTCOME, claimed=claim.says.value, found=f"{verdict.value}: {outcome.message}"
    )
    return [found, *stated]


def _failures(results: Sequence[CriterionResult]) -> list[tuple[str, Verdict, str]]:
    return [
        (result.name, result.verdict, result.message)
        for result in results
        if result.enforcement is Enforcement.HARD and result.verdict is not Verdict.PASS
    ]
