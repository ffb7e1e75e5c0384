"""The steps that every part of a plan is made of."""

from __future__ import annotations

from axiom.api.agenttask import AgentTaskStatus, StartingPoint
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Action, DeleteSandbox, Send, Wait, WriteStatus
from axiom.planning.checkpoints import shown, starting_point, with_checkpoints
from axiom.planning.observed import Observed, Presence, SandboxView, Trouble
from axiom.planning.present import Present
from axiom.planning.statuses import condition, with_condition, with_isolation
from axiom_sandbox.protocol.channel import Command, CommandEnvelope, SetDeadline

RETRY_SECONDS = 30.0
GATEWAY_SECONDS = 30.0
"""A sandbox that waits for the gateway for longer is not forgotten: somebody should look."""
_LOOK_SECONDS = 5.0
NEW_FOLLOWS = "; a new one follows"
_REFUSALS = (
    Reason.CLASS_NOT_FOUND,
    Reason.CLASS_INVALID,
    Reason.PROFILE_INVALID,
    Reason.PRICES_MISSING,
    Reason.CAPABILITY_BEYOND_CLASS,
    Reason.JUDGE_MISSING,
    Reason.INVALID_SPEC,
)


def delete(view: SandboxView) -> DeleteSandbox:
    """Delete this sandbox."""
    return DeleteSandbox(view.identity, view.uid)


def send(view: SandboxView, key: str, command: Command) -> Send:
    """Send a command; the same key is the same command."""
    return Send(view.identity, CommandEnvelope(key=f"{view.identity.agent_id}/{key}", command=command))


def write_if_new(observed: Observed, status: AgentTaskStatus) -> tuple[Action, ...]:
    """A status write, unless nothing changed."""
    return () if status == observed.task.status else (WriteStatus(status),)


def waiting(present: Present) -> tuple[Action, ...]:
    """Nothing to do before something happens or the deadline passes."""
    return (Wait(max(present.seconds_left, 0.1), "limits.deadline"),)


def move_deadlines(present: Present) -> tuple[Action, ...]:
    """limits.deadline may change while a task runs, and stand; every sandbox that was given another one is told."""
    wanted = int(present.told_deadline.timestamp() * 1000)
    which = f"{present.observed.generation}-{present.pause_name}"  # the same deadline may come again
    return tuple(
        send(view, f"deadline-{wanted}-{which}", SetDeadline(deadline_ms=wanted))
        for view in present.current_views()
        if view.presence is Presence.RUNNING
        and view.state
        and not view.over
        and view.state.deadline_ms not in (None, wanted)
    )


def note_trouble(
    present: Present,
    trouble: Trouble,
    kind: ConditionType = ConditionType.SANDBOX_READY,
    value: bool | None = False,
) -> tuple[Action, ...]:
    """Say what holds the task up, once, and look again later; also what the probe found, if it ran meanwhile."""
    if trouble.reason in _REFUSALS:
        kind = ConditionType.ACCEPTED
    status = with_isolation(present.status, present.now, present.agent)
    status = with_condition(status, present.now, kind, value, trouble.reason, trouble.message)
    left = present.seconds_left
    return write_if_new(present.observed, status) or (
        Wait(min(RETRY_SECONDS, max(left, 0.1)), trouble.message),
    )


def carrying_trouble(view: SandboxView, waits_for: str) -> Trouble | None:
    """Why the gateway does not do for this sandbox what it waits for; None while it may just take its time."""
    if view.storage_trouble:
        return view.storage_trouble
    if view.quiet_seconds < GATEWAY_SECONDS:
        return None
    message = f"no gateway has come {waits_for}; see whether one runs, and its log"
    return Trouble(Reason.GATEWAY_SILENT, message)


def wait_for_gateway(
    present: Present,
    view: SandboxView,
    waits_for: str,
    kind: ConditionType,
    value: bool | None,
) -> tuple[Action, ...]:
    """Look again soon; what holds the gateway up is said in this condition."""
    trouble = carrying_trouble(view, waits_for)
    look_again = Wait(
        min(_LOOK_SECONDS, max(present.seconds_left, 0.1)), f"the gateway is awaited {waits_for}"
    )
    if trouble is None:
        return (look_again,)
    status = with_condition(present.status, present.now, kind, value, trouble.reason, trouble.message)
    return write_if_new(present.observed, status) or (look_again,)


def gateway_is_back(
    present: Present, view: SandboxView | None, kind: ConditionType, reason: Reason
) -> tuple[Action, ...]:
    """Takes back what `wait_for_gateway` said in a condition that stays open, once it is over."""
    said = condition(present.status, kind)
    if said is None or said.reason not in (Reason.STORAGE_UNAVAILABLE, Reason.GATEWAY_SILENT):
        return ()
    if view and carrying_trouble(view, ""):
        return ()
    return (WriteStatus(with_condition(present.status, present.now, kind, None, reason)),)


def next_attempt(present: Present, why: str, loss: Reason | None = None) -> tuple[Action, ...]:
    """A new attempt begins at the round that was under way. `loss`: the last one ended by no fault of the agent."""
    known = with_checkpoints(present.status, present.agent)
    return (WriteStatus(_next(present, known, starting_point(known), why, loss, loss or Reason.CREATING)),)


def begin_from(
    present: Present, known: AgentTaskStatus, point: StartingPoint | None, why: str, reason: Reason
) -> tuple[Action, ...]:
    """A new attempt, through nobody's fault, from this point; None: from the base. `known` has all that is known of the
    present one."""
    return (WriteStatus(_next(present, known, point, why, None, reason)),)


def _next(
    present: Present,
    known: AgentTaskStatus,
    point: StartingPoint | None,
    why: str,
    loss: Reason | None,
    reason: Reason,
) -> AgentTaskStatus:
    status = known.model_copy(
        update={
            "attempt": known.attempt + 1,
            "lost_attempts": known.lost_attempts + (1 if loss else 0),
            "rounds": [record for record in known.rounds if record.verdict is not None],
            "restored": point,
        }
    )
    follows = NEW_FOLLOWS + (f", from {shown(point)}" if point else "")
    status = with_condition(status, present.now, ConditionType.SANDBOX_READY, False, reason, why + follows)
    status = with_condition(status, present.now, ConditionType.ISOLATED, None, Reason.CREATING)
    return with_condition(status, present.now, ConditionType.RUNNING, False, Reason.CREATING)
