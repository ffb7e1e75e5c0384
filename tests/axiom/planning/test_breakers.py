"""When a vendor's breaker opens, who tries, and when it closes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from axiom.planning.breakers import (
    LONGEST_PAUSE,
    REMEMBERED_SECONDS,
    TRIAL_SECONDS,
    WINDOW_SECONDS,
    Breaker,
    BreakerState,
    Seen,
    advance,
    carried_over,
    claimed,
    failing_share,
    holds_back,
    pause,
    votes,
)

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def failing(task: str, number: int = 3, at: float = 1099, answered: float | None = None) -> Seen:
    return Seen(task, number, answered, at)


def well(task: str, at: float = 1099) -> Seen:
    return Seen(task, 0, at, None)


def tasks(number: int, at: float = 1099) -> list[Seen]:
    """So many that fail."""
    return [failing(f"f{one}", at=at) for one in range(number)]


def opened(now: float = 1100) -> Breaker:
    return advance(Breaker(), tasks(2), now, 0)


def tried(now: float = 1131) -> Breaker:
    """Task `a` tries."""
    return claimed(advance(opened(), [], 1130, 0), "a", now)


def test_it_opens_when_several_tasks_fail_and_says_since_when() -> None:
    found = opened()
    assert (found.state, found.since, found.next_try, found.only) == (OPEN, 1100, 1130, "")
    assert all(holds_back(found, task) for task in ("f0", "somebody else"))


def test_one_broken_task_stops_nobody_else_however_often_it_fails() -> None:
    seen = [failing("broken", 500), well("a")]
    assert advance(Breaker(), seen, 1100, 0).state is CLOSED
    blip = [failing("broken", 500), failing("a", 1), well("b")]
    assert advance(Breaker(), blip, 1100, 0).state is CLOSED, "its failures count for three"


def test_a_task_that_asks_alone_waits_alone_until_another_is_heard_of() -> None:
    assert advance(Breaker(), [failing("a", 4)], 1100, 0).state is CLOSED
    alone = advance(Breaker(), [failing("a", 5)], 1100, 0)
    assert (alone.state, alone.only) == (OPEN, "a")
    assert [holds_back(alone, task) for task in ("a", "b")] == [True, False]
    closed = advance(alone, [failing("a", 6, 1110), well("b", 1112)], 1113, 0)
    assert closed.state is CLOSED
    assert advance(closed, [failing("a", 60, 1150), well("b", 1112)], 1151, 0).state is CLOSED, (
        "b was heard of"
    )
    both = advance(alone, [failing("a", 6, 1110), failing("b", 2, 1112)], 1113, 0)
    assert (both.state, both.only, both.since) == (OPEN, "", 1100)
    half = advance(alone, [], 1131, 0)
    assert claimed(half, "b", 1132) == half, "b is not held back, so it need not try"
    assert claimed(half, "a", 1132).trial == "a"


def test_fewer_than_half_of_the_tasks_that_fail_leave_it_closed() -> None:
    assert advance(Breaker(), [*tasks(4), *(well(str(n)) for n in range(5))], 1100, 0).state is CLOSED
    assert advance(Breaker(), [*tasks(4), *(well(str(n)) for n in range(4))], 1100, 0).state is OPEN


def test_what_lies_before_the_window_does_not_count() -> None:
    later = 1099 + WINDOW_SECONDS + 1
    assert advance(Breaker(), tasks(5), later, 0).state is CLOSED
    assert (
        advance(Breaker(), [*tasks(2, later - 1), *(well(str(n)) for n in range(9))], later, 0).state is OPEN
    )


def test_the_votes_of_one_task_are_put_together_over_all_processes_of_the_proxy() -> None:
    seen = [failing("a", 2, 1050), failing("a", 3, 1060), failing("b", 9, 1050), well("b", 1055)]
    found = {vote.task: (vote.failures, vote.at) for vote in votes(seen, 0)}
    assert found == {"a": (5, 1060), "b": (0, 1055)}
    assert failing_share(votes(seen, 0)) == 0.5
    assert failing_share(votes([Seen("a", 0, None, None)], 0)) == 0


def test_one_task_tries_after_a_pause_and_all_others_wait() -> None:
    breaker = advance(opened(), tasks(2), 1129, 0)
    assert breaker.state is OPEN
    assert claimed(breaker, "a", 1129) == breaker
    breaker = claimed(advance(breaker, tasks(2), 1130, 0), "a", 1131)
    assert (breaker.state, breaker.trial) == (HALF_OPEN, "a")
    assert claimed(breaker, "b", 1131) == breaker
    assert [holds_back(breaker, task) for task in ("a", "b")] == [False, True]
    assert not holds_back(Breaker(), "b")


def test_the_answer_to_the_one_that_tries_closes_it_though_others_fail() -> None:
    found = advance(tried(), [*tasks(9, 1132), well("a", 1133)], 1134, 0)
    assert found.state is CLOSED
    assert advance(tried(), [*tasks(9, 1132), well("a", 1120)], 1134, 0).state is HALF_OPEN, (
        "from before it tried"
    )
    assert advance(found, tasks(9, 1132), 1137, 0).state is CLOSED, (
        "failures from before it closed say nothing"
    )


def test_a_try_that_fails_doubles_the_pause_and_a_failure_from_before_it_does_not_count() -> None:
    assert advance(tried(), [failing("a", at=1130.5)], 1135, 0) == tried()
    assert advance(tried(), [failing("b", at=1134)], 1135, 0) == tried()
    breaker = advance(tried(), [failing("a", 1, at=1134)], 1135, 0)
    assert (breaker.state, breaker.next_try, breaker.trial, breaker.since) == (OPEN, 1195, "", 1100)


def test_agents_that_run_close_it_when_most_of_them_are_answered() -> None:
    one_of_two = [failing("f0", at=1102), well("f1", 1103)]
    assert advance(opened(), one_of_two, 1104, 0).state is OPEN
    assert advance(opened(), [*one_of_two, well("f2", 1103)], 1104, 0).state is CLOSED
    assert advance(opened(), [well("f0", 1099), well("f1", 1099)], 1104, 0).state is OPEN, (
        "from before it opened"
    )


def test_one_that_opens_again_soon_goes_on_with_its_pauses() -> None:
    closed = advance(tried(), [well("a", 1133)], 1134, 0)
    again = advance(closed, tasks(2, 1140), 1141, 0)
    assert (again.state, again.since, again.next_try) == (OPEN, 1141, 1141 + 60)
    later = 1134 + REMEMBERED_SECONDS
    assert advance(closed, [], later - 1, 0) == closed
    assert advance(closed, [], later, 0) == Breaker()


def test_a_task_that_tries_and_is_never_heard_of_makes_room_for_another() -> None:
    assert advance(tried(), [], 1131 + TRIAL_SECONDS, 0).trial == "a"
    later = advance(tried(), [], 1132 + TRIAL_SECONDS, 0)
    assert claimed(later, "b", 1500).trial == "b"


def test_one_that_a_later_operator_goes_on_with_has_no_time_ahead_of_it() -> None:
    assert carried_over(opened(), 1105) == opened()
    found = carried_over(replace(opened(), next_try=9e9), 500)
    assert (found.since, found.moved, found.next_try) == (500, 500, 500 + LONGEST_PAUSE)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_pauses_are_bounded_and_jittered(number: int, jitter: float) -> None:
    assert 0.75 * 30 <= pause(number, jitter) <= LONGEST_PAUSE
    assert pause(number + 1, jitter) >= pause(number, jitter)


STEPS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("abcde"), st.booleans()), st.floats(1, 400)), max_size=30
)


@given(STEPS)
def test_whatever_happened_an_answer_to_the_one_that_tries_closes_it_and_one_tries_at_a_time(
    history: list[tuple[dict[str, bool], float]],
) -> None:
    breaker, now = Breaker(), 1100.0
    known: dict[str, Seen] = {}
    for outcomes, seconds in history:
        now += seconds
        known |= {
            task: failing(task, at=now) if fails else well(task, now) for task, fails in outcomes.items()
        }
        breaker = advance(breaker, known.values(), now, 0.5)
        for task in "abcde":
            breaker = claimed(breaker, task, now)
        let_through = [task for task in "abcdefg" if not holds_back(breaker, task)]
        assert breaker.state is CLOSED or breaker.only or len(let_through) <= 1
    if breaker.trial:
        known[breaker.trial] = well(breaker.trial, now + 1)
        assert advance(breaker, known.values(), now + 2, 0.5).state is CLOSED
