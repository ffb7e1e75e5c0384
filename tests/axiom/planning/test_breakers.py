"""When a vendor's breaker opens, who tries, and when it closes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from axiom.planning.breakers import (
    FAILURES,
    LONGEST_PAUSE,
    TRIAL_SECONDS,
    Breaker,
    BreakerState,
    Seen,
    advance,
    claimed,
    holds_back,
    pause,
)

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def failing(number: int = FAILURES, at: float = 99, answered: float | None = None) -> Seen:
    return Seen(number, answered, at)


def opened(now: float = 100) -> Breaker:
    return advance(Breaker(), [failing()], now, 0)


def test_it_opens_after_failures_in_a_row_over_all_processes_of_the_proxy() -> None:
    assert advance(Breaker(), [failing(4)], 100, 0).state is CLOSED
    assert advance(Breaker(), [failing(3), failing(2)], 100, 0).state is OPEN
    found = opened()
    assert (found.since, found.next_try) == (100, 130)


def test_an_answer_that_another_process_saw_since_keeps_it_closed() -> None:
    assert advance(Breaker(), [failing(9, at=50), Seen(0, 60, None)], 100, 0).state is CLOSED
    assert advance(Breaker(), [failing(9, at=70), Seen(0, 60, None)], 100, 0).state is OPEN


def test_failures_of_long_ago_do_not_open_it() -> None:
    assert advance(Breaker(), [failing(9, at=100)], 2000, 0).state is CLOSED
    assert advance(Breaker(), [], 2000, 0).state is CLOSED


def test_one_answer_closes_it_whoever_got_it() -> None:
    for breaker in (opened(), advance(opened(), [failing()], 140, 0)):
        assert advance(breaker, [failing(), Seen(0, 141, 99)], 142, 0) == Breaker()
    assert advance(opened(), [Seen(3, 99, 101)], 110, 0).state is OPEN, "an answer from before says nothing"


def test_one_task_tries_after_a_pause_and_all_others_wait() -> None:
    breaker = advance(opened(), [failing()], 129, 0)
    assert breaker.state is OPEN
    assert claimed(breaker, "a", 129) == breaker
    breaker = claimed(advance(breaker, [failing()], 130, 0), "a", 131)
    assert (breaker.state, breaker.trial) == (HALF_OPEN, "a")
    assert claimed(breaker, "b", 131) == breaker
    assert [holds_back(breaker, task) for task in ("a", "b")] == [False, True]
    assert not holds_back(Breaker(), "b")


def test_a_try_that_fails_doubles_the_pause_and_a_failure_from_before_it_does_not_count() -> None:
    breaker = claimed(advance(opened(), [failing()], 130, 0), "a", 131)
    assert advance(breaker, [failing(at=130.5)], 135, 0) == breaker
    breaker = advance(breaker, [failing(6, at=134)], 135, 0)
    assert (breaker.state, breaker.next_try, breaker.trial, breaker.since) == (OPEN, 195, "", 100)


def test_a_task_that_tries_and_is_never_heard_of_makes_room_for_another() -> None:
    breaker = claimed(advance(opened(), [failing()], 130, 0), "a", 131)
    assert advance(breaker, [failing()], 131 + TRIAL_SECONDS, 0).trial == "a"
    later = advance(breaker, [failing()], 132 + TRIAL_SECONDS, 0)
    assert claimed(later, "b", 500).trial == "b"


@given(st.integers(1, 60), st.floats(0, 1))
def test_pauses_are_bounded_and_jittered(number: int, jitter: float) -> None:
    assert 0.75 * 30 <= pause(number, jitter) <= LONGEST_PAUSE
    assert pause(number + 1, jitter) >= pause(number, jitter)


@given(st.lists(st.tuples(st.booleans(), st.floats(1, 400)), max_size=30))
def test_whatever_happens_an_answer_now_closes_it(history: list[tuple[bool, float]]) -> None:
    breaker, now, failed = Breaker(), 100.0, None
    for fails, seconds in history:
        now += seconds
        failed = now if fails else failed
        seen = [failing(FAILURES, at=failed)] if failed is not None else []
        breaker = claimed(advance(breaker, seen, now, 0.5), "a", now)
    assert advance(breaker, [Seen(0, now + 1, failed)], now + 2, 0.5).state is CLOSED
