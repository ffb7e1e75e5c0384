"""A breaker for each vendor's API, over all tasks: when it opens, who tries whether the vendor is back, and when it closes. Pure.

Each task that was heard of within `WINDOW_SECONDS` has one vote, how its last call of a model ended, however many calls it
makes. The breaker opens for all when at least `LEAST_TASKS` of them fail, which are at least half of them, after
`LEAST_FAILURES` failures, of which one task counts for `MOST_OF_ONE`. So a task that is broken itself stops nobody else; where
it is the only one that asks, the breaker opens for it alone.

After a pause that grows one task tries. Its answer closes the breaker, its failure opens it again. The egress proxy lets
calls pass all the while: agents that run try again by their own rules, and where most of them succeed that closes it, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

WINDOW_SECONDS = 300.0
LEAST_TASKS = 2
LEAST_SHARE = 0.5
LEAST_FAILURES = 5
MOST_OF_ONE = 3
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 600.0
TRIAL_SECONDS = 300.0
"""How long the task that tries may take for its first answer before another may."""
REMEMBERED_SECONDS = 900.0
"""One that opens again so soon after it closed goes on with its pauses where they were."""


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
    """How one task's calls of a vendor's models went, as one process of the proxy saw it; times by the clock of whoever decides."""

    task: str
    failed_in_row: int
    """Since the last that was answered."""
    answered_at: float | None
    failed_at: float | None


@dataclass(frozen=True)
class Vote:
    """How a task's last call ended, over all processes of the proxy."""

    task: str
    failures: int
    """In a row; 0: it was answered."""
    at: float


@dataclass(frozen=True)
class Breaker:
    """Of one vendor. Times are in seconds, by a clock that only goes forward and that outlives a process."""

    state: BreakerState = BreakerState.CLOSED
    since: float = 0.0
    """When it opened first."""
    moved: float = 0.0
    """When it came into its state, or a task began to try."""
    pauses: int = 0
    next_try: float = 0.0
    trial: str = ""
    """UID of the task that tries."""
    only: str = ""
    """UID of the only task that asked, and failed: nobody else is held back."""


def votes(seen: Iterable[Seen], after: float) -> tuple[Vote, ...]:
    """One for each task whose last call ended later than this."""
    by_task: dict[str, list[Seen]] = {}
    for one in seen:
        by_task.setdefault(one.task, []).append(one)
    found = (_vote(task, parts) for task, parts in by_task.items())
    return tuple(vote for vote in found if vote is not None and vote.at > after)


def _vote(task: str, parts: list[Seen]) -> Vote | None:
    answered = max((part.answered_at for part in parts if part.answered_at is not None), default=None)
    since = [
        (part.failed_at, part.failed_in_row)
        for part in parts
        if part.failed_at is not None and (answered is None or part.failed_at > answered)
    ]
    if since:
        return Vote(task, sum(number for _, number in since), max(at for at, _ in since))
    return None if answered is None else Vote(task, 0, answered)


def failing_share(cast: Iterable[Vote]) -> float:
    """From 0 to 1: how many of the tasks that were heard of fail."""
    found = [vote.failures > 0 for vote in cast]
    return sum(found) / len(found) if found else 0.0


def advance(breaker: Breaker, seen: Iterable[Seen], now: float, jitter: float) -> Breaker:
    """The breaker after a look. `jitter`: from 0 to 1, each time another."""
    recent = votes(seen, now - WINDOW_SECONDS)
    match breaker.state:
        case BreakerState.CLOSED:
            only = _fails_for(tuple(vote for vote in recent if not vote.failures or vote.at > breaker.moved))
            if only is None:
                return breaker if now - breaker.moved < REMEMBERED_SECONDS else Breaker()
            return _opened(replace(breaker, since=now, only=only), now, jitter)
        case BreakerState.OPEN | BreakerState.HALF_OPEN:
            return _reconsidered(breaker, recent, now, jitter)


def _fails_for(recent: tuple[Vote, ...]) -> str | None:
    """Empty: for all; else the UID of the only task that asks; None: it does not fail."""
    failing = [vote for vote in recent if vote.failures]
    if len(recent) == 1 and recent[0].failures >= LEAST_FAILURES:
        return recent[0].task
    is_enough = sum(min(vote.failures, MOST_OF_ONE) for vote in failing) >= LEAST_FAILURES
    is_common = len(failing) >= LEAST_TASKS and failing_share(recent) >= LEAST_SHARE
    return "" if is_enough and is_common else None


def _reconsidered(breaker: Breaker, recent: tuple[Vote, ...], now: float, jitter: float) -> Breaker:
    if _is_back(breaker, recent):
        return Breaker(moved=now, pauses=breaker.pauses)
    if breaker.only and _fails_for(recent) == "":
        return _opened(replace(breaker, only=""), now, jitter)
    if any(vote.task == breaker.trial and vote.at > breaker.moved for vote in recent):
        return _opened(breaker, now, jitter)
    if breaker.state is BreakerState.OPEN:
        return breaker if now < breaker.next_try else _half_open(breaker, now)
    return _half_open(breaker, now) if breaker.trial and now - breaker.moved > TRIAL_SECONDS else breaker


def _is_back(breaker: Breaker, recent: tuple[Vote, ...]) -> bool:
    """An answer came since, to the task that tries, or to one of most that do not fail; or to any that was not held back."""
    answered = [vote for vote in recent if not vote.failures]
    since = [vote.task for vote in answered if vote.at > breaker.moved]
    is_most = bool(since) and failing_share(recent) < LEAST_SHARE
    return is_most or any(task == breaker.trial or (breaker.only and task != breaker.only) for task in since)


def claimed(breaker: Breaker, task_id: str, now: float) -> Breaker:
    """The breaker, in which this task tries if none does."""
    if breaker.state is not BreakerState.HALF_OPEN or breaker.trial or breaker.only not in ("", task_id):
        return breaker
    return replace(breaker, trial=task_id, moved=now)


def holds_back(breaker: Breaker, task_id: str) -> bool:
    """Whether this task waits for the vendor."""
    is_meant = breaker.only in ("", task_id)
    return breaker.state is not BreakerState.CLOSED and is_meant and breaker.trial != task_id


def pause(number: int, jitter: float) -> float:
    """Seconds of the n-th pause, from 1: doubled each time, up to ten minutes, less up to a quarter."""
    return min(FIRST_PAUSE * 2.0 ** min(number - 1, 30), LONGEST_PAUSE) * (1 - jitter / 4)


def carried_over(breaker: Breaker, now: float) -> Breaker:
    """As an operator wrote it that is gone: no time of it lies ahead, should the clock have been set back."""
    return replace(
        breaker,
        since=min(breaker.since, now),
        moved=min(breaker.moved, now),
        next_try=min(breaker.next_try, now + LONGEST_PAUSE),
    )


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
