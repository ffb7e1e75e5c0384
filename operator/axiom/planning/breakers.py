"""A breaker for each vendor's API, over all tasks: when it opens, who tries whether the vendor is back, and when it closes. Pure.

It opens after `FAILURES` calls of models in a row that failed by the vendor's own fault, whoever made them; one answer that gets
through closes it. The egress proxy lets calls pass all the while: agents that run try again by their own rules, and the first
that succeeds says so for all. Where none runs, one task is let try, after a pause that doubles each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES = 5
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 600.0
TRIAL_SECONDS = 300.0
"""How long the task that tries may take for its first answer before another may."""
_FORGOTTEN_AFTER = 900.0
"""Failures of so long ago say nothing of now."""


class BreakerState(StrEnum):
    """What a breaker lets through."""

    CLOSED = "Closed"
    """The vendor answers."""
    OPEN = "Open"
    """It does not: no sandbox is started, no agent that died is started again."""
    HALF_OPEN = "HalfOpen"
    """One task tries."""


@dataclass(frozen=True)
class Seen:
    """One vendor's API as one process of the proxy saw it; times by the clock of whoever decides."""

    failed_in_row: int
    answered_at: float | None
    failed_at: float | None


@dataclass(frozen=True)
class Breaker:
    """Of one vendor. Times are seconds of a clock that only goes forward."""

    state: BreakerState = BreakerState.CLOSED
    since: float = 0.0
    """When it opened first."""
    moved: float = 0.0
    """When it came into its state."""
    pauses: int = 0
    next_try: float = 0.0
    trial: str = ""
    """UID of the task that tries."""


def advance(breaker: Breaker, seen: Iterable[Seen], now: float, jitter: float) -> Breaker:
    """The breaker after a look. `jitter`: from 0 to 1, each time another."""
    found = list(seen)
    answered = max((one.answered_at for one in found if one.answered_at is not None), default=None)
    failures = [
        one for one in found if one.failed_at is not None and (answered is None or one.failed_at > answered)
    ]
    failed = max((one.failed_at for one in failures if one.failed_at is not None), default=None)
    match breaker.state:
        case BreakerState.CLOSED:
            in_row = sum(one.failed_in_row for one in failures)
            if failed is None or in_row < FAILURES or now - failed > _FORGOTTEN_AFTER:
                return breaker
            return _opened(replace(breaker, since=now, pauses=0), now, jitter)
        case BreakerState.OPEN | BreakerState.HALF_OPEN:
            if answered is not None and answered > breaker.since:
                return Breaker()
            if breaker.state is BreakerState.OPEN:
                return breaker if now < breaker.next_try else _half_open(breaker, now)
            if breaker.trial and failed is not None and failed > breaker.moved:
                return _opened(breaker, now, jitter)
            return (
                _half_open(breaker, now) if breaker.trial and now - breaker.moved > TRIAL_SECONDS else breaker
            )


def claimed(breaker: Breaker, task_id: str, now: float) -> Breaker:
    """The breaker, in which this task tries if none does."""
    if breaker.state is not BreakerState.HALF_OPEN or breaker.trial:
        return breaker
    return replace(breaker, trial=task_id, moved=now)


def holds_back(breaker: Breaker, task_id: str) -> bool:
    """Whether this task waits for the vendor."""
    return breaker.state is not BreakerState.CLOSED and breaker.trial != task_id


def pause(number: int, jitter: float) -> float:
    """Seconds of the n-th pause, from 1: doubled each time, up to ten minutes, less up to a quarter."""
    return min(FIRST_PAUSE * 2.0 ** (number - 1), LONGEST_PAUSE) * (1 - jitter / 4)


def _opened(breaker: Breaker, now: float, jitter: float) -> Breaker:
    pauses = breaker.pauses + 1
    return replace(
        breaker,
        state=BreakerState.OPEN,
        moved=now,
        pauses=pauses,
        next_try=now + pause(pauses, jitter),
        trial="",
    )


def _half_open(breaker: Breaker, now: float) -> Breaker:
    return replace(breaker, state=BreakerState.HALF_OPEN, moved=now, trial="")
