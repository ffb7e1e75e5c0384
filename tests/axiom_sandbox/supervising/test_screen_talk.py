"""A supervisor that is started again beside an agent on its screen: what the ledger lacks of the session's file, and no more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.drivers.test_screens import every_agent, new_driver, story_of
from tests.captures.screens import APPROVALS, COLUMNS, PROMPT, ROWS, SESSION

from axiom_sandbox.drivers.contract import Sight, Step, Turn
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.approvals import decide
from axiom_sandbox.protocol.events import (
    ApprovalAsked,
    ApprovalGiven,
    AssistantDelta,
    Event,
    SessionOpened,
    TurnEnded,
)
from axiom_sandbox.supervising.screen_talk import ScreenTalk
from axiom_sandbox.supervising.session_tail import SessionTail
from axiom_sandbox.supervising.terminal_pump import TerminalPump
from axiom_sandbox.terminal.recording import Recording
from axiom_sandbox.terminal.screens import make_screen

TURN = Turn(1, PROMPT, session=SESSION)


class Agent:
    """A recorded agent, and a trusted side that is killed and begins anew; the home is a real one."""

    def __init__(self, name: DriverName, folder: Path) -> None:
        self.name, self.home, self.noted = name, folder / "home", folder / "before"
        self.shown = b""
        self._recording = folder / "recording.cast"
        patterns = new_driver(name).record_files(TURN)
        self.file = self.home / patterns[0].replace("**", "2026").replace("*", "x")
        self.file.parent.mkdir(parents=True)
        self.recorded: list[Event] = []
        SessionTail(self.home, patterns, self.noted)

    def live(self, lines: Iterable[dict[str, Any]]) -> None:
        """A first life, to whose ledger all of these came."""
        driver, screen = new_driver(self.name), make_screen(COLUMNS, ROWS)

        def take(step: Step) -> None:
            self.recorded += step.events
            for event in step.events:
                if isinstance(event, ApprovalAsked):
                    take(driver.answer(event.id, decide(APPROVALS, event.tool, event.input)))

        take(driver.begin(TURN))
        for line in lines:
            match line:
                case {"screen": data}:
                    self.shown += data.encode("latin-1")
                    screen.feed(data.encode("latin-1"))
                case {"file": data}:
                    self.write(data)
                    take(driver.parse(data.encode()))
                case {"look": seconds}:
                    take(driver.see(Sight(screen.view(), seconds)))
        screen.close()

    def write(self, data: str) -> None:
        """The agent writes to its session's file."""
        with self.file.open("a") as file:
            file.write(data)

    async def take_up(self) -> ScreenTalk:
        """The next life begins."""
        driver = new_driver(self.name)
        tail = SessionTail(self.home, driver.record_files(TURN), self.noted)

        async def record(*events: Event) -> int:
            self.recorded += events
            return len(self.recorded)

        async def settled() -> None: ...

        talk = ScreenTalk(
            driver, tail, record, lambda: None, settled, lambda: 0.0,
            lambda asked: decide(APPROVALS, asked.tool, asked.input),
        )  # fmt: skip
        with self.terminal() as talk.pump:
            assert await talk.take_up(TURN, list(self.recorded))
        return talk

    @contextmanager
    def terminal(self) -> Iterator[TerminalPump]:
        """The agent's, as it was taken over: it shows what it showed."""
        master, slave = os.openpty()
        recording = Recording.open(self._recording, COLUMNS, ROWS, title="")

        async def nothing(_: object) -> int:
            return 0

        async def unseen(_: bytes) -> None: ...

        pump = TerminalPump(master, recording, nothing, lambda _: None, 0, unseen, (COLUMNS, ROWS))
        screen = make_screen(COLUMNS, ROWS)
        screen.feed(self.shown)
        pump.screen.attach(screen)
        try:
            yield pump
        finally:
            pump.screen.close()
            recording.close()
            os.close(master)
            os.close(slave)


def lasting(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Without what clocks make of them, and what is shown for the moment alone."""
    return [
        event.model_dump(exclude={"duration_ms", "output_per_second"})
        for event in events
        if not isinstance(event, AssistantDelta)
    ]


@every_agent
@pytest.mark.parametrize("story", ["plain", "denied"])
async def test_wherever_it_is_killed_nothing_of_the_file_is_missing_or_told_twice(
    name: DriverName, story: str, tmp_path: Path
) -> None:
    lines = story_of(name, story)
    written = [place for place, line in enumerate(lines) if "file" in line]
    for killed in written:
        agent = Agent(name, tmp_path / str(killed))
        agent.live(lines[:killed])
        before = len(agent.recorded)
        agent.write(lines[killed]["file"])
        await agent.take_up()
        added = agent.recorded[before:]
        once = Agent(name, tmp_path / f"{killed}-once")
        once.live(lines[: killed + 1])
        assert lasting(added) == lasting(once.recorded[before:]), killed
        assert all(event.version for event in added if isinstance(event, SessionOpened)), (
            "its screen tells it"
        )
        now = len(agent.recorded)
        await agent.take_up()
        assert len(agent.recorded) == now, "a third life finds nothing new"


@every_agent
async def test_a_turn_that_was_over_is_over_and_no_question_is_open(name: DriverName, tmp_path: Path) -> None:
    agent = Agent(name, tmp_path)
    agent.live(story_of(name, "plain"))
    talk = await agent.take_up()
    assert talk.over.is_set()
    assert len([event for event in agent.recorded if isinstance(event, TurnEnded)]) == 1
    asked = {event.id for event in agent.recorded if isinstance(event, ApprovalAsked)}
    assert asked == {event.id for event in agent.recorded if isinstance(event, ApprovalGiven)}


@every_agent
async def test_a_turn_that_goes_on_is_not_over(name: DriverName, tmp_path: Path) -> None:
    lines = story_of(name, "plain")
    half = next(place for place, line in enumerate(lines) if "file" in line) + 1
    agent = Agent(name, tmp_path)
    agent.live(lines[:half])
    assert not (await agent.take_up()).over.is_set()
