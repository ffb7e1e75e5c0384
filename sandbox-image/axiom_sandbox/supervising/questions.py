"""What people are asked about an agent's tools: which questions are open, what they say, and until when. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from axiom_sandbox.protocol.approvals import (
    Approvals,
    Decision,
    Grant,
    Permission,
    decide,
    texts_of,
)
from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    Command,
    GiveFeedback,
    InterruptAgent,
    Question,
    StartAgent,
    TellAgent,
)
from axiom_sandbox.protocol.events import ApprovalAsked
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.secrets.masking import masked
from axiom_sandbox.secrets.scanning import Scanner

MOST = 8
"""Questions that are shown at once."""
_LONGEST = 300
_LIMIT = "limit"


def open_questions(
    approvals: Approvals,
    asked: Iterable[ApprovalAsked],
    grants: Iterable[Grant],
    known: Iterable[Question],
    now_ms: int,
) -> tuple[Question, ...]:
    """Of what the agent asks, what a person has to decide. A question that was known keeps its times."""
    before, given = {one.id: one for one in known}, tuple(grants)
    found = []
    for one in asked:
        decision = decide(approvals, one.tool, one.input, given)
        if decision.permission is Permission.ASK:
            found.append(before.get(one.id) or _question(one, decision.by, approvals, now_ms))
    return tuple(found[:MOST])


def denied_at_the_limit(approvals: Approvals) -> Decision:
    """What becomes of a question that nobody answered."""
    message = (
        f"Nobody answered within {approvals.answer_within} whether this may be done, so it may not."
        " Go on without it, or say at the end what you could not do."
    )
    return Decision(permission=Permission.DENY, by=_LIMIT, message=message)


def granted(answer: AnswerApproval, questions: Iterable[Question]) -> Grant | None:
    """What an answer allows for the rest of the session, if it does."""
    decision = answer.decision
    if not decision.for_session or decision.permission is not Permission.ALLOW:
        return None
    for one in questions:
        if one.id == answer.question:
            return Grant(tool=one.tool, rule=one.rule, by=decision.by)
    return None


def assisted_rounds(commands: Iterable[Command]) -> tuple[int, ...]:
    """The rounds in which a person stepped in, by what the sandbox was told so far."""
    found, number = [], 0
    for command in commands:
        match command:
            case StartAgent(round=begun) | GiveFeedback(round=begun):
                number = begun
            case TellAgent() | InterruptAgent() | AnswerApproval():
                found.append(number)
            case _:
                pass
    return tuple(dict.fromkeys(found))


def _question(asked: ApprovalAsked, rule: str, approvals: Approvals, now_ms: int) -> Question:
    limit = parse_duration(approvals.answer_within) // timedelta(milliseconds=1)
    return Question(
        id=asked.id,
        tool=asked.tool,
        summary=summary_of(asked.input),
        rule=rule,
        since_ms=now_ms,
        until_ms=now_ms + limit,
    )


def summary_of(given: dict[str, object]) -> str:
    """The beginning of a tool's input, for a person, in one line of printable text without secrets."""
    parts = [f"{key}: {_one_line(value)}" for key, value in given.items()]
    text = masked(Scanner(), "; ".join(parts))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _one_line(value: object) -> str:
    text = value if isinstance(value, str) else " ".join(texts_of(value))
    shown = " ".join(text[: 64 * 1024].split())
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown
    )
