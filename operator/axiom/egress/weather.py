"""How the vendors' APIs do, as this process of the proxy sees it over all tasks: answers, and failures that are the vendor's own.

What decides is not here: `planning.breakers` puts together what all processes saw. Ages are told, never times, so that the
clocks of two machines are not compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from axiom_sandbox.protocol.model import Message

MOST_HOSTS = 256
_MOST_TASKS = 64


class Sight(Message):
    """One vendor's API."""

    failed_in_row: int = 0
    """Calls of models that failed since the last one that was answered."""
    tasks: int = 0
    """How many tasks those were of; what is counted up to 64."""
    answered_ago: float | None = None
    """Seconds since the last answer that was no failure; None: there was none."""
    failed_ago: float | None = None
    """Seconds since the last failure; None: there was none."""


@dataclass
class _Host:
    failed_in_row: int = 0
    tasks: set[str] = field(default_factory=set)
    answered_at: float | None = None
    failed_at: float | None = None


class Weather:
    """Of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hosts: dict[str, _Host] = {}

    def note(self, host: str, task_id: str, status: int | None) -> None:
        """A call of a model came back with this status; None: the vendor could not be reached, or did not answer.

        Of a vendor's own statuses 429 says nothing: it lets one customer wait, and works.
        """
        if status == 429 or (host not in self._hosts and len(self._hosts) >= MOST_HOSTS):
            return
        one = self._hosts.setdefault(host, _Host())
        if status is not None and status < 500:
            one.failed_in_row, one.answered_at = 0, self._clock()
            one.tasks.clear()
            return
        one.failed_in_row, one.failed_at = one.failed_in_row + 1, self._clock()
        if len(one.tasks) < _MOST_TASKS:
            one.tasks.add(task_id)

    def sights(self) -> dict[str, Sight]:
        """By host; those that never failed are left out."""
        now = self._clock()
        return {
            host: Sight(
                failed_in_row=one.failed_in_row,
                tasks=len(one.tasks),
                answered_ago=None if one.answered_at is None else now - one.answered_at,
                failed_ago=now - one.failed_at,
            )
            for host, one in self._hosts.items()
            if one.failed_at is not None
        }
