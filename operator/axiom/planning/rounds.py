"""A round's end: captured, verified, judged, and gone on from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axiom.api.agenttask import AgentTaskStatus, RoundStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Action, CreateSandbox, Wait, WriteStatus
from axiom.planning.observed import Presence, SandboxView, Trouble
from axiom.planning.outcomes import MAX_TRIALS, failing_messages, outcome_of_rounds
from axiom.planning.present import Present
from axiom.planning.spending import reached_by, usage_known
from axiom.planning.statuses import (
    condition,
    has_reason,
    ledger_reference,
    parse_time,
    round_of,
    with_condition,
    with_evidence,
    with_round,
    with_verified,
)
from axiom.planning.steps import (
    delete,
    gateway_is_back,
    next_attempt,
    note_trouble,
    send,
    wait_for_gateway,
    waiting,
    write_if_new,
)
from axiom.storage.keys import blob_key
from axiom_sandbox.protocol.channel import (
    SUPERSEDED,
    GiveFeedback,
    Phase,
    RoundOutcome,
    Stop,
    Verification,
    Verify,
)
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict
from axiom_sandbox.verifying.feedback import feedback

_NO_ROOM = (Reason.UNSCHEDULABLE, Reason.CREATION_REFUSED)
_COUNT_AGAIN_SECONDS = 1.0
_ROOM_AFTER = timedelta(seconds=30)
"""How long a verifier looks for room before its agent's sandbox leaves, and with it the session."""


