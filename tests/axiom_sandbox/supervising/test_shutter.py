from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.protocol.agents import Activity, AgentState, Signal
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.events import (
    AgentExited,
    ApprovalAsked,
    ApprovalGiven,
    ClaimMade,
    Event,
    StateChanged,
    Terminal,
    TurnEnded,
)
from axiom_sandbox.protocol.pictures import PictureReason
from axiom_sandbox.protocol.verdicts import Claim, Saying
from axiom_sandbox.supervising.shutter import BURST, INTERVAL_SECONDS, REFILL_SECONDS, Shutter, reason_of

STATE, CLAIM, INTERVAL = PictureReason.STATE, PictureReason.CLAIM, PictureReason.INTERVAL
THINKING = AgentState(activity=Activity.THINKING, signal=Signal.PROCESS)


def exited(code: int | None) -> AgentExited:
    return AgentExited(
        round=1, code=code, signal=9 if code is None else None, user_ms=0, system_ms=0, max_rss_kib=0
    )


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (StateChanged(round=1, state=THINKING), PictureReason.STATE),
        (ApprovalAsked(round=1, id="1", tool="Bash", input={}), PictureReason.APPROVAL),
        (ApprovalGiven(round=1, id="1", permission=Permission.ALLOW, by="policy"), PictureReason.APPROVAL),
        (ClaimMade(round=1, claim=Claim(says=Saying.SUCCESS, text="")), PictureReason.CLAIM),
        (TurnEnded(round=1, ok=False, reason="error"), PictureReason.FAILURE),
        (exited(1), PictureReason.FAILURE),
        (exited(None), PictureReason.FAILURE),
        (TurnEnded(round=1, ok=True, reason="success"), None),
        (exited(0), None),
        (Terminal(start=0, size=1), None),
    ],
    ids=lambda value: value.event if isinstance(value, Event) else str(value),
)
def test_what_happens_is_a_reason_for_a_picture_or_not(event: Event, why: PictureReason | None) -> None:
    assert reason_of(event) is why


def test_a_picture_is_taken_when_something_happened_and_once() -> None:
    shutter = Shutter(0)
    assert shutter.release(0, changed=True) == ()
    shutter.press(STATE)
    assert shutter.release(0, changed=False) == (STATE,)
    assert shutter.release(5, changed=True) == ()


def test_what_follows_within_a_second_is_told_with_the_next() -> None:
    shutter = Shutter(0)
    shutter.press(STATE)
    shutter.release(0, changed=True)
    for why in (CLAIM, STATE, CLAIM):
        shutter.press(why)
    assert shutter.release(0.9, changed=True) == ()
    assert shutter.is_pressed
    assert shutter.release(1, changed=True) == (CLAIM, STATE)
    assert not shutter.is_pressed


def test_each_minute_in_which_the_terminal_changes_has_a_picture() -> None:
    shutter = Shutter(0)
    taken = [second for second in range(300) if shutter.release(second, changed=second > 100)]
    assert taken == [101, 161, 221, 281]


def test_a_picture_for_another_reason_begins_the_minute_anew() -> None:
    shutter = Shutter(0)
    shutter.press(STATE)
    assert shutter.release(30, changed=True) == (STATE,)
    assert shutter.release(89, changed=True) == ()
    assert shutter.release(90, changed=True) == (INTERVAL,)


def test_a_terminal_that_rests_has_none() -> None:
    shutter = Shutter(0)
    assert not any(shutter.release(second, changed=False) for second in range(3600))


def test_an_agent_that_changes_without_pause_has_few() -> None:
    shutter, taken = Shutter(0), 0
    for second in range(3600):
        shutter.press(STATE)
        taken += bool(shutter.release(second, changed=True))
    assert taken <= BURST + 3600 / REFILL_SECONDS


def test_at_the_end_nothing_is_put_off() -> None:
    shutter = Shutter(0)
    for _ in range(100):
        shutter.press(STATE)
        assert shutter.release(0, changed=True, at_once=True) == (STATE,)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans(), st.booleans()), max_size=60))
def test_no_reason_is_lost_and_no_change_waits_for_longer_than_a_minute(
    steps: list[tuple[float, bool, bool]],
) -> None:
    shutter, now, waiting, last = Shutter(0), 0.0, False, 0.0
    for pause, pressed, changed in steps:
        now += pause
        if pressed:
            shutter.press(STATE)
            waiting = True
        why = shutter.release(now, changed)
        if why:
            assert waiting <= (STATE in why)
            waiting, last = False, now
        elif changed:
            assert now - last < INTERVAL_SECONDS or len(steps) > BURST
    assert shutter.is_pressed or not waiting
