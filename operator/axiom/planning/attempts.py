"""A sandbox's life: created, fed, probed, started, and given up."""

from __future__ import annotations

from axiom.api.agenttask import AgentTaskStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.api.usage import micro_dollars
from axiom.planning.actions import Action, CreateSandbox, DeleteSandbox, Wait, WriteStatus
from axiom.planning.briefing import TOKEN_PLACEHOLDER, prompt_of, start_command
from axiom.planning.checkpoints import next_number, shown
from axiom.planning.observed import Presence, SandboxView, Trouble
from axiom.planning.pausing import tell_vendor, why
from axiom.planning.present import Present
from axiom.planning.rounds import evidence, round_ended, stopped
from axiom.planning.spending import told_known, told_spend
from axiom.planning.statuses import round_of, with_condition, with_isolation
from axiom.planning.steps import (
    RETRY_SECONDS,
    delete,
    move_deadlines,
    next_attempt,
    note_trouble,
    send,
    waiting,
)
from axiom.planning.supplying import (
    awaited_place,
    supply,
    waiting_for_workspace,
    with_kept_workspace,
    workspace_found,
)
from axiom.planning.working import working
from axiom_sandbox.protocol.channel import FailureReason, Phase, SetBudget
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Verdict

_EXPLAINS_WITHIN_SECONDS = 10.0


def without_sandbox(present: Present) -> tuple[Action, ...]:
    """Create the sandbox of this attempt, or say why it cannot be."""
    if present.had_sandbox:
        return next_attempt(present, f"the sandbox of attempt {present.status.attempt} is gone", Reason.LOST)
    if present.observed.creation_refused:
        return note_trouble(present, Trouble(Reason.CREATION_REFUSED, present.observed.creation_refused))
    if present.observed.refusal:
        return note_trouble(present, present.observed.refusal)
    if vendor := present.observed.vendor:
        return note_trouble(present, Trouble(Reason.WAITING_FOR_VENDOR, why(vendor)))
    if (before := awaited_place(present)) is not None:
        return before
    return (
        *supply(present),
        CreateSandbox(
            present.observed.identity(Role.AGENT, present.status.attempt),
            present.status.workspace.digest,
            checkpoint=present.status.restored.digest if present.status.restored else "",
        ),
    )


def is_lost(present: Present, agent: SandboxView) -> bool:
    """The sandbox ended by itself, or its trusted side gave up."""
    if agent.presence is Presence.GONE:
        return True
    failure = agent.state.failure if agent.state and agent.phase is Phase.FAILED else None
    return failure is not None and _seconds_of_explaining(present, agent) <= 0


def _seconds_of_explaining(present: Present, agent: SandboxView) -> float:
    """Where only the untrusted side went, its pod is ending, and will soon say more: how long that is waited for."""
    failure = agent.state.failure if agent.state else None
    if agent.state is None or failure is None or failure.reason is not FailureReason.LAUNCHER_LOST:
        return 0
    return _EXPLAINS_WITHIN_SECONDS - agent.quiet_seconds


def with_sandbox(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    """Follow a sandbox through its phases."""
    if agent.trouble and not present.had_sandbox:
        if agent.outdated:
            return next_attempt(present, "its images were changed")
        return note_trouble(with_kept_workspace(present), agent.trouble)
    return (
        *move_deadlines(present),
        *_move_budget(present, agent),
        *tell_vendor(present, agent),
        *_at_phase(present, agent),
    )


def _move_budget(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    """limits.budget may change while a task runs; an agent that was started is held to it by its own count, too."""
    budget, state = present.spec.limits.budget, agent.state
    wanted = micro_dollars(budget.usd) if budget else None
    if state is None or state.vendor_down is None or agent.over or state.budget_micro_usd == wanted:
        return ()
    command = SetBudget(budget_micro_usd=wanted)
    return (send(agent, f"budget-{wanted}-{present.observed.generation}", command),)


def _at_phase(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    match agent.phase:
        case None | Phase.STARTING:
            return waiting(present)
        case Phase.WAITING_FOR_WORKSPACE:
            return waiting_for_workspace(present, agent)
        case Phase.READY | Phase.RUNNING if not present.had_sandbox:
            return (WriteStatus(_running(present, agent)),)
        case Phase.READY:
            return (_start(present, agent),)
        case Phase.RUNNING:
            return working(present, agent)
        case Phase.ROUND_ENDED:
            return round_ended(present, agent)
        case Phase.STOPPED:
            return stopped(present, agent)
        case Phase.FAILED:
            return (Wait(max(_seconds_of_explaining(present, agent), 0.1), "the sandbox's pod is ending"),)
        case _:
            return waiting(present)


def _running(present: Present, agent: SandboxView) -> AgentTaskStatus:
    assert agent.state is not None
    workspace, notes = workspace_found(present, agent.state)
    status = present.status.model_copy(
        update={"observed_generation": present.observed.generation, "workspace": workspace, "message": ""}
    )
    status = with_condition(status, present.now, ConditionType.ACCEPTED, True, Reason.ACCEPTED)
    point = status.restored
    notes = "; ".join(filter(None, (f"goes on from {shown(point)}" if point else "", notes)))
    status = with_condition(status, present.now, ConditionType.SANDBOX_READY, True, Reason.READY, notes)
    status = with_isolation(status, present.now, present.agent)
    return with_condition(
        status, present.now, ConditionType.RUNNING, True, Reason.AGENT_RUNNING, f"round {status.round}"
    )


def _start(present: Present, agent: SandboxView) -> Action:
    """The attempt's first round: round 1, or the round that was under way when the last attempt was lost."""
    agent_class = present.observed.agent_class
    if agent_class is None:
        return Wait(RETRY_SECONDS, "the AgentClass is gone")
    number = len(present.status.rounds) + 1
    prompt = prompt_of(present.task, agent_class)
    if present.status.rounds:
        last = present.status.rounds[-1]
        prompt = f"{prompt}\n\n{evidence(last)}"
    command = start_command(present.task, agent_class, present.accepted, number, prompt, TOKEN_PLACEHOLDER)
    known = {
        "going_on": _going_on(present, prompt),
        "next_checkpoint": next_number(present.status),
        "spent_micro_usd": told_spend(told_known(present.observed), besides=present.status.attempt),
    }
    return send(agent, "start", command.model_copy(update=known))


def _going_on(present: Present, prompt: str) -> str:
    """What an agent is told that goes on in a checkpoint's session; empty: it was in the middle of something."""
    point = present.status.restored
    if point is None:
        return ""
    if point.task:
        return prompt
    record = round_of(present.status.rounds, point.round)
    return evidence(record) if point.turn_over and record and record.verdict is Verdict.FAIL else ""


def stale(present: Present, actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Deletions of sandboxes whose work is done: former attempts, suppliers of a known base, verifiers that judged."""
    deleted = {action.identity for action in actions if isinstance(action, DeleteSandbox)}
    return tuple(
        delete(view)
        for view in present.observed.sandboxes
        if view.deletable and view.identity not in deleted and _is_stale(present, view)
    )


def _is_stale(present: Present, view: SandboxView) -> bool:
    identity = view.identity
    written = present.task.status
    if identity.attempt != written.attempt:
        return True
    match identity.role:
        case Role.AGENT | Role.PUSHER:
            return False
        case Role.FETCHER | Role.COPIER:
            return bool(written.workspace.digest)
        case Role.VERIFIER:
            record = round_of(written.rounds, identity.round)
            return record is not None and identity.trial <= record.trials