def round_ended(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    """The agent ended its turn: verify it, or give it the evidence and go on."""
    assert agent.state is not None
    ended = agent.state.rounds[-1]
    record = round_of(present.status.rounds, ended.round)
    if record and record.verdict is Verdict.FAIL:
        return _feedback(present, agent, record)
    if record is None or not has_reason(present.status, ConditionType.RUNNING, Reason.VERIFYING):
        return (WriteStatus(_verifying(present, agent, ended, record)),)
    return _verify(present, agent, record)


def stopped(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    """The agent's sandbox came to its end in order: what it stored is judged, whoever ended it."""
    record = undecided_round(present)
    if record is None or not _is_stored(agent, record):
        return waiting(present)
    return _verify(present, agent, record)


def undecided_round(present: Present) -> RoundStatus | None:
    """The round of the present attempt that is being verified."""
    record = present.status.rounds[-1] if present.status.rounds else None
    is_open = record is not None and record.verdict is None and record.attempt == present.status.attempt
    return record if is_open else None


def is_kept(present: Present) -> bool:
    """The round that is being verified is stored, so that its verdict can be had without the agent's sandbox."""
    record = undecided_round(present)
    if record is None:
        return False
    return present.has_left or present.agent is None or _is_stored(present.agent, record)


def _feedback(present: Present, agent: SandboxView, record: RoundStatus) -> tuple[Action, ...]:
    if present.spec.limits.budget and not present.observed.is_counted:
        # a round without money would be one in which the proxy refuses everything
        return (Wait(_COUNT_AGAIN_SECONDS, "the egress proxy has not told yet what the round cost"),)
    text, number = evidence(record), record.number + 1
    return (send(agent, f"feedback-{number}", GiveFeedback(round=number, text=text)),)


def _verifying(
    present: Present, agent: SandboxView, ended: RoundOutcome, record: RoundStatus | None
) -> AgentTaskStatus:
    assert agent.state is not None
    diff = next((blob.digest for blob in agent.state.blobs if blob.name == f"diff-{ended.round}"), "")
    new = record or RoundStatus(
        number=ended.round,
        attempt=present.status.attempt,
        claim=ended.claim,
        changes=ended.changes,
        fingerprint=ended.fingerprint,
        changed_percent=ended.changed_percent,
        assisted=ended.assisted,
        diff=blob_key(diff) if diff else "",
        conduct=ended.conduct,
        rebuttal=ended.rebuttal,
    )
    status = with_round(present.status, new)
    status = status.model_copy(update={"assisted": status.assisted or new.assisted})
    return with_condition(
        status, present.now, ConditionType.RUNNING, True, Reason.VERIFYING, f"round {ended.round}"
    )


def verify_without_agent(present: Present) -> tuple[Action, ...]:
    """The agent's sandbox is lost after its round was captured and stored: the verdict on that is still to be had.

    Empty where nothing is left to be verified.
    """
    record = undecided_round(present)
    if record is None:
        return ()
    stored = present.has_left or (present.agent is not None and _is_stored(present.agent, record))
    return _judge(present, record) if stored or _verifier(present, record) else ()


def judge_without_sandbox(present: Present) -> tuple[Action, ...]:
    """The agent's sandbox ends in order, and the verdict is had without it; a further round is another attempt's."""
    agent = present.agent if present.agent and present.agent.presence is Presence.RUNNING else None
    verifying = verify_without_agent(present)
    if any(isinstance(action, WriteStatus) for action in verifying):
        return verifying
    if agent and agent.sealed:
        found = write_if_new(present.observed, with_evidence(present.status, agent))
        return found or (delete(agent), *verifying)
    if agent and not agent.over:
        return (send(agent, "stop", Stop(reason=Reason.MADE_ROOM.value)), *verifying)
    if agent and present.sealing_seconds_left(agent) > 0:
        return (Wait(5, "evidence is being sealed"), *verifying)
    if agent:
        return (delete(agent), *verifying)
    return verifying or next_attempt(present, "its sandbox had left its place")


def _verify(present: Present, agent: SandboxView, record: RoundStatus) -> tuple[Action, ...]:
    if not _is_stored(agent, record):
        return wait_for_gateway(
            present, agent, "to store what the agent changed", ConditionType.VERIFIED, value=None
        )
    return _leave(present, agent, record) if _is_last(present, record) else _judge(present, record)


def _leave(present: Present, agent: SandboxView, record: RoundStatus) -> tuple[Action, ...]:
    """Nobody needs the session after the last round: the place becomes free while the work is judged."""
    if not agent.sealed:
        ending = () if agent.over else (send(agent, "stop", Stop(reason=Reason.ROUNDS_OVER.value)),)
        return (*ending, *_judge(present, record))
    ready = condition(present.status, ConditionType.SANDBOX_READY)
    notes = ready.message if ready and ready.reason is Reason.READY else ""
    why = "; ".join(filter(None, (f"round {record.number} was the last", notes)))
    status = with_evidence(present.status, agent)
    status = with_condition(status, present.now, ConditionType.SANDBOX_READY, False, Reason.ROUNDS_OVER, why)
    return (WriteStatus(status),)


def _is_last(present: Present, record: RoundStatus) -> bool:
    return record.number >= present.spec.limits.max_rounds


def _is_stored(agent: SandboxView, record: RoundStatus) -> bool:
    names = ("changes", "diff", "conduct") if record.conduct else ("changes", "diff")
    return all(agent.has_sealed(f"{name}-{record.number}") for name in names)


def _verifier(present: Present, record: RoundStatus) -> SandboxView | None:
    return present.observed.sandbox(Role.VERIFIER, record.attempt, record.number, record.trials + 1)


def _judge(present: Present, record: RoundStatus) -> tuple[Action, ...]:
    """From a stored capture to a verdict, by the verifier of the present trial."""
    trial, verifier = record.trials + 1, _verifier(present, record)
    if is_over := gateway_is_back(present, verifier, ConditionType.VERIFIED, Reason.VERIFYING):
        return is_over
    if verifier is None and present.observed.creation_refused:
        return _held_up(present, record, Trouble(Reason.CREATION_REFUSED, present.observed.creation_refused))
    if verifier is None:
        identity = present.observed.identity(Role.VERIFIER, present.status.attempt, record.number, trial)
        return (CreateSandbox(identity, present.status.workspace.digest, record.changes, record.conduct),)
    match verifier.phase:
        case Phase.READY if not verifier.trouble:
            command = Verify(
                round=record.number,
                criteria=tuple(present.task.criteria),
                deadline_ms=int(present.deadline.timestamp() * 1000),
                candidate=present.task.spec.verification.candidate,
                said=record.claim.text if record.claim else "",
                **_briefing(present),
            )
            return (send(verifier, "verify", command),)
        case Phase.VERIFIED:
            return (send(verifier, "stop", Stop(reason="the verdict stands")),)
        case _ if verifier.trouble and verifier.outdated and verifier.state is None:
            return (delete(verifier),)
        case _ if verifier.trouble:
            return _held_up(present, record, verifier.trouble)
        case Phase.WAITING_FOR_WORKSPACE:
            return wait_for_gateway(
                present, verifier, "to bring the verifier's inputs", ConditionType.VERIFIED, value=None
            )
        case Phase.STOPPED | Phase.FAILED:
            return wait_for_gateway(
                present, verifier, "to store the verifier's evidence", ConditionType.VERIFIED, value=None
            )
        case _:
            return waiting(present)


def _briefing(present: Present) -> dict[str, Any]:
    """What criteria are told besides that are decided with help from outside."""
    agent_class, brief = present.observed.agent_class, dict[str, Any]()
    if any(criterion.research for criterion in present.task.criteria):
        brief["reached"] = reached_by(usage_known(present.observed))
    if agent_class and any(criterion.judge for criterion in present.task.criteria):
        brief["prompt"] = present.spec.prompt
        brief["judges"] = tuple(judge.seat for judge in agent_class.spec.judges)
        brief["agent_vendor"] = agent_class.spec.vendor
    return brief


def _held_up(present: Present, record: RoundStatus, trouble: Trouble) -> tuple[Action, ...]:
    """Say why there is no verifier. Agents that all wait for one could fill a quota or a node for ever: so they leave."""
    message = f"the verifier's pod: {trouble.message}"
    told = note_trouble(present, Trouble(trouble.reason, message), ConditionType.VERIFIED, None)
    is_news = any(isinstance(action, WriteStatus) for action in told)
    stays = present.agent is not None and not present.has_left and not _is_last(present, record)
    if is_news or not stays or trouble.reason not in _NO_ROOM:
        return told
    verified = condition(present.status, ConditionType.VERIFIED)
    assert verified is not None, "it was told before"
    left = (parse_time(verified.last_transition_time) + _ROOM_AFTER - present.now).total_seconds()
    if left > 0:
        return (Wait(left, message),)
    why = f"round {record.number} is captured, and its verifier found no room"
    status = with_condition(
        present.status, present.now, ConditionType.SANDBOX_READY, False, Reason.MADE_ROOM, why
    )
    return (WriteStatus(status),)


def judged(present: Present) -> AgentTaskStatus | None:
    """The status with the present verifier's verdict, once its evidence is sealed or it is lost."""
    record = undecided_round(present)
    if record is None:
        return None
    verifier = _verifier(present, record)
    if verifier is None or not (verifier.sealed or verifier.superseded or verifier.presence is Presence.GONE):
        return None
    state = verifier.state
    verification = state.verification if state and not verifier.superseded else None
    if verification is None:
        why = _why_undecided(verifier)
        results = [_undecided(criterion, why) for criterion in present.task.criteria]
        verdict = Verdict.INCONCLUSIVE
    else:
        results, verdict = list(verification.results), verification.verdict
    new = record.model_copy(
        update={
            "trials": record.trials + 1,
            "verdict": verdict
            if verdict is not Verdict.INCONCLUSIVE or record.trials + 1 >= MAX_TRIALS
            else None,
            "criteria": results,
            "disagreements": list(verification.disagreements) if verification else [],
            "verifier_ledger": ledger_reference(verifier),
        }
    )
    status = with_verified(with_round(present.status, new), present.now, verdict, failing_messages(results))
    after = outcome_of_rounds(status.rounds, present.spec.limits.max_rounds)
    if after is None and verdict is Verdict.FAIL:
        number = new.number + 1
        status = status.model_copy(update={"round": number})
        status = with_condition(
            status, present.now, ConditionType.RUNNING, True, Reason.AGENT_RUNNING, f"round {number}"
        )
    return status


def _why_undecided(verifier: SandboxView) -> str:
    if verifier.superseded:
        return SUPERSEDED
    if verifier.state and verifier.state.failure:
        return verifier.state.failure.message
    return f"the verifier's sandbox was lost{f': {verifier.trouble.message}' if verifier.trouble else ''}"


def evidence(record: RoundStatus) -> str:
    """What a failed verification tells the agent."""
    verdict = record.verdict or Verdict.INCONCLUSIVE
    return feedback(Verification(verdict=verdict, results=tuple(record.criteria)), record.number)


def _undecided(criterion: Criterion, why: str) -> CriterionResult:
    return CriterionResult(
        name=criterion.name,
        type=criterion.type,
        enforcement=criterion.enforcement,
        verdict=Verdict.INCONCLUSIVE,
        message=why,
    )
