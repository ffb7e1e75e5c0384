"""Which checkpoints a task has, and from which of them its next attempt begins. Pure.

Checkpoints form a line back in time: each names the one before it, and the first of an attempt the one that this attempt began
from. So a task that was rolled back goes on from where it was rolled back to, whatever was taken later on the line that was left.
"""

from __future__ import annotations

from datetime import UTC, datetime

from axiom.api.agenttask import AgentTask, AgentTaskStatus, CheckpointSource, CheckpointStatus, StartingPoint
from axiom.planning.observed import SandboxView
from axiom.planning.sources import Never, NotYet
from axiom.planning.statuses import rfc3339
from axiom_sandbox.protocol.checkpoints import CheckpointTaken, Why

FIELD = "spec.workspace.checkpoint"
MOST_LISTED = 32
_MOST_BROKEN = 3
"""After so many that do not hold, one behind the other, none is tried any more."""


def with_checkpoints(status: AgentTaskStatus, agent: SandboxView | None) -> AgentTaskStatus:
    """The status with the checkpoints of this attempt that are in object storage by now."""
    if agent is None or agent.state is None or agent.identity.attempt != status.attempt:
        return status
    known = list(status.checkpoints)
    for taken in agent.state.checkpoints:
        if _is_stored(agent, taken) and not any(one.digest == taken.digest for one in known):
            known.append(_told(taken, status, known))
    trouble = agent.state.checkpoint_trouble[:1024]
    return status.model_copy(update={"checkpoints": known[-MOST_LISTED:], "checkpoint_trouble": trouble})


def are_news(before: AgentTaskStatus, now: AgentTaskStatus) -> bool:
    """Whether somebody waits to see this: a checkpoint that was asked for, or why there is none."""
    known = {one.digest for one in before.checkpoints}
    asked = any(one.reason is Why.DEMAND and one.digest not in known for one in now.checkpoints)
    return asked or bool(now.checkpoint_trouble and now.checkpoint_trouble != before.checkpoint_trouble)


def next_number(status: AgentTaskStatus) -> int:
    """Of the first checkpoint of a new attempt."""
    return max((one.number for one in status.checkpoints), default=0) + 1


def starting_point(status: AgentTaskStatus) -> StartingPoint | None:
    """From where the attempt after the present one begins; None: from the base."""
    own = [one for one in status.checkpoints if one.attempt == status.attempt]
    present = status.restored
    number = own[-1].number if own else present.number if present and not present.task else 0
    for _ in range(_MOST_BROKEN):
        found = numbered(status, number)
        if found is None:
            break
        if not found.fault:
            return point_of(found)
        number = found.before
    return status.forked_from


def numbered(status: AgentTaskStatus, number: int) -> CheckpointStatus | None:
    """The checkpoint with this number."""
    return next((one for one in status.checkpoints if one.number == number), None)


def point_of(checkpoint: CheckpointStatus) -> StartingPoint:
    """An attempt that begins from this checkpoint."""
    return StartingPoint(
        number=checkpoint.number,
        attempt=checkpoint.attempt,
        digest=checkpoint.digest,
        round=checkpoint.round,
        turn_over=checkpoint.turn_over,
    )


def without_point(status: AgentTaskStatus, why: str) -> AgentTaskStatus:
    """The status once the present attempt's starting point has turned out not to hold."""
    digest = status.restored.digest if status.restored else ""
    marked = [
        one.model_copy(update={"fault": why[:1024]}) if one.digest == digest else one
        for one in status.checkpoints
    ]
    return status.model_copy(update={"checkpoints": marked})


def shown(point: StartingPoint) -> str:
    """For a message."""
    whose = f"of task {point.task!r}" if point.task else f"of attempt {point.attempt}"
    return f"checkpoint {point.number} {whose}"


def fork_of(
    source: CheckpointSource, other: AgentTask | None, own_name: str = ""
) -> tuple[StartingPoint, str] | NotYet | Never:
    """Where a task begins that is forked from another's checkpoint, and the digest of the base that both have.

    Of one that is stored the base is known once it was brought, by whoever looks whether the checkpoint is this namespace's.
    """
    name = source.task
    if stored := source.stored:
        point = StartingPoint(
            number=source.number or 0,
            attempt=stored.attempt,
            round=0,
            turn_over=True,
            digest=stored.digest,
            task=name,
        )
        return point, ""
    if name == own_name:
        return Never(
            f"{FIELD}: a task cannot begin from its own checkpoint; name another, or use spec.rollbackTo"
        )
    if other is None:
        return NotYet(
            f"{FIELD}: there is no AgentTask {name!r} in this namespace; create it, and the task goes on"
        )
    held = [one for one in other.status.checkpoints if not one.fault]
    if source.number is None:
        found = held[-1] if held else None
    else:
        found = next((one for one in held if one.number == source.number), None)
    if found is None:
        which = f"no checkpoint {source.number}" if source.number else "no checkpoint yet"
        there = ", ".join(str(one.number) for one in held)
        text = f"{FIELD}: {name!r} has {which}{f'; it has {there}' if there else ''}"
        return Never(text) if other.status.completion_time else NotYet(text)
    return point_of(found).model_copy(update={"task": name}), other.status.workspace.digest


def _is_stored(agent: SandboxView, taken: CheckpointTaken) -> bool:
    """Parts are stored before their manifest; one that the sandbox has let go of was stored before."""
    assert agent.state is not None
    name = f"checkpoint-{taken.number}"
    return all(
        blob.sealed for blob in agent.state.blobs if blob.name == name or blob.name.startswith(f"{name}-")
    )


def _told(taken: CheckpointTaken, status: AgentTaskStatus, known: list[CheckpointStatus]) -> CheckpointStatus:
    own = [one.number for one in known if one.attempt == status.attempt]
    began = status.restored.number if status.restored and not status.restored.task else 0
    return CheckpointStatus(
        number=taken.number,
        attempt=status.attempt,
        round=taken.round,
        turn_over=taken.turn_over,
        reason=taken.why,
        time=rfc3339(datetime.fromtimestamp(taken.taken_ms / 1000, UTC)),
        size=taken.size,
        digest=taken.digest,
        before=own[-1] if own else began,
    )
