"""What ends an agent's process in order, by its own word: told once, and only what is of this process."""

from __future__ import annotations

from tests.axiom_sandbox.drivers.conversations import PLACE

from axiom_sandbox.drivers.contract import Turn
from axiom_sandbox.drivers.registry import make_driver
from axiom_sandbox.protocol.agents import DriverName, Fill, Tokens, Vitals
from axiom_sandbox.protocol.channel import AgentProgram, ContextAct, ContextPolicy
from axiom_sandbox.protocol.events import ContextActed, ContextFilled
from axiom_sandbox.supervising.history import History
from axiom_sandbox.supervising.restraints import BudgetRestraint, ContextRestraint

POLICY = ContextPolicy(percent=80, act=ContextAct.SUMMARISE)
NEARLY_FULL = ContextFilled(round=1, fill=Fill(used=90, window=100))


def vitals(micro_usd: int) -> Vitals:
    return Vitals(tokens=Tokens(), micro_usd=micro_usd)


def test_a_budget_that_is_spent_is_told_once_in_a_round_and_anew_when_it_is_moved() -> None:
    budget, history = [10], History()
    restraint = BudgetRestraint(history, earlier_micro_usd=4, budget=lambda: budget[0])
    assert restraint.spent(1, vitals(5)) is None
    found = restraint.spent(1, vitals(6))
    assert found is not None
    assert (found.spent_micro_usd, found.budget_micro_usd, found.earlier_micro_usd) == (10, 10, 4)
    history.note((found,))
    assert restraint.spent(1, vitals(7)) is None
    assert restraint.spent(2, vitals(7)) is not None
    budget[0] = 11
    assert restraint.spent(1, vitals(7)) is not None


def context(policy: ContextPolicy | None, history: History, *, compact: bool = False) -> ContextRestraint:
    driver = make_driver(AgentProgram(driver=DriverName.CLAUDE, command=("claude",)), PLACE)
    turn = Turn(1, "go", compact=compact)
    driver.begin(turn)
    driver.keep((NEARLY_FULL,))
    return ContextRestraint(policy, driver, history, turn)


def test_a_context_that_is_nearly_full_calls_for_what_the_class_says() -> None:
    deed = context(POLICY, History()).called_for()
    assert deed is not None
    assert deed.act is ContextAct.SUMMARISE
    assert "90% full" in deed.why


def test_nothing_is_called_for_without_a_rule_or_while_the_process_is_still_compacting() -> None:
    assert context(None, History()).called_for() is None
    assert context(POLICY, History(), compact=True).called_for() is None


def test_what_an_earlier_life_began_is_done_as_it_was_said() -> None:
    history = History()
    acted = ContextActed(round=1, act=ContextAct.COMPACT, fill=NEARLY_FULL.fill, why="as it was")
    history.note((acted,))
    deed = context(POLICY, history).called_for()
    assert deed is not None
    assert (deed.act, deed.why) == (ContextAct.COMPACT, "as it was")
