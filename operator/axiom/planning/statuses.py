"""How a task's status is put together: conditions with their times, the state in one word, the rounds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from axiom.api.agenttask import (
    AgentTaskStatus,
    IsolationStatus,
    LayerStatus,
    LedgerReference,
    RoundStatus,
    TaskState,
)
from axiom.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from axiom.planning.observed import SandboxView
from axiom.storage.keys import blob_key
from axiom_sandbox.protocol.verdicts import Verdict

_ORDER = list(ConditionType)


def rfc3339(moment: datetime) -> str:
    """UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The inverse of `rfc3339`."""
    return datetime.fromisoformat(text)


def condition(status: AgentTaskStatus, kind: ConditionType) -> Condition | None:
    """The condition of this type, if it is set."""
    return next((item for item in status.conditions if item.type is kind), None)


def is_true(status: AgentTaskStatus, kind: ConditionType) -> bool:
    """Whether the condition is set and True."""
    found = condition(status, kind)
    return found is not None and found.status is ConditionStatus.TRUE


def has_reason(status: AgentTaskStatus, kind: ConditionType, reason: Reason) -> bool:
    """Whether the condition is set with this reason."""
    found = condition(status, kind)
    return found is not None and found.reason is reason


def with_condition(
    status: AgentTaskStatus,
    now: datetime,
    kind: ConditionType,
    value: bool | None,
    reason: Reason,
    message: str = "",
) -> AgentTaskStatus:
    """The status with one condition set; its time moves only when its value does. `None` is Unknown."""
    text = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE, None: ConditionStatus.UNKNOWN}[value]
    before = condition(status, kind)
    same = before is not None and before.status is text
    new = Condition(
        type=kind,
        status=text,
        reason=reason,
        message=message[:1024],
        observed_generation=status.observed_generation,
        last_transition_time=before.last_transition_time if same and before else rfc3339(now),
    )
    others = [item for item in status.conditions if item.type is not kind]
    conditions = sorted([*others, new], key=lambda item: _ORDER.index(item.type))
    return with_state(status.model_copy(update={"conditions": conditions}))


def with_state(status: AgentTaskStatus) -> AgentTaskStatus:
    """The status with its one word derived anew from the conditions."""
    return status.model_copy(update={"state": _state(status)})


def _state(status: AgentTaskStatus) -> TaskState:
    complete = condition(status, ConditionType.COMPLETE)
    if complete and complete.status is ConditionStatus.TRUE:
        if complete.reason is Reason.NEEDS_REVIEW and status.review is None:
            return TaskState.NEEDS_REVIEW
        return TaskState.COMPLETE if status.verdict else TaskState.FAILED
    accepted = condition(status, ConditionType.ACCEPTED)
    if accepted is None:
        return TaskState.PENDING
    if accepted.status is not ConditionStatus.TRUE:
        return TaskState.REFUSED if accepted.reason is Reason.INVALID_SPEC else TaskState.PENDING
    running = condition(status, ConditionType.RUNNING)
    match running.reason if running else None:
        case Reason.SUSPENDED:
            return TaskState.SUSPENDED
        case Reason.VERIFYING:
            return TaskState.VERIFYING
        case Reason.AGENT_RUNNING | Reason.WAITING_FOR_VENDOR:
            return TaskState.RUNNING
        case Reason.WAITING_FOR_APPROVAL:
            return TaskState.NEEDS_APPROVAL
        case _:
            return TaskState.STARTING


def with_round(status: AgentTaskStatus, record: RoundStatus) -> AgentTaskStatus:
    """The status with this round's record in place."""
    rounds = sorted(
        [*(r for r in status.rounds if r.number != record.number), record], key=lambda r: r.number
    )
    return status.model_copy(update={"rounds": rounds, "round": rounds[-1].number})


def round_of(rounds: Sequence[RoundStatus], number: int) -> RoundStatus | None:
    """The record of this round."""
    return next((record for record in rounds if record.number == number), None)


def ledger_reference(view: SandboxView) -> LedgerReference | None:
    """Where a sandbox's ledger lies, as far as it is sealed."""
    if view.state is None:
        return None
    head = view.state.ledger
    return LedgerReference(path=f"{view.identity.prefix}/ledger/", records=head.records, head=head.head)


def with_evidence(status: AgentTaskStatus, agent: SandboxView | None) -> AgentTaskStatus:
    """The status with where the agent's evidence lies; as it was where its sandbox is not known any more."""
    if agent is None or agent.state is None:
        return status
    recording = next((blob for blob in agent.state.blobs if blob.name == "recording"), None)
    return status.model_copy(
        update={
            "ledger": ledger_reference(agent),
            "recording": blob_key(recording.digest) if recording else "",
        }
    )


def with_isolation(status: AgentTaskStatus, now: datetime, agent: SandboxView | None) -> AgentTaskStatus:
    """The condition Isolated, from the probe's report."""
    found = agent.state.isolation if agent and agent.state else None
    if found is None:
        return status
    layers = [LayerStatus(name=one.name, tried=one.tried, held=one.held) for one in found.layers]
    told = IsolationStatus(layers=layers, missing=list(found.missing_layers), failed=list(found.failed))
    status = status.model_copy(update={"isolation": told})
    if found.passed:
        held = [layer.name for layer in found.layers if layer.name not in found.missing_layers]
        message = f"{sum(layer.held for layer in found.layers) or found.assertions} assertions held"
        if held:
            message += f"; layers: {', '.join(held)}"
        if found.missing_layers:
            message += f"; missing: {', '.join(found.missing_layers)}"
        return with_condition(status, now, ConditionType.ISOLATED, True, Reason.PROBE_PASSED, message)
    message = ", ".join(found.failed)
    return with_condition(status, now, ConditionType.ISOLATED, False, Reason.ISOLATION_FAILED, message)


def with_verified(status: AgentTaskStatus, now: datetime, verdict: Verdict, failing: str) -> AgentTaskStatus:
    """The condition Verified, from a verdict; `failing` names what failed."""
    match verdict:
        case Verdict.PASS:
            return with_condition(status, now, ConditionType.VERIFIED, True, Reason.PASSED)
        case Verdict.FAIL:
            return with_condition(status, now, ConditionType.VERIFIED, False, Reason.FAILED, failing)
        case Verdict.INCONCLUSIVE:
            return with_condition(status, now, ConditionType.VERIFIED, None, Reason.INCONCLUSIVE, failing)
