"""What the commands that an agent's sandbox was given come to."""

from __future__ import annotations

import pytest
from tests.axiom_sandbox.supervising.benches import start

from axiom_sandbox.protocol.agents import DriverName, Session
from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    Command,
    GiveFeedback,
    Resize,
    SetBudget,
    Stop,
    TerminalSize,
)
from axiom_sandbox.protocol.checkpoints import (
    DriverMoment,
    LedgerPosition,
    Manifest,
    TerminalMoment,
    Why,
    WorkspaceMoment,
)
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.orders import (
    answers_in,
    budget_in,
    is_stopped,
    prompt_of,
    size_in,
    start_in,
)

START = start("do it").model_copy(update={"going_on": "go on"})
ANSWER = AnswerApproval(question="q", decision=Decision(permission=Permission.ALLOW, by="jane"))
WIDE = TerminalSize(columns=200, rows=50)


def checkpoint(session: Session | None) -> Manifest:
    return Manifest(
        identity=Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT),
        number=1,
        why=Why.TURN,
        taken_ms=1,
        round=1,
        turn_over=True,
        last_prompt="",
        driver=DriverMoment(name=DriverName.CLAUDE, mode=START.program.mode, session=session),
        workspace=WorkspaceMoment(base="b", fingerprint="f"),
        terminal=TerminalMoment(columns=90, rows=30, raw=False),
        ledger=LedgerPosition(path="", records=1, head=""),
        parts=(),
    )


def test_nothing_was_said_yet() -> None:
    assert (start_in([]), budget_in([]), is_stopped([]), answers_in([])) == (None, None, False, [])
    assert prompt_of([], 1, None, structured=True) is None


def test_of_what_is_said_again_the_last_counts() -> None:
    commands: list[Command] = [START, SetBudget(budget_micro_usd=5), ANSWER, SetBudget(budget_micro_usd=None)]
    assert budget_in(commands[:2]) == 5
    assert budget_in(commands) is None
    assert (start_in(commands), answers_in(commands)) == (START, [ANSWER])
    assert is_stopped([*commands, Stop(reason="enough")])


def test_a_round_has_the_prompt_that_was_given_for_it() -> None:
    commands = [START, GiveFeedback(round=2, text="not yet")]
    assert [prompt_of(commands, number, None, structured=True) for number in (1, 2, 3)] == [
        "do it", "not yet", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("session", "structured", "prompt"),
    [(Session(id="s"), True, "go on"), (None, True, "do it"), (Session(id="s"), False, "do it")],
    ids=["in its session", "without one", "that cannot be resumed"],
)
def test_an_agent_that_goes_on_from_a_checkpoint_is_told_so_where_it_knows_the_task(
    session: Session | None, structured: bool, prompt: str
) -> None:
    assert prompt_of([START], START.round, checkpoint(session), structured) == prompt


def test_the_terminal_is_as_it_was_last_said_or_was_or_as_the_class_has_it() -> None:
    restored = checkpoint(None)
    assert size_in([START, Resize(terminal=WIDE)], START, restored) == WIDE
    assert size_in([START], START, restored) == TerminalSize(columns=90, rows=30)
    assert size_in([START], START, None) == START.program.terminal
