"""Which calls of one task may be open at once, so that at most one of them passes the task's budget.

Each open call has the most that it can cost set aside for it. Another one may join them where that leaves enough for all;
else it waits, in the order of arrival, and goes out alone once none is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from axiom.egress.errors import Refusal, RefusedError

Most = int | None
"""Micro-dollars that a call costs at most; None: nobody can say."""


def may_join(opened: Iterable[Most], most: Most, left: int) -> bool:
    """Whether a call may go out beside those that are open, with so much left of the budget before any of them is paid."""
    others = list(opened)
    if not others:
        return True
    bounded = [one for one in (*others, most) if one is not None]
    return len(bounded) > len(others) and sum(bounded) <= left


class OpenCalls:
    """The calls of one task that are open, and those that wait."""

    def __init__(self) -> None:
        self._opened: dict[object, Most] = {}
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._served = 0

    @property
    def is_empty(self) -> bool:
        """None is open, and none waits."""
        return not self._served

    @property
    def most(self) -> Most:
        """What all that are open cost at most."""
        costs = [one for one in self._opened.values() if one is not None]
        return sum(costs) if len(costs) == len(self._opened) else None

    def tell(self) -> None:
        """Something else than an open call has changed."""
        self._news.set()

    @asynccontextmanager
    async def opened(
        self,
        most: Callable[[], Most],
        left: Callable[[], int | None],
        elsewhere: Callable[[], int],
        seconds: float,
    ) -> AsyncIterator[None]:
        """Waits until the call may go out, and holds what it may cost until it has been paid.

        Args:
            most: what it costs at most, as far as is known at that moment.
            left: what is left of the budget without the calls that are open; None: there is none. May raise.
            elsewhere: what calls of the task cost at most that other processes have open.
            seconds: the longest time to wait.

        Raises:
            RefusedError: BUDGET_IN_USE: nothing that was open ended in time. What `left` raises.
        """
        self._served += 1
        try:
            key = object()
            try:
                async with asyncio.timeout(seconds), self._turn:
                    while not self._may_go(most(), left(), elsewhere()):
                        self._news.clear()
                        await self._news.wait()
                    self._opened[key] = most()
            except TimeoutError as error:
                raise _in_use(seconds) from error
            try:
                yield
            finally:
                del self._opened[key]
                self._news.set()
        finally:
            self._served -= 1

    def _may_go(self, most: Most, left: int | None, elsewhere: int) -> bool:
        opened = [*self._opened.values(), *([elsewhere] if elsewhere else [])]
        return left is None or may_join(opened, most, left)


def _in_use(seconds: float) -> RefusedError:
    return RefusedError(
        Refusal.BUDGET_IN_USE,
        f"what is left of the task's budget may be used up by calls that are open, and none of them ended within"
        f" {seconds:g} s; try again, or ask for less at once (a smaller max_tokens)",
    )
