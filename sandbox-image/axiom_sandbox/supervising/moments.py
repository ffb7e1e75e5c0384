"""What is known of an agent at one moment, besides its files: for a checkpoint. Pure."""

from __future__ import annotations

import termios
from dataclasses import dataclass
from typing import Any

from axiom_sandbox.drivers.contract import Driver
from axiom_sandbox.protocol.agents import AgentMode, AgentState
from axiom_sandbox.protocol.channel import LedgerHead, TerminalSize
from axiom_sandbox.protocol.checkpoints import DriverMoment, TerminalMoment
from axiom_sandbox.protocol.events import Intervention
from axiom_sandbox.supervising.history import History
from axiom_sandbox.terminal.screens import ScreenState, View
from axiom_sandbox.terminal.unfinished import unfinished


@dataclass(frozen=True)
class Shown:
    """What the agent's terminal shows."""

    tail: bytes
    """Its last output."""
    view: View | None = None
    screen: ScreenState | None = None
    attributes: list[Any] | None = None
    """As tcgetattr gives them; None: no process works at it."""


@dataclass(frozen=True)
class Moment:
    """All of it."""

    round: int
    turn_over: bool
    last_prompt: str
    state: AgentState | None
    driver: DriverMoment
    terminal: TerminalMoment | None
    tail: bytes
    """The last output of its terminal."""
    screen: bytes
    """What shows its screen again; empty: it is not known."""
    interventions: tuple[Intervention, ...]
    interventions_so_far: int
    ledger: LedgerHead


def moment_of(
    number: int,
    *,
    turn_over: bool,
    state: AgentState | None,
    driver: Driver,
    mode: AgentMode,
    history: History,
    shown: Shown,
    size: TerminalSize,
    output_bytes: int,
    ledger: LedgerHead,
) -> Moment:
    """A moment of round `number`.

    Args:
        output_bytes: so much the terminal has shown in all.
    """
    memory = driver.memory
    return Moment(
        round=number,
        turn_over=turn_over,
        last_prompt=history.last_prompt,
        state=state,
        driver=DriverMoment(
            name=driver.name,
            mode=mode,
            session=driver.session(),
            version=memory.version,
            total=memory.total,
            total_micro_usd=memory.total_micro_usd,
        ),
        terminal=_terminal(shown, size, output_bytes),
        tail=shown.tail,
        screen=shown.screen.restoring if shown.screen else b"",
        interventions=tuple(history.interventions),
        interventions_so_far=history.interventions_so_far,
        ledger=ledger,
    )


def _terminal(shown: Shown, size: TerminalSize, output_bytes: int) -> TerminalMoment:
    view, attributes = shown.view, shown.attributes
    return TerminalMoment(
        columns=size.columns,
        rows=size.rows,
        raw=bool(attributes and not attributes[3] & termios.ICANON),
        termios=tuple(attributes[:6]) if attributes else None,
        control_characters=tuple(_ordinal(one) for one in attributes[6]) if attributes else (),
        output_bytes=output_bytes,
        cursor=view.cursor if view else None,
        alternate=view.alternate if view else False,
        modes=tuple(sorted(view.modes)) if view else (),
        title=view.title if view else "",
        unfinished=unfinished(shown.tail).hex(),
    )


def _ordinal(character: bytes | int) -> int:
    return character if isinstance(character, int) else character[0]
