"""The result of another task as a workspace: whether it is there yet, and whether it will do. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from axiom.api.agenttask import AgentTask, TaskSource
from axiom.api.conditions import ConditionType
from axiom.planning.statuses import is_true, round_of
from axiom_sandbox.protocol.verdicts import Verdict

FIELD = "spec.workspace.task"


@dataclass(frozen=True)
class Result:
    """What a task left."""

    base: str
    """Digest of its base archive."""
    changes: str
    """Digest of the changes archive."""
    revision: str
    """`<uid>/<round>`: which result it is."""


@dataclass(frozen=True)
class NotYet:
    """There may be a result later."""

    why: str


@dataclass(frozen=True)
class Never:
    """There is no result that will do."""

    why: str


def result_of(source: TaskSource, other: AgentTask | None, own_name: str = "") -> Result | NotYet | Never:
    """What the other task, if there is one, has to offer to the one that is called `own_name`."""
    name = source.name
    if name == own_name:
        return Never(f"{FIELD}: a task cannot work on its own result; name another")
    if other is None:
        return NotYet(
            f"{FIELD}: there is no AgentTask {name!r} in this namespace; create it, and the task goes on"
        )
    if not is_true(other.status, ConditionType.COMPLETE):
        return NotYet(f"{FIELD}: {name!r} is not complete yet")
    rounds = other.status.rounds
    record = round_of(rounds, source.round) if source.round else (rounds[-1] if rounds else None)
    if record is None or not record.changes or not other.status.workspace.digest:
        which = f"in round {source.round}" if source.round else "at all"
        return Never(
            f"{FIELD}: nothing was captured of {name!r} {which}; its message: {other.status.message}"
        )
    if record.verdict is not Verdict.PASS and not source.allow_failed:
        found = record.verdict.value if record.verdict else "none"
        return Never(
            f"{FIELD}: the verdict on round {record.number} of {name!r} is {found}; mend that task, or set"
            " allowFailed in a new one if its result will do all the same"
        )
    return Result(other.status.workspace.digest, record.changes, f"{other.uid}/{record.number}")
