"""How the vendors' APIs do, as this process of the proxy sees it: for each task, answers, and failures that are the vendor's own.

What decides is not here: `planning.breakers` puts together what all processes saw. Ages are told, never times, so that the
clocks of two machines are not compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from axiom_sandbox.protocol.model import Message

MOST_HOSTS = 256
MOST_TASKS = 2048
"""Of each host; those that were heard of last."""
KEPT_SECONDS = 300.0
"""How long what a task met is told: no less than a breaker looks back."""


class Fared(Message):
    """How the calls of one task went."""

    failed_in_row: int = 0
    """Calls of models that failed since the last one that was answered."""
    answered_ago: float | None = None
    """Seconds since the last answer that was no failure; None: there was none."""
    failed_ago: float | None = None
    """Seconds since the last failure; None: there was none."""


class Sight(Message):
    """One vendor's API."""

    by_task: dict[str, Fared] = {}
    """Tasks whose last call ended within the last five minutes, by UID."""


@dataclass
class _Luck:
    failed_in_row: int = 0
    answered_at: float | None = None
    failed_at: float | None = None

    @property
    def heard_at(self) -> float:
        return max(at for at in (self.answered_at, self.failed_at) if at is not None)


class Weather:
    """Of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hosts: dict[str, dict[str, _Luck]] = {}
        """By host, by task, in the order in which they were heard of last."""

    def note(self, host: str, task_id: str, status: int | None) -> None:
        """A call of a model came back with this status; None: the vendor could not be reached, or did not answer.

        Of a vendor's own statuses 429 says nothing: it lets one customer wait, and works.
        """
        if status == 429 or (host not in self._hosts and len(self._hosts) >= MOST_HOSTS):
            return
        by_task = self._hosts.setdefault(host, {})
        luck = by_task.pop(task_id, _Luck())
        if status is not None and status < 500:
            luck.failed_in_row, luck.answered_at = 0, self._clock()
        else:
            luck.failed_in_row, luck.failed_at = luck.failed_in_row + 1, self._clock()
        by_task[task_id] = luck
        if len(by_task) > MOST_TASKS:
            del by_task[next(iter(by_task))]

    def sights(self) -> dict[str, Sight]:
        """By host. Tasks that were not heard of lately are forgotten, and hosts of which nobody was."""
        now = self._clock()
        for by_task in self._hosts.values():
            while by_task and now - next(iter(by_task.values())).heard_at > KEPT_SECONDS:
                del by_task[next(iter(by_task))]
        self._hosts = {host: by_task for host, by_task in self._hosts.items() if by_task}
        return {
            host: Sight(by_task={task: _told(luck, now) for task, luck in by_task.items()})
            for host, by_task in self._hosts.items()
        }


def _told(luck: _Luck, now: float) -> Fared:
    return Fared(
        failed_in_row=luck.failed_in_row,
        answered_ago=None if luck.answered_at is None else now - luck.answered_at,
        failed_ago=None if luck.failed_at is None else now - luck.failed_at,
    )
