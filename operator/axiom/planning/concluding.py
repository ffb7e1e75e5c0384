"""A task's end: what decides it, and its outcome, written once."""

from __future__ import annotations

from axiom.api.agenttask import AgentTaskStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Action, Wait, WriteStatus
from axiom.planning.going_on import forks_fault
from axiom.planning.observed import Presence
from axiom.planning.outcomes import (
    MAX_LOST_ATTEMPTS,
    Outcome,
    disagreements,
    failing_messages,
    outcome_of_failure,
    outcome_of_rounds,
)
from axiom.planning.pausing import pause_so_far, suspension_so_far
from axiom.planning.present import Present
from axiom.planning.pushing import push, with_result
from axiom.planning.spending import outcome_of_spend
from axiom.planning.statuses import (
    condition,
    rfc3339,
    with_condition,
    with_evidence,
    with_isolation,
    with_verified,
)
from axiom.planning.steps import NEW_FOLLOWS, send, wait_for_gateway
from axiom_sandbox.protocol.channel import Stop
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Verdict


def outcome(present: Present) -> Outcome | None:
    """What ends the task now, whatever its sandbox does; None while it goes on."""
    if found := outcome_of_rounds(present.status.rounds, present.spec.limits.max_rounds):
        return found
    if found := outcome_of_spend(present.spec.limits.budget, present.observed):
        return found
    if present.now >= present.deadline:
        where = present.trouble_said(" while waiting: ")
        return Outcome(
            Verdict.FAIL,
            Reason.DEADLINE_EXCEEDED,
            f"limits.deadline ({present.spec.limits.deadline}) passed{where}",
        )
    if why := forks_fault(present):
        return Outcome(None, Reason.WORKSPACE_FAILED, why)
    for view in present.current_views():
        failure = view.state.failure if view.state and view.identity.role is Role.AGENT else None
        if failure and (found := outcome_of_failure(failure)):
            return found
    if present.status.lost_attempts >= MAX_LOST_ATTEMPTS:
        last = condition(present.status, ConditionType.SANDBOX_READY)
        why = last.message.partition(NEW_FOLLOWS)[0] if last else "see the events"
        message = f"{MAX_LOST_ATTEMPTS} sandboxes were lost; {why}"
        return Outcome(None, Reason.ATTEMPTS_EXHAUSTED, message)
    return None


def conclude(present: Present, outcome: Outcome) -> tuple[Action, ...]:
    """Stop what runs, wait until it is sealed, and write the outcome once."""
    agent = present.agent
    reachable = agent and agent.presence is Presence.RUNNING and not agent.trouble
    if agent and reachable and agent.state and not agent.sealed:
        if not agent.over:
            return (
                send(agent, "stop", Stop(reason=outcome.reason.value)),
                Wait(5, "the sandbox is stopping"),
            )
        if present.sealing_seconds_left(agent) > 0:
            return wait_for_gateway(
                present, agent, "to store the agent's evidence", ConditionType.COMPLETE, value=False
            )
    return push(present, outcome) or (WriteStatus(_completed(present, outcome)),)


def _completed(present: Present, outcome: Outcome) -> AgentTaskStatus:
    agent, last = present.agent, present.status.rounds[-1] if present.status.rounds else None
    claim = last.claim if last else None
    if agent and agent.state and agent.state.rounds:
        claim = agent.state.rounds[-1].claim
    message, found = outcome.message, disagreements(claim, last, outcome)
    if present.status.assisted:
        message += " (assisted: a person stepped in while the agent worked)"
    if agent and agent.state and not agent.sealed:
        message += " (the end of the agent's ledger could not be sealed)"
    status = present.status.model_copy(
        update={
            "observed_generation": present.observed.generation,
            "verdict": outcome.verdict,
            "claim": claim,
            "claim_disagreement": bool(found),
            "claim_disagreements": found,
            "message": message[:4096],
            "completion_time": rfc3339(present.now),
            "vendor_pause": pause_so_far(present),
            "suspension": suspension_so_far(present),
        }
    )
    status = with_isolation(with_evidence(status, agent), present.now, agent)
    status = with_result(present, status, outcome)
    status = with_condition(status, present.now, ConditionType.RUNNING, False, Reason.ENDED)
    if outcome.reason is Reason.WORKSPACE_FAILED and not last:
        status = with_condition(
            status, present.now, ConditionType.SANDBOX_READY, False, Reason.WORKSPACE_FAILED, outcome.message
        )
    if last and last.verdict:
        status = with_verified(status, present.now, last.verdict, failing_messages(last.criteria))
    return with_condition(status, present.now, ConditionType.COMPLETE, True, outcome.reason, message)
