"""What ends an agent's process in order, by what the agent says of itself: a budget that is spent, a context nearly full. Pure."""

from __future__ import annotations

from collections.abc import Callable

from axiom_sandbox.drivers.contract import Driver, Turn
from axiom_sandbox.protocol.agents import Vitals
from axiom_sandbox.protocol.channel import ContextPolicy
from axiom_sandbox.protocol.events import BudgetSpent
from axiom_sandbox.supervising.context import Deed, deed_for, percent_of
from axiom_sandbox.supervising.history import History
from axiom_sandbox.supervising.vitals import overspent


class BudgetRestraint:
    """Of a task."""

    def __init__(self, history: History, earlier_micro_usd: int, budget: Callable[[], int | None]) -> None:
        """Restrains an agent.

        Args:
            earlier_micro_usd: what the task had spent before this sandbox.
            budget: what the task may spend, in micro-dollars, as it was last told.
        """
        self._history, self._earlier, self._budget = history, earlier_micro_usd, budget

    def spent(self, number: int, vitals: Vitals | None) -> BudgetSpent | None:
        """What is to be recorded where it is spent; None while it is not, nobody knows, or that is recorded already."""
        known, found = self._history.overspent, overspent(number, self._budget(), self._earlier, vitals)
        told = known and found and (known.round, known.budget_micro_usd) == (number, found.budget_micro_usd)
        return None if told else found


class ContextRestraint:
    """Of one process."""

    def __init__(self, policy: ContextPolicy | None, driver: Driver, history: History, turn: Turn) -> None:
        self._policy, self._driver, self._history, self._turn = policy, driver, history, turn
        self._was_below = False
        """In this process its context was seen below the limit."""

    def called_for(self) -> Deed | None:
        """What its fill calls for now; None: nothing."""
        policy, memory, number = self._policy, self._driver.memory, self._turn.round
        is_compacting = self._turn.compact and not memory.has_compacted and not memory.has_spoken
        if policy is None or memory.fill is None or not memory.fill_is_of_this_process or is_compacting:
            return None
        if known := self._history.unserved(number):
            return Deed(known.act, known.why)
        percent = percent_of(policy, memory.fill)
        self._was_below |= percent is not None and percent < policy.percent
        return deed_for(
            policy,
            memory.fill,
            [event.act for event in self._history.acts.get(number, ())],
            helped=self._was_below,
            compacts=self._driver.compacts,
            by_itself=self._driver.compacts_by_itself,
        )
