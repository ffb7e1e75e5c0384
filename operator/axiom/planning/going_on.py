"""Suspended, rolled back, moved to another place: the agent's sandbox leaves in order, and another goes on from its checkpoint."""

from __future__ import annotations

from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Action, Wait, WriteStatus
from axiom.planning.checkpoints import (
    are_news,
    numbered,
    point_of,
    shown,
    starting_point,
    with_checkpoints,
    without_point,
)
from axiom.planning.observed import Presence, SandboxView
from axiom.planning.present import Present
from axiom.planning.rounds import is_kept, undecided_round, verify_without_agent
from axiom.planning.statuses import with_condition, with_evidence
from axiom.planning.steps import (
    begin_from,
    delete,
    move_deadlines,
    next_attempt,
    send,
    wait_for_gateway,
    write_if_new,
)
from axiom_sandbox.protocol.channel import FailureReason, Phase, Stop, TakeCheckpoint
from axiom_sandbox.protocol.identity import Role

_STOPPING_SECONDS = 180.0
"""A sandbox that was told to keep a checkpoint, and shows nothing for so long, is ended without."""
_LEAVING_SECONDS = 75.0
"""A pod that was told to end has a minute for it."""


def suspend(present: Present) -> tuple[Action, ...]:
    """A checkpoint first, then every pod goes, and the status says so. A verification that is under way is not cut off.

    What runs meanwhile is told that the deadline stands.
    """
    if going := _verification_under_way(present) or leave(present, Reason.SUSPENDED):
        return (*move_deadlines(present), *going)
    status = with_evidence(with_checkpoints(present.status, present.agent), present.agent)
    if not is_kept(present):
        decided = [record for record in status.rounds if record.verdict is not None]
        status = status.model_copy(update={"rounds": decided})
    point = starting_point(status)
    why = (
        f"spec.suspend is true, and limits.deadline stands; {shown(point)} is kept"
        if point
        else "spec.suspend is true, and limits.deadline stands; there is no checkpoint"
    )
    if status.checkpoint_trouble:
        why += f", and none could be taken now: {status.checkpoint_trouble}"
    status = with_condition(status, present.now, ConditionType.SANDBOX_READY, False, Reason.SUSPENDED, why)
    if writing := write_if_new(present.observed, status):
        return writing
    there = [view for view in present.observed.sandboxes if view.presence is not Presence.GONE]
    if there:
        return tuple(delete(view) for view in there)
    status = with_condition(status, present.now, ConditionType.RUNNING, False, Reason.SUSPENDED, why)
    return write_if_new(present.observed, status)


def resume(present: Present) -> tuple[Action, ...]:
    """A round that was captured is judged first; else the agent goes on from the checkpoint."""
    record = undecided_round(present)
    if record is None:
        return next_attempt(present, "resumed")
    why = f"resumed; round {record.number} is captured, and judged before the agent goes on"
    status = with_condition(
        present.status, present.now, ConditionType.SANDBOX_READY, False, Reason.MADE_ROOM, why
    )
    status = with_condition(
        status, present.now, ConditionType.RUNNING, True, Reason.VERIFYING, f"round {record.number}"
    )
    return (WriteStatus(status),)


def roll_back(present: Present) -> tuple[Action, ...]:
    """Carries spec.rollbackTo out, once; empty where it is, or where there is none."""
    wanted, done = present.spec.rollback_to, present.status.rolled_back_to
    if wanted == done:
        return ()
    if wanted is None:
        return (WriteStatus(present.status.model_copy(update={"rolled_back_to": None})),)
    known = with_checkpoints(present.status, present.agent)
    found = numbered(known, wanted)
    noted = known.model_copy(update={"rolled_back_to": wanted})
    if found is None or found.fault:
        there = ", ".join(str(one.number) for one in known.checkpoints if not one.fault) or "none"
        why = found.fault if found else f"there is no checkpoint {wanted}, of those that hold: {there}"
        message = f"spec.rollbackTo: {why}; the agent was left as it is"
        return (WriteStatus(noted.model_copy(update={"message": message[:4096]})),)
    if leaving := leave(present, Reason.ROLLED_BACK):
        return leaving
    noted = with_evidence(noted, present.agent)
    why = f"spec.rollbackTo is {wanted}"
    return begin_from(present, noted, point_of(found), why, Reason.ROLLED_BACK)


