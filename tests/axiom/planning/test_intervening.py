"""A person's wish, and the command that it comes to."""

from __future__ import annotations

import pytest

from axiom.planning.intervening import Approve, CannotInterveneError, Interrupt, Tell, command_of
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    InterruptAgent,
    Phase,
    Question,
    SandboxState,
    TellAgent,
)
from axiom_sandbox.protocol.identity import Identity, Role

AGENT = Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT)
PUSH, FETCH = (
    Question(id=number, tool="Bash", summary=f"command: git {what}", rule="policy", since_ms=1, until_ms=2)
    for number, what in (("1", "push"), ("2", "fetch"))
)


def state(*questions: Question, phase: Phase = Phase.RUNNING) -> SandboxState:
    return SandboxState(revision=1, identity=AGENT, phase=phase, questions=questions)


def test_the_one_question_need_not_be_named() -> None:
    command, done = command_of(Approve(message="go"), state(PUSH), "ann")
    assert isinstance(command, AnswerApproval)
    assert (command.question, command.decision.permission) == ("1", Permission.ALLOW)
    assert (command.decision.by, command.decision.message, command.decision.for_session) == (
        "ann",
        "go",
        False,
    )
    assert done == "allowed: Bash (command: git push)"


def test_a_denial_holds_for_this_use_alone() -> None:
    command, done = command_of(Approve(deny=True, for_session=True), state(PUSH), "ann")
    assert isinstance(command, AnswerApproval)
    assert (command.decision.permission, command.decision.for_session) == (Permission.DENY, False)
    assert done.startswith("denied: ")


def test_of_several_questions_one_has_to_be_named() -> None:
    with pytest.raises(CannotInterveneError, match=r"several things.*--question:\n  1  Bash"):
        command_of(Approve(), state(PUSH, FETCH), "ann")
    command, _ = command_of(Approve(question="2"), state(PUSH, FETCH), "ann")
    assert isinstance(command, AnswerApproval)
    assert command.question == "2"
    with pytest.raises(CannotInterveneError, match="does not ask '3'"):
        command_of(Approve(question="3"), state(PUSH, FETCH), "ann")


def test_an_agent_is_told_and_interrupted_in_a_persons_name() -> None:
    assert command_of(Tell(text="hello"), state(), "ann")[0] == TellAgent(text="hello", by="ann")
    assert command_of(Interrupt(), state(), "ann")[0] == InterruptAgent(by="ann")


@pytest.mark.parametrize("wish", [Approve(), Tell(text="hello"), Interrupt()])
def test_where_no_agent_works_nothing_is_done(wish: Approve | Tell | Interrupt) -> None:
    with pytest.raises(CannotInterveneError, match="no agent is at work"):
        command_of(wish, state(PUSH, phase=Phase.ROUND_ENDED), "ann")


def test_where_nothing_is_asked_nothing_is_answered() -> None:
    with pytest.raises(CannotInterveneError, match="asks for nothing now"):
        command_of(Approve(), state(), "ann")
