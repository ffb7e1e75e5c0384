"""The watch over an agent, by a clock that the test moves."""

from __future__ import annotations

import pytest
from tests.axiom_sandbox.drivers.conversations import PLACE

from axiom_sandbox.drivers.claude import ClaudeDriver
from axiom_sandbox.drivers.contract import Driver, Turn
from axiom_sandbox.drivers.generic import GenericDriver
from axiom_sandbox.protocol.agents import Activity, DriverName, Signal
from axiom_sandbox.protocol.channel import AgentProgram, Patience
from axiom_sandbox.protocol.events import (
    ApiRetried,
    ApprovalAsked,
    AssistantMessage,
    Event,
    RateLimited,
    Silence,
    StateChanged,
    ToolCall,
    TurnEnded,
)
from axiom_sandbox.protocol.launching import Processes, ProcessInfo
from axiom_sandbox.supervising.turns import backoff
from axiom_sandbox.supervising.vigil import Vigil

PATIENCE = Patience()
SAID = AssistantMessage(round=1, text="hm")
CALL = ToolCall(round=1, id="c", tool="Bash", input={})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def wall_ms(self) -> int:
        return int(self.now * 1000)


def watched(*events: Event, kind: type[Driver] = ClaudeDriver) -> tuple[Clock, Driver, Vigil]:
    clock = Clock()
    driver = kind(AgentProgram(driver=DriverName.CLAUDE, command=("agent",)), PLACE)
    driver.begin(Turn(1, "do it"))
    driver.recall(events)
    return clock, driver, Vigil(driver, PATIENCE, 600, clock.now, clock.wall_ms)


def test_a_state_is_told_once_with_what_decided_it_and_since_when() -> None:
    clock, driver, vigil = watched()
    [begun] = vigil.look(clock.now).events
    assert isinstance(begun, StateChanged)
    assert (begun.state.activity, begun.state.signal) == (Activity.STARTING, Signal.PROCESS)
    clock.now += 5
    assert vigil.look(clock.now).events == ()
    driver.recall([CALL])
    vigil.heard(clock.now, 10)
    [tool] = vigil.look(clock.now).events
    assert isinstance(tool, StateChanged)
    assert (tool.state.activity, tool.state.detail) == (Activity.RUNNING_TOOL, "Bash")
    assert tool.state.signal is Signal.STRUCTURED_MESSAGE
    assert tool.state.since_ms == clock.wall_ms()
    assert vigil.state == tool.state


def test_silence_is_noted_then_flagged_then_acted_on() -> None:
    clock, _, vigil = watched(SAID)
    vigil.look(clock.now)
    found = list[tuple[float, str]]()
    hung = ""
    for second in range(1, 200):
        look = vigil.look(clock.now + second)
        found += [(second, event.level) for event in look.events if isinstance(event, Silence)]
        hung = hung or look.hung
    assert found == [(60, "noted"), (120, "flagged"), (180, "acted")]
    assert hung == "silent for 180 s while Thinking"
    assert vigil.state is not None
    assert (vigil.state.activity, vigil.state.signal) == (Activity.HUNG, Signal.SILENCE)
    assert vigil.state.since_ms == clock.wall_ms()


def test_whatever_comes_ends_a_silence_and_the_next_is_told_again() -> None:
    clock, _, vigil = watched(SAID)
    vigil.look(clock.now + 130)
    vigil.heard(clock.now + 131, 1)
    look = vigil.look(clock.now + 192)
    assert [event.level for event in look.events if isinstance(event, Silence)] == ["noted"]


@pytest.mark.parametrize(
    ("events", "borne"),
    [
        ((), 180),
        ((SAID,), 180),
        ((CALL,), 1800),
        ((RateLimited(round=1, waiting=True),), 3600),
        ((ApiRetried(round=1, number=1, delay_ms=1, status=429),), 3600),
        ((ApiRetried(round=1, number=1, delay_ms=1, status=None),), 3600),
        ((CALL, ApprovalAsked(round=1, id="q", tool="Bash", input={})), None),
        ((TurnEnded(round=1, ok=True, reason="success"),), None),
    ],
)
def test_how_long_silence_is_borne_depends_on_what_the_agent_does(
    events: tuple[Event, ...], borne: int | None
) -> None:
    clock, _, vigil = watched(*events)
    if borne is None:
        assert vigil.look(clock.now + 10**6).hung == ""
    else:
        assert vigil.look(clock.now + borne - 1).hung == ""
        assert vigil.look(clock.now + borne).hung


def test_any_command_hangs_when_its_task_says_so() -> None:
    clock, _, vigil = watched(kind=GenericDriver)
    vigil.heard(clock.now, 1)
    assert vigil.look(clock.now + 599).hung == ""
    assert vigil.state is not None
    assert vigil.state.activity is Activity.THINKING
    vigil.look(clock.now + 600)
    assert vigil.state.activity is Activity.HUNG


def test_a_heartbeat_is_due_every_three_minutes_and_counts_anew() -> None:
    clock, _, vigil = watched(SAID)
    vigil.heard(clock.now + 100, 70)
    assert not vigil.look(clock.now + 179).heartbeat_due
    assert vigil.look(clock.now + 180).heartbeat_due
    one = ProcessInfo(pid=2, ppid=1, state="S", command="claude -p", rss_kib=300, cpu_ms=20)
    found = Processes(processes=(one, one.model_copy(update={"pid": 3})), count=2, threads=9)
    beat = vigil.heartbeat(clock.now + 180, found, 1)
    assert (beat.cpu_ms, beat.rss_kib, beat.bytes_since, beat.silent_ms) == (40, 600, 70, 80_000)
    assert beat.processes[0] == "2 1 S 300 20 claude -p"
    assert not vigil.look(clock.now + 359).heartbeat_due
    assert vigil.heartbeat(clock.now + 360, found, 1).bytes_since == 0


def test_the_pause_before_another_start_grows_and_differs() -> None:
    assert [backoff(number, 0) for number in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff(3, 1) == 2


def test_who_waits_for_a_vendor_that_said_until_when_is_borne_until_then() -> None:
    clock, driver, vigil = watched()
    until = clock.now + 3 * 3600
    driver.recall([RateLimited(round=1, waiting=True, until_ms=int(until * 1000), text="five hours")])
    vigil.heard(clock.now, 1)
    clock.now = until - 1
    assert vigil.look(clock.now).hung == ""
    assert vigil.is_excused
    clock.now = until + PATIENCE.waiting_seconds
    assert "RateLimited" in vigil.look(clock.now).hung
    assert not vigil.is_excused


def test_a_limit_is_over_once_the_agent_goes_on() -> None:
    clock, driver, vigil = watched()
    driver.recall([RateLimited(round=1, waiting=True, until_ms=int((clock.now + 3600) * 1000)), SAID])
    clock.now += PATIENCE.hung_seconds
    assert "Thinking" in vigil.look(clock.now).hung
    assert not vigil.is_excused
