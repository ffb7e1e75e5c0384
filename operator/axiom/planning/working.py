"""While the agent works: what it waits for, and who stepped in. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from axiom.api.agenttask import AgentStatus, AgentTaskStatus, QuestionStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Action
from axiom.planning.observed import SandboxView
from axiom.planning.pausing import why
from axiom.planning.present import Present
from axiom.planning.statuses import has_reason, rfc3339, with_condition
from axiom.planning.steps import waiting, write_if_new
from axiom_sandbox.protocol.channel import Question, SandboxState

_LONGEST_SUMMARY = 120


def working(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    """The agent has been started, and its round has not ended."""
    assert agent.state is not None
    status = with_what_it_waits_for(present, agent.state)
    return write_if_new(present.observed, status) or waiting(present)


def with_what_it_waits_for(present: Present, state: SandboxState) -> AgentTaskStatus:
    """The status with what people are asked, and whether one has stepped in."""
    number = max(state.round, present.status.round)
    reason, message = Reason.AGENT_RUNNING, f"round {number}"
    if (
        (vendor := present.observed.vendor)
        and present.status.vendor_pause
        and present.status.vendor_pause.since
    ):
        reason, message = Reason.WAITING_FOR_VENDOR, why(vendor)
    if state.questions:
        reason, message = Reason.WAITING_FOR_APPROVAL, _asks(present, state.questions)
    status = present.status.model_copy(
        update={
            "questions": [_shown(one) for one in state.questions],
            "assisted": present.status.assisted or bool(state.assisted_rounds),
        }
    )
    return with_condition(status, present.now, ConditionType.RUNNING, True, reason, message)


def without_questions(status: AgentTaskStatus) -> AgentTaskStatus:
    """The status, in which nobody is asked anything unless its condition says so."""
    if not status.questions or has_reason(status, ConditionType.RUNNING, Reason.WAITING_FOR_APPROVAL):
        return status
    return status.model_copy(update={"questions": []})


def with_vitals(status: AgentTaskStatus, agent: SandboxView | None) -> AgentTaskStatus:
    """The status with what the agent said last of itself."""
    found = agent.state.vitals if agent and agent.state else None
    if found is None:
        return status
    fill = found.fill
    told = AgentStatus(
        context=f"{fill.percent}%" if fill and fill.percent is not None else "",
        context_tokens=fill.used if fill else None,
        context_window=fill.window if fill else None,
        output_per_second=found.output_per_second,
        talk_in_row=found.talks_in_row,
        talk_in_round=found.talks_in_round,
    )
    return status.model_copy(update={"agent": told})


def _asks(present: Present, questions: tuple[Question, ...]) -> str:
    first, more = questions[0], len(questions) - 1
    summary = first.summary
    if len(summary) > _LONGEST_SUMMARY:
        summary = summary[: _LONGEST_SUMMARY - 1] + "\N{HORIZONTAL ELLIPSIS}"
    others = f", and {more} more" if more else ""
    return (
        f"may it use {first.tool} ({summary}){others}? Denied at {_moment(first.until_ms)} unless somebody answers:"
        f" axiom approve {present.task.name} [--cluster -n {present.task.namespace}] [--deny] [--for-session] [--message TEXT]"
    )


def _shown(question: Question) -> QuestionStatus:
    return QuestionStatus(
        id=question.id,
        tool=question.tool,
        summary=question.summary,
        since=_moment(question.since_ms),
        until=_moment(question.until_ms),
    )


def _moment(unix_ms: int) -> str:
    return rfc3339(datetime.fromtimestamp(unix_ms / 1000, UTC))
