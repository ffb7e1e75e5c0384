"""Calls that are open at once: whatever their order, at most one of them passes the budget."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.vendor import NOW, make_grant

from axiom.api.agentclass import Price
from axiom.egress.accounting import Accounts, Allowance, Question
from axiom.egress.errors import Refusal, RefusedError, SpentError
from axiom.egress.metering import Certainty, Reading
from axiom.egress.model_apis import Tokens
from axiom.egress.pricing import tariffs_of
from axiom.egress.reserving import Most, may_join

TARIFFS = tariffs_of([Price(model="*", input="1", output="1")])
TASK = make_grant().task_id


@dataclass(frozen=True)
class Call:
    """One call of a model."""

    cost: int
    most: Most
    """What its question says; never less than it costs."""
    turns: int
    """How often others are given a turn before its answer has ended."""


@st.composite
def calls(draw: st.DrawFn) -> Call:
    cost = draw(st.integers(0, 50))
    most = draw(st.none() | st.integers(cost, 3 * cost + 5))
    return Call(cost, most, draw(st.integers(0, 12)))


async def make(accounts: Accounts, call: Call, budget: int, most_open: list[int]) -> int:
    """What the call cost; 0 where it was not let out."""
    grant = make_grant(budget=budget)
    try:
        async with accounts.reserved(grant, call.most, 60):
            most_open[0] += 1
            most_open[1] = max(most_open)
            for _ in range(call.turns):
                await asyncio.sleep(0)
            accounts.charge(grant, Reading(Certainty.TOLD, Tokens(call.cost), "m"), TARIFFS)
            most_open[0] -= 1
    except SpentError:
        return 0
    return call.cost


@given(st.lists(st.lists(calls(), max_size=6), max_size=6), st.integers(1, 200))
def test_no_interleaving_passes_the_budget_by_more_than_one_answer(
    agents: list[list[Call]], budget: int
) -> None:
    async def agent(accounts: Accounts, own: list[Call], most_open: list[int]) -> list[int]:
        return [await make(accounts, call, budget, most_open) for call in own]

    async def play() -> tuple[list[int], int]:
        accounts = Accounts()
        costs = await asyncio.gather(*(agent(accounts, own, [0, 0]) for own in agents))
        found = accounts.usage_of(TASK)
        return [cost for some in costs for cost in some], (found.cost_micro_usd or 0) if found else 0

    costs, spent = asyncio.run(play())
    assert spent == sum(costs)
    assert spent < budget + max(costs, default=0) or spent <= budget
    wanted = sum(call.cost for own in agents for call in own)
    assert spent == wanted or spent >= budget, "nothing is refused before the budget is spent"


def test_a_call_goes_alone_or_where_there_is_enough_for_all() -> None:
    assert may_join([], None, 0)
    assert may_join([], 10**9, 1)
    assert may_join([40, 30], 30, 100)
    assert not may_join([40, 30], 31, 100)
    assert not may_join([None], 1, 10**9)
    assert not may_join([1], None, 10**9)


async def test_as_many_go_together_as_the_budget_allows() -> None:
    accounts, most_open = Accounts(), [0, 0]
    await make(accounts, Call(0, 1, 0), 100, [0, 0])
    await asyncio.gather(*(make(accounts, Call(10, 30, 5), 100, most_open) for _ in range(8)))
    assert most_open[1] == 3


async def test_the_first_answer_of_a_task_is_waited_for() -> None:
    accounts, most_open = Accounts(), [0, 0]
    first = asyncio.create_task(make(accounts, Call(90, 1, 20), 100, most_open))
    await asyncio.gather(*(make(accounts, Call(90, 1, 5), 100, most_open) for _ in range(4)))
    assert await first == 90
    found = accounts.usage_of(TASK)
    assert found is not None
    assert (most_open[1], found.cost_micro_usd) == (1, 180)


async def test_without_a_budget_nothing_waits_and_one_that_comes_later_counts_them() -> None:
    accounts, free = Accounts(), make_grant()
    async with accounts.reserved(free, None, 1), accounts.reserved(free, None, 1):
        allow(accounts, budget=10)
        with pytest.raises(RefusedError):
            async with accounts.reserved(free, 1, 0.01):
                raise AssertionError
    async with accounts.reserved(free, 1, 1):
        pass


def allow(accounts: Accounts, **allowance: int) -> None:
    accounts.answer(Question(proxy=accounts.proxy, allowances={TASK: Allowance(**allowance)}), NOW)


async def test_a_raised_budget_lets_out_who_waits() -> None:
    accounts, grant = Accounts(), make_grant(budget=50)
    await make(accounts, Call(0, 1, 0), 50, [0, 0])
    async with accounts.reserved(grant, 40, 60):
        waiting = asyncio.create_task(make(accounts, Call(1, 40, 0), 50, [0, 0]))
        await asyncio.sleep(0)
        assert not waiting.done()
        allow(accounts, budget=80)
        async with asyncio.timeout(30):
            assert await waiting == 1


async def test_a_question_that_understates_its_cost_is_not_believed_twice() -> None:
    accounts, most_open = Accounts(), [0, 0]
    await make(accounts, Call(40, 1, 0), 100, [0, 0])
    await asyncio.gather(*(make(accounts, Call(40, 1, 5), 100, most_open) for _ in range(4)))
    assert most_open[1] == 1


async def test_until_an_operator_has_told_of_a_task_its_calls_go_one_at_a_time() -> None:
    accounts, most_open = Accounts(has_operator=True), [0, 0]
    await make(accounts, Call(0, 1, 0), 100, [0, 0])
    await asyncio.gather(*(make(accounts, Call(1, 1, 3), 100, most_open) for _ in range(4)))
    assert most_open[1] == 1
    allow(accounts, budget=100)
    await asyncio.gather(*(make(accounts, Call(1, 1, 3), 100, most_open) for _ in range(4)))
    assert most_open[1] == 4


async def test_what_is_open_elsewhere_is_left_for_it() -> None:
    one, other = Accounts(has_operator=True), Accounts(has_operator=True)
    grant = make_grant(budget=100)
    for accounts in (one, other):
        allow(accounts, budget=100)
        await make(accounts, Call(0, 1, 0), 100, [0, 0])
    async with one.reserved(grant, 70, 1):
        told = one.answer(Question(), NOW).open
        assert told == {TASK: 70}
        allow(other, budget=100, open_elsewhere=told[TASK])
        async with other.reserved(grant, 30, 1):
            pass
        with pytest.raises(RefusedError) as caught:
            async with other.reserved(grant, 31, 0.01):
                raise AssertionError
        assert caught.value.refusal is Refusal.BUDGET_IN_USE
    async with one.reserved(grant, None, 1):
        assert one.answer(Question(), NOW).open == {TASK: 100}
    assert one.answer(Question(), NOW).open == {}
