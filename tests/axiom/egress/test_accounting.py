"""Accounts of tasks: prices, budgets, and what the operator asks and tells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.vendor import KEY, NOW, make_grant

from axiom.api.agentclass import Price
from axiom.api.usage import ProxyUsage
from axiom.egress.accounting import Accounts, Allowance, Question
from axiom.egress.asking import PATH, add_route, ask, is_proved, proof_of
from axiom.egress.metering import Certainty, Reading
from axiom.egress.model_apis import Kind, Tokens
from axiom.egress.pricing import Tariff, dearest, tariff_of, tariffs_of
from axiom.egress.serving import listen_tcp
from axiom.egress.settings import Address

TASK = make_grant().task_id


def price(model: str, input: str = "1", output: str = "10", **rest: str) -> Price:
    return Price.model_validate({"model": model, "input": input, "output": output, **rest})


def told(*tokens: int, model: str = "gpt-5.5", certainty: Certainty = Certainty.TOLD) -> Reading:
    return Reading(certainty, Tokens(*tokens), model)


TARIFFS = tariffs_of([price("gpt-5.5", "1.25", "10", cachedInput="0.125", cacheWrite="1.5")])


def usage(accounts: Accounts) -> ProxyUsage:
    found = accounts.usage_of(TASK)
    assert found is not None
    return found


def test_each_kind_of_token_has_its_price() -> None:
    [tariff] = TARIFFS
    million = 1_000_000
    kinds = [Tokens(*(million if place == n else 0 for place in range(4))) for n in range(4)]
    assert [tariff.cost(tokens) for tokens in kinds] == [1_250_000, 125_000, 1_500_000, 10_000_000]
    assert Tariff.parse(price("m", "2")).rates == Tokens(2_000_000, 2_000_000, 2_000_000, 10_000_000)


@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
def test_a_cost_is_exact_and_rounded_up(counts: list[int]) -> None:
    [tariff] = TARIFFS
    exact = sum(count * rate for count, rate in zip(counts, tariff.rates, strict=True))
    cost = tariff.cost(Tokens(*counts))
    assert isinstance(cost, int)
    assert 0 <= cost * 10**6 - exact < 10**6


@pytest.mark.parametrize(
    ("model", "wins"),
    [
        ("gpt-5.5", "gpt-5.5"),
        ("gpt-5.5-2026-03-01", "gpt-5.5*"),
        ("gpt-5", "gpt-5*"),
        ("gpt-6", "*"),
        ("", "*"),
    ],
)
def test_the_price_that_says_most_counts(model: str, wins: str) -> None:
    names = ["*", "gpt-5*", "gpt-5.5", "gpt-5.5*"]
    for order in (names, names[::-1]):
        found = tariff_of(tariffs_of(price(name) for name in order), model)
        assert found is not None
        assert found.model == wins
    assert tariff_of(TARIFFS, "gpt-6") is None
    assert dearest(()) is None


def test_an_account_adds_up_and_input_holds_what_is_cached() -> None:
    accounts = Accounts()
    accounts.charge(make_grant(), told(100, 40, 20, 7), TARIFFS)
    charge = accounts.charge(make_grant(attempt=2), told(1_000_000), TARIFFS)
    assert (charge.model, charge.cost) == ("gpt-5.5", 1_250_000)
    found = usage(accounts)
    assert (found.requests, found.input_tokens, found.cached_input_tokens) == (2, 1_000_160, 40)
    assert (found.cache_write_tokens, found.output_tokens, found.cost_micro_usd) == (20, 7, 1_250_230)
    assert accounts.usage_of("another") is None


def test_without_a_price_tokens_are_counted_and_no_cost() -> None:
    accounts = Accounts()
    assert accounts.charge(make_grant(), told(5, model="gpt-6"), TARIFFS).model == "other"
    found = usage(accounts)
    assert (found.input_tokens, found.unpriced, found.cost_micro_usd) == (5, 1, None)


def test_what_broke_off_before_it_named_its_model_costs_what_the_dearest_does() -> None:
    accounts = Accounts()
    both = tariffs_of([price("small", "1", "1"), price("large", "9", "9")])
    charge = accounts.charge(make_grant(), told(1, model="", certainty=Certainty.ESTIMATED), both)
    assert charge.cost == 9
    assert (usage(accounts).estimated, usage(accounts).unpriced) == (1, 0)


BUDGET = make_grant(budget=1_000_000)


def test_a_tokens_budget_holds_without_an_operator() -> None:
    accounts = Accounts()
    accounts.charge(BUDGET, told(799_999), TARIFFS)
    assert accounts.refusal(BUDGET, Kind.CALL) == ""
    accounts.charge(BUDGET, told(1), TARIFFS)
    assert "$1.00 of $1.00" in accounts.refusal(BUDGET, Kind.CALL)
    assert accounts.refusal(BUDGET._replace(attempt=2), Kind.CALL)
    assert accounts.refusal(BUDGET, Kind.FREE) == ""
    assert accounts.refusal(make_grant(task_id="another", budget=1), Kind.CALL) == ""
    assert accounts.refusal(make_grant(), Kind.CALL) == ""


def allow(accounts: Accounts, **allowance: Any) -> None:
    accounts.answer(Question(proxy=accounts.proxy, allowances={TASK: Allowance(**allowance)}), NOW)


def test_the_operator_may_raise_lower_and_remove_it() -> None:
    accounts = Accounts()
    accounts.charge(BUDGET, told(900_000), TARIFFS)
    assert accounts.refusal(BUDGET, Kind.CALL)
    allow(accounts, budget=2_000_000)
    assert accounts.refusal(BUDGET, Kind.CALL) == ""
    allow(accounts, budget=2_000_000, elsewhere=875_000)
    assert "$2.00 of $2.00" in accounts.refusal(BUDGET, Kind.CALL)
    allow(accounts, budget=None)
    assert accounts.refusal(BUDGET, Kind.CALL) == ""
    accounts.answer(Question(proxy="another", allowances={TASK: Allowance(budget=0)}), NOW)
    assert accounts.refusal(BUDGET, Kind.CALL) == ""
    accounts.answer(Question(proxy=accounts.proxy), NOW)
    assert accounts.refusal(BUDGET, Kind.CALL)


def test_what_nobody_can_measure_is_not_let_out_under_a_budget() -> None:
    accounts = Accounts()
    assert "not known" in accounts.refusal(BUDGET, Kind.UNKNOWN)
    assert accounts.refusal(make_grant(), Kind.UNKNOWN) == ""
    accounts.note_unknown(make_grant())
    assert usage(accounts).unmeasured == 1


@pytest.mark.parametrize(
    "reading", [told(1, model="gpt-6"), told(model="gpt-5.5", certainty=Certainty.UNTOLD)]
)
def test_a_budget_that_cannot_be_told_lets_nothing_more_out(reading: Reading) -> None:
    accounts = Accounts()
    accounts.charge(BUDGET, reading, TARIFFS)
    assert "cannot be held" in accounts.refusal(BUDGET, Kind.CALL)
    assert accounts.refusal(make_grant(), Kind.CALL) == ""


def test_only_what_changed_is_told_and_old_accounts_go() -> None:
    accounts = Accounts()
    accounts.charge(make_grant(), told(1), TARIFFS)
    first = accounts.answer(Question(), NOW)
    assert (list(first.usage), first.proxy) == ([TASK], accounts.proxy)
    assert accounts.answer(Question(since=first.revision), NOW).usage == {}
    accounts.charge(make_grant(task_id="b"), told(1), TARIFFS)
    assert list(accounts.answer(Question(since=first.revision), NOW).usage) == ["b"]
    assert set(accounts.answer(Question(), NOW + 2 * 3600 - 1).usage) == {TASK, "b"}
    assert accounts.answer(Question(), NOW + 2 * 3600).usage == {}


async def test_the_last_numbers_are_waited_for_until_they_were_told() -> None:
    accounts = Accounts()
    await accounts.wait_until_told(60)
    accounts.charge(make_grant(), told(1), TARIFFS)
    waiting = asyncio.create_task(accounts.wait_until_told(60))
    await asyncio.sleep(0)
    assert not waiting.done()
    accounts.answer(Question(), NOW)
    async with asyncio.timeout(60):
        await waiting
    accounts.charge(make_grant(), told(1), TARIFFS)
    await accounts.wait_until_told(0.01)


@pytest.mark.parametrize(
    ("proof", "counts"),
    [
        (proof_of(KEY, b"body", NOW), True),
        (proof_of(KEY, b"body", NOW - 30), True),
        (proof_of(KEY, b"body", NOW - 31), False),
        (proof_of(KEY, b"body", NOW + 31), False),
        (proof_of(KEY, b"other", NOW), False),
        (proof_of(b"o" * 32, b"body", NOW), False),
        (proof_of(KEY, b"body", NOW).replace(str(NOW), str(NOW + 1)), False),
        ("", False),
        ("axu1.é.x", False),
        ("axu1.x.x", False),
    ],
)
def test_a_request_is_proved_by_a_key_for_its_body_and_time(proof: str, counts: bool) -> None:
    assert is_proved((b"p" * 32, KEY), proof, b"body", NOW) is counts


async def test_usage_is_asked_for_over_http_with_a_key_alone() -> None:
    accounts = Accounts()
    accounts.charge(make_grant(), told(7), TARIFFS)
    app = web.Application()
    add_route(app, accounts, lambda: [KEY], lambda: NOW)
    runner = web.AppRunner(app)
    address = await listen_tcp(runner, Address("127.0.0.1", 0))
    base = f"http://127.0.0.1:{address.port}"
    try:
        async with ClientSession() as session:
            answer = await ask(
                session,
                base,
                KEY,
                Question(proxy=accounts.proxy, allowances={TASK: Allowance(budget=1)}),
                NOW,
            )
            assert answer.usage[TASK].input_tokens == 7
            assert accounts.refusal(make_grant(), Kind.CALL)
            for headers, body, status in (
                ({}, b"{}", 401),
                ({"Authorization": f"Bearer {proof_of(b'o' * 32, b'{}', NOW)}"}, b"{}", 401),
                ({"Authorization": f"Bearer {proof_of(KEY, b'[]', NOW)}"}, b"[]", 400),
            ):
                async with session.post(base + PATH, data=body, headers=headers) as response:
                    assert response.status == status
    finally:
        await runner.cleanup()