def leave(present: Present, reason: Reason) -> tuple[Action, ...]:
    """Has the agent's sandbox take a checkpoint and end; empty once that is stored, or nobody can be waited for."""
    agent = present.agent
    if agent is None or agent.presence is not Presence.RUNNING or agent.trouble or agent.state is None:
        return ()
    if not agent.over:
        if agent.phase not in (Phase.RUNNING, Phase.ROUND_ENDED):
            return ()  # nothing has run that could be kept
        if not agent.state.stopping:
            stop = Stop(reason=reason.value, checkpoint=True)
            return (send(agent, "stop", stop), Wait(5, "the sandbox is stopping"))
        left = _STOPPING_SECONDS - agent.quiet_seconds
        return (Wait(left, "the sandbox keeps a checkpoint, and stops"),) if left > 0 else ()
    if agent.sealed or present.sealing_seconds_left(agent) <= 0:
        return ()
    return wait_for_gateway(
        present, agent, "to store the agent's checkpoint", ConditionType.SANDBOX_READY, value=False
    )


def is_leaving(agent: SandboxView) -> bool:
    """Its pod was told to end, and its trusted side is still to say what it kept."""
    return bool(
        agent.leaving_seconds is not None
        and agent.leaving_seconds < _LEAVING_SECONDS
        and agent.state
        and not agent.sealed
        and not (agent.trouble and agent.trouble.reason is Reason.NODE_LOST)
    )


def until_left(agent: SandboxView) -> tuple[Action, ...]:
    """The next attempt begins from what this one keeps at its end."""
    assert agent.leaving_seconds is not None
    left = max(_LEAVING_SECONDS - agent.leaving_seconds, 0.1)
    return (Wait(min(left, 5.0), "the sandbox was told to end, and keeps a checkpoint"),)


def broken_point(present: Present) -> tuple[Action, ...]:
    """The checkpoint that this attempt began from does not hold: the one before it is used. Empty where it holds."""
    why = _fault(present)
    if not why:
        return ()
    known = without_point(with_checkpoints(present.status, present.agent), why)
    point = present.status.restored
    name = shown(point) if point else "the checkpoint"
    return begin_from(
        present, known, starting_point(known), f"{name} does not hold: {why}", Reason.CHECKPOINT_BROKEN
    )


def forks_fault(present: Present) -> str:
    """Why the other task's checkpoint that this one was to begin from does not hold; empty if it does."""
    point = present.status.restored
    why = _fault(present) if point and point.task else ""
    return f"spec.workspace.checkpoint: {shown(point)} does not hold: {why}" if point and why else ""


def tell_checkpoints(present: Present) -> tuple[Action, ...]:
    """A checkpoint that somebody asked for stands in the status at once."""
    status = with_checkpoints(present.status, present.agent)
    return (WriteStatus(status),) if are_news(present.status, status) else ()


def take_what_was_asked_for(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    """Passes a request for a checkpoint on to the agent's sandbox."""
    request, state = present.observed.checkpoint_request, agent.state
    if not request or state is None or state.checkpoint_request == request:
        return ()
    if state.phase not in (Phase.RUNNING, Phase.ROUND_ENDED) or agent.presence is not Presence.RUNNING:
        return ()
    return (send(agent, f"checkpoint-{request}", TakeCheckpoint(by="operator", request=request)),)


def _fault(present: Present) -> str:
    state = present.agent.state if present.agent else None
    if state is None or present.status.restored is None:
        return ""
    if state.restored and not state.restored.ok:
        return state.restored.message or "it cannot be put in place"
    failure = state.failure
    return failure.message if failure and failure.reason is FailureReason.RESTORE_FAILED else ""


def _verification_under_way(present: Present) -> tuple[Action, ...]:
    """The steps of a verifier that has begun; empty where there is none."""
    begun = any(
        view.identity.role is Role.VERIFIER
        and view.presence is Presence.RUNNING
        and view.state is not None
        and view.trouble is None
        for view in present.current_views()
    )
    if not begun:
        return ()
    return (*leave(present, Reason.SUSPENDED), *verify_without_agent(present))
