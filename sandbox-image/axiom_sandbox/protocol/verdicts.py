"""The words for what an agent said and what the verifiers found, and how single results combine."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from axiom_sandbox.protocol.criteria import CriterionType, Enforcement
from axiom_sandbox.protocol.model import ApiModel


class Verdict(StrEnum):
    """What the verifiers found."""

    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


class Strength(StrEnum):
    """How far the evidence is out of reach of the code under test."""

    PROCESS = "Process"
    """Decided outside every process that ran the agent's code."""
    IN_PROCESS = "InProcess"
    """The test shared a process with the code under test."""


class Saying(StrEnum):
    """What the agent's end amounts to, in its own word."""

    DONE = "Done"
    FAILED = "Failed"
    SILENT = "Silent"
    """It was ended before it said anything."""


class Claim(ApiModel):
    """What the agent said at the end of a turn. Never a verdict."""

    says: Saying
    """Done: it ended by itself with exit code 0. Failed: another code or a signal. Silent: we ended it."""
    exit_code: int | None = None
    """Exit code of the agent's process."""
    signal: int | None = None
    """Signal that ended it."""
    text: str = ""
    """The last lines it printed, without control characters."""


class CriterionResult(ApiModel):
    """What one criterion came to."""

    name: str
    """The criterion's name."""
    type: CriterionType
    """Its kind."""
    enforcement: Enforcement
    """Whether it decides."""
    verdict: Verdict
    """What was found."""
    message: str
    """Why, for a person and for the agent's next round: what failed and where."""
    strength: Strength = Strength.PROCESS
    """How far the evidence is out of reach of the agent's code."""


def combine(results: Sequence[CriterionResult]) -> Verdict:
    """All hard criteria → one verdict: a Fail outweighs everything, and nothing proved is Inconclusive."""
    hard = [result.verdict for result in results if result.enforcement is Enforcement.HARD]
    if Verdict.FAIL in hard:
        return Verdict.FAIL
    return Verdict.PASS if hard and all(verdict is Verdict.PASS for verdict in hard) else Verdict.INCONCLUSIVE
