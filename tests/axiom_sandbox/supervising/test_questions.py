"""What people are asked: which questions are open, what they show, and what an answer is good for."""

from __future__ import annotations

from typing import Any

from tests.axiom_sandbox.supervising.benches import start

from axiom_sandbox.protocol.approvals import ApprovalRule, Approvals, Decision, Grant, Permission, decide
from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    Command,
    GiveFeedback,
    InterruptAgent,
    Question,
    Resize,
    TellAgent,
    TerminalSize,
)
from axiom_sandbox.protocol.events import ApprovalAsked
from axiom_sandbox.supervising.questions import (
    assisted_rounds,
    denied_at_the_limit,
    granted,
    open_questions,
    summary_of,
)

PUSHES = ApprovalRule(name="pushes", tool="Bash", pattern="^git push", permission=Permission.ASK)
POLICY = Approvals(rules=[PUSHES], answer_within="90s")


def asked(id: str, command: str, tool: str = "Bash") -> ApprovalAsked:
    return ApprovalAsked(round=1, id=id, tool=tool, input={"command": command})


def shown(*questions: ApprovalAsked, known: tuple[Question, ...] = (), now: int = 1_000, **policy: Any) -> tuple[Question, ...]:  # fmt: skip
    return open_questions(policy.get("approvals", POLICY), questions, policy.get("grants", ()), known, now)


def answer(question: str, permission: Permission = Permission.ALLOW, for_session: bool = True) -> AnswerApproval:  # fmt: skip
    return AnswerApproval(
        question=question, decision=Decision(permission=permission, by="ann", for_session=for_session)
    )


def test_only_what_the_policy_leaves_to_a_person_is_shown_with_its_limit() -> None:
    [question] = shown(asked("1", "ls"), asked("2", "git push origin main"))
    assert (question.id, question.tool, question.rule) == ("2", "Bash", "policy/pushes")
    assert question.summary == "command: git push origin main"
    assert (question.since_ms, question.until_ms) == (1_000, 91_000)


def test_a_question_keeps_its_times_however_often_it_is_looked_at() -> None:
    first = shown(asked("2", "git push"))
    assert shown(asked("2", "git push"), known=first, now=60_000) == first


def test_a_question_that_is_answered_is_gone() -> None:
    first = shown(asked("2", "git push"))
    assert shown(known=first) == ()


def test_a_grant_covers_the_tool_for_the_same_reason_alone() -> None:
    grant = granted(answer("2"), shown(asked("2", "git push")))
    assert grant == Grant(tool="Bash", rule="policy/pushes", by="ann")
    asks_all = Approvals(default=Permission.ASK, rules=[PUSHES])
    assert shown(asked("3", "git push -f"), grants=(grant,)) == ()
    decided = decide(POLICY, "Bash", {"command": "git push -f"}, (grant,))
    assert (decided.permission, decided.by, decided.for_session) == (Permission.ALLOW, "ann", True)
    assert [one.id for one in shown(asked("4", "ls"), approvals=asks_all, grants=(grant,))] == ["4"]


def test_a_denial_and_an_answer_for_once_grant_nothing() -> None:
    questions = shown(asked("2", "git push"))
    assert granted(answer("2", Permission.DENY), questions) is None
    assert granted(answer("2", for_session=False), questions) is None
    assert granted(answer("other"), questions) is None


def test_a_grant_never_allows_what_the_policy_denies() -> None:
    denies = Approvals(default=Permission.DENY)
    grant = Grant(tool="Bash", rule="policy", by="ann")
    assert decide(denies, "Bash", {}, (grant,)).permission is Permission.DENY


def test_a_summary_is_one_line_without_secrets_and_bounded() -> None:
    secret = "ghp_" + "aZ3bY4cX5dW6eV7fU8gT9hS0iR1jQ2kP3lO4"
    text = summary_of({"command": f"curl -H 'Authorization: {secret}'\n\x1b[31m x", "n": {"deep": ["a", 1]}})
    assert secret not in text
    assert "\n" not in text
    assert "\x1b" not in text
    assert text.endswith("n: deep a 1")
    assert len(summary_of({"content": "word " * 1000})) == 300


def test_what_nobody_answers_is_denied_in_words_for_the_agent() -> None:
    decision = denied_at_the_limit(POLICY)
    assert (decision.permission, decision.by) == (Permission.DENY, "limit")
    assert "within 90s" in decision.message


def test_rounds_in_which_somebody_stepped_in_are_assisted() -> None:
    tell, stop = TellAgent(text="x", by="ann"), InterruptAgent(by="ann")
    size = Resize(terminal=TerminalSize())
    said: list[Command] = [start(""), size, GiveFeedback(round=2, text="t"), tell, stop]
    assert assisted_rounds(said) == (2,)
    assert assisted_rounds([start("", number=4), answer("1"), GiveFeedback(round=5, text="t"), stop]) == (
        4,
        5,
    )
    assert assisted_rounds([start(""), size]) == ()
