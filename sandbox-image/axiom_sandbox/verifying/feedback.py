"""What the agent is told after a verification that did not pass. Pure."""

from __future__ import annotations

from axiom_sandbox.protocol.channel import Verification
from axiom_sandbox.protocol.criteria import Enforcement
from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict
from axiom_sandbox.verifying.texts import clean

MAX_FEEDBACK = 8000


def feedback(verification: Verification, round: int) -> str:
    """The text that is typed into the agent's session for the next round: what failed, and where."""
    failed = [result for result in verification.results if result.verdict is Verdict.FAIL]
    failed.sort(key=lambda result: result.enforcement is not Enforcement.HARD)
    met = [result.name for result in verification.results if result.verdict is Verdict.PASS]
    parts = [f"Your work of round {round} was checked, and it does not meet every criterion yet."]
    parts += [_paragraph(result) for result in failed]
    if met:
        parts.append(f"Met: {', '.join(met)}.")
    parts.append("Please go on in the same workspace until every criterion is met.")
    return clean("\n\n".join(parts), MAX_FEEDBACK)


def _paragraph(result: CriterionResult) -> str:
    note = "" if result.enforcement is Enforcement.HARD else ", advisory"
    return f"{result.name} ({result.type.value}{note}):\n{result.message}"
