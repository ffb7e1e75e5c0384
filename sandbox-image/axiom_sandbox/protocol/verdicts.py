"""The words for what an agent said and what the verifiers found, and how single results combine."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from axiom_sandbox.protocol.checks import clip
from axiom_sandbox.protocol.criteria import CriterionType, Enforcement
from axiom_sandbox.protocol.model import ApiModel, Message

StatusText = Annotated[str, AfterValidator(clip(4096)), Field(json_schema_extra={"maxLength": 4096})]
"""Text for a person in a status; what is longer than 4096 characters is cut off."""


class Verdict(StrEnum):
    """What the verifiers found."""

    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    """Every hard criterion holds."""
    FAIL = "Fail"
    """A hard criterion does not hold."""
    INCONCLUSIVE = "Inconclusive"
    """It could not be decided: nothing proved, nothing refuted."""


class Strength(StrEnum):
    """How far the evidence is out of reach of the code under test."""

    PROCESS = "Process"
    """Decided outside every process that ran the agent's code."""
    IN_PROCESS = "InProcess"
    """The test shared a process with the code under test."""


class Saying(StrEnum):
    """What the agent's end amounts to, in its own word."""

    SUCCESS = "Success"
    """It ended by itself with exit code 0, or said that its turn went well."""
    FAILURE = "Failure"
    """It ended with another exit code or by a signal, or said that its turn failed."""
    NONE = "None"
    """It was ended before it said anything."""

    @classmethod
    def _missing_(cls, value: object) -> Saying | None:
        """The words of evidence that earlier versions left."""
        earlier = {"Done": cls.SUCCESS, "Failed": cls.FAILURE, "Silent": cls.NONE}
        return earlier.get(value) if isinstance(value, str) else None


class Claim(ApiModel):
    """What the agent said at the end of a turn. Never a verdict."""

    says: Saying
    """What its end amounts to."""
    exit_code: int | None = None
    """Exit code of the agent's process."""
    signal: int | None = None
    """Signal that ended it."""
    text: StatusText = ""
    """The last lines it printed, without control characters."""


class ClaimAbout(StrEnum):
    """What it is that an agent claimed."""

    OUTCOME = "Outcome"
    """That it succeeded, or that it failed."""
    FILE_WRITTEN = "FileWritten"
    """That a file was written or changed."""
    FILE_DELETED = "FileDeleted"
    """That a file was deleted."""
    COMMAND_RAN = "CommandRan"
    """That a command was run, or that it worked."""
    TESTS_PASS = "TestsPass"  # noqa: S105 - a kind of claim, not a password
    """That tests pass."""


class ClaimDisagreement(ApiModel):
    """Something that the agent claimed, and that the evidence says otherwise of."""

    about: ClaimAbout
    """What kind of thing."""
    claimed: Annotated[str, AfterValidator(clip(300)), Field(json_schema_extra={"maxLength": 300})]
    """The path, the command, or the agent's own words."""
    found: Annotated[str, AfterValidator(clip(600)), Field(json_schema_extra={"maxLength": 600})]
    """What the evidence says."""


class CriterionResult(ApiModel):
    """What one criterion came to."""

    name: Annotated[str, Field(max_length=63)]
    """The criterion's name."""
    type: CriterionType
    """Its kind."""
    enforcement: Enforcement
    """Whether it decides."""
    verdict: Verdict
    """What was found."""
    message: StatusText
    """Why, for a person and for the agent's next round: what failed and where."""
    strength: Strength = Strength.PROCESS
    """How far the evidence is out of reach of the agent's code."""


class Remark(Message):
    """What was found at one place of the workspace: evidence, and a line for an editor or a review to show."""

    path: str
    """Path inside the workspace, printable."""
    line: int = 0
    """From 1 on; 0: the file as a whole."""
    text: str


def combine(results: Sequence[CriterionResult]) -> Verdict:
    """All hard criteria → one verdict: a Fail outweighs everything, and nothing proved is Inconclusive."""
    hard = [result.verdict for result in results if result.enforcement is Enforcement.HARD]
    if Verdict.FAIL in hard:
        return Verdict.FAIL
    return Verdict.PASS if hard and all(verdict is Verdict.PASS for verdict in hard) else Verdict.INCONCLUSIVE
