"""What the commands that an agent's sandbox was given so far come to. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    Command,
    GiveFeedback,
    Resize,
    SetBudget,
    StartAgent,
    Stop,
    TerminalSize,
)
from axiom_sandbox.protocol.checkpoints import Manifest


def start_in(commands: Iterable[Command]) -> StartAgent | None:
    """How the agent is started; None: that was not said yet."""
    return next((command for command in commands if isinstance(command, StartAgent)), None)


def is_stopped(commands: Iterable[Command]) -> bool:
    """Whether its end was asked for."""
    return any(isinstance(command, Stop) for command in commands)


def answers_in(commands: Iterable[Command]) -> list[AnswerApproval]:
    """Answers that people gave, in order."""
    return [command for command in commands if isinstance(command, AnswerApproval)]


def budget_in(commands: Iterable[Command]) -> int | None:
    """What the task may spend, as the last of them that speaks of it says."""
    budget = None
    for command in commands:
        match command:
            case StartAgent(envelope=envelope):
                budget = envelope.limits.budget_micro_usd
            case SetBudget(budget_micro_usd=changed):
                budget = changed
            case _:
                pass
    return budget


def size_in(commands: Iterable[Command], start: StartAgent, restored: Manifest | None) -> TerminalSize:
    """The terminal's: as it was last said, or was in the checkpoint that it began from, or as the class has it."""
    sizes = [command.terminal for command in commands if isinstance(command, Resize)]
    if sizes:
        return sizes[-1]
    was = restored.terminal if restored else None
    return TerminalSize(columns=was.columns, rows=was.rows) if was else start.program.terminal


def prompt_of(
    commands: Iterable[Command], number: int, restored: Manifest | None, structured: bool
) -> str | None:
    """What the agent is told in a round; None: that was not said yet.

    Args:
        restored: the checkpoint that the sandbox began from.
        structured: its driver speaks with it.
    """
    for command in commands:
        if isinstance(command, StartAgent) and number == command.round:
            return _first_prompt(command, restored, structured)
        if isinstance(command, GiveFeedback) and number == command.round:
            return command.text
    return None


def _first_prompt(start: StartAgent, restored: Manifest | None, structured: bool) -> str:
    """An agent that goes on where a checkpoint was taken knows the task already."""
    if restored is None:
        return start.prompt
    goes_on = bool(restored.driver.session) if structured else bool(start.program.resume_command)
    return start.going_on if goes_on and start.going_on else start.prompt
