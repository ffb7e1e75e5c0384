"""Usage of a task: put together from several proxies, and held against its budget."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.axiom.planning.test_planner import task, world
from tests.fakes.simulated_world import World

from axiom.api.agenttask import Budget
from axiom.api.conditions import ConditionType, Reason
from axiom.api.usage import MAX_PROXIES, ProxyUsage, UsageStatus, dollars, dollars_shown, micro_dollars
from axiom.planning.actions import WriteStatus
from axiom.planning.observed import Observed
from axiom.planning.spending import merged, outcome_of_spend, spend_of, summed_up
from axiom.planning.statuses import condition
from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Verdict


def used(proxy: str = "a", cost: int | None = None, **counts: int) -> ProxyUsage:
    return ProxyUsage(proxy=proxy, cost_micro_usd=cost, **counts)


BUDGET = {"limits": {"budget": {"usd": "2.00"}}}


@pytest.mark.parametrize(
    ("micros", "text", "shown"),
    [
        (0, "0.00", "$0.00"),
        (1, "0.000001", "<$0.01"),
        (4_999, "0.004999", "<$0.01"),
        (5_000, "0.005", "$0.01"),
        (413_275, "0.413275", "$0.41"),
        (2_000_000, "2.00", "$2.00"),
        (12_345_600_000, "12345.60", "$12345.60"),
    ],
)
def test_money_is_written_without_loss_and_shown_in_cents(micros: int, text: str, shown: str) -> None:
    assert (dollars(micros), dollars_shown(micros)) == (text, shown)


@given(st.integers(0, 10**12))
def test_what_is_written_is_what_it_was(micros: int) -> None:
    whole, _, rest = dollars(micros).partition(".")
    assert int(whole) * 10**6 + int(rest.ljust(6, "0")) == micros
    assert micro_dollars("2.5") == 2_500_000


def test_a_proxy_that_restarts_neither_loses_nor_doubles() -> None:
    known = merged((), [used("a", 100, requests=1, input_tokens=7)])
    known = merged(known, [used("a", 250, requests=2, input_tokens=9)])
    known = merged(known, [used("b", 40, requests=1, input_tokens=1)])
    known = merged(known, [used("a", 100, requests=1, input_tokens=7)])  # an old status, read again
    assert (spend_of(known), [source.proxy for source in known]) == (290, ["a", "b"])
    found = summed_up(known)
    assert found is not None
    assert (found.requests, found.input_tokens, found.cost_usd, found.cost) == (3, 10, "0.00029", "<$0.01")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=30))
def test_any_order_of_news_comes_to_the_same(news: list[tuple[str, int]]) -> None:
    known: tuple[ProxyUsage, ...] = ()
    for proxy, number in news:
        known = merged(known, [used(proxy, number, requests=number)])
    largest = {proxy: max(n for p, n in news if p == proxy) for proxy, _ in news}
    assert {source.proxy: source.requests for source in known} == largest


def test_many_restarts_stay_bounded_and_add_up() -> None:
    known: tuple[ProxyUsage, ...] = ()
    for number in range(50):
        known = merged(known, [used(f"p{number}", 10, requests=1)])
        assert len(known) <= MAX_PROXIES
    assert (spend_of(known), sum(source.requests for source in known)) == (500, 50)


def test_without_a_price_there_are_tokens_and_no_cost() -> None:
    found = summed_up([used(requests=1, input_tokens=5, unpriced=1)])
    assert found is not None
    assert (found.input_tokens, found.cost_usd, found.cost) == (5, None, "")
    assert summed_up([]) is None


def until_the_agent_runs(played: World) -> None:
    for _ in range(50):
        played.step()
        if any(box.state.phase is Phase.RUNNING for box in played.sandboxes.values()):
            return
        played.progress()
    raise AssertionError("the agent does not run")


def outcome(usage: tuple[ProxyUsage, ...], **spec: Any) -> Any:
    made = task(**spec)
    return outcome_of_spend(made.spec.limits.budget, Observed(made, usage=usage))


def test_a_budget_that_is_reached_is_spent() -> None:
    assert outcome((used("a", 1_000_000), used("b", 999_999)), **BUDGET) is None
    found = outcome((used("a", 1_000_000), used("b", 1_034_000)), **BUDGET)
    assert (found.verdict, found.reason) == (Verdict.FAIL, Reason.BUDGET_EXCEEDED)
    assert "$2.03 of $2.00" in found.message
    assert outcome((used("a", 10**9),)) is None


def test_a_task_with_a_budget_of_nothing_may_work_without_a_model() -> None:
    assert outcome((), limits={"budget": {"usd": "0"}}) is None
    assert outcome((used("a", 1),), limits={"budget": {"usd": "0"}}) is not None


@pytest.mark.parametrize(
    ("usage", "says"),
    [(used(cost=5, unpriced=2), "add their prices"), (used(cost=5, unmeasured=1), "include_usage")],
)
def test_a_budget_that_cannot_be_held_ends_the_task(usage: ProxyUsage, says: str) -> None:
    found = outcome((usage,), **BUDGET)
    assert (found.verdict, found.reason) == (Verdict.FAIL, Reason.BUDGET_EXCEEDED)
    assert says in found.message
    assert outcome((usage,)) is None


def test_usage_is_written_with_the_next_status_and_never_alone() -> None:
    played = world()
    until_the_agent_runs(played)
    writes = played.writes["status"]
    played.usage = (used("a", 410_000, requests=3),)
    for _ in range(3):
        played.step()
    assert played.writes["status"] == writes
    status = played.play().status
    assert played.writes["status"] == 4
    assert isinstance(status.usage, UsageStatus)
    assert (status.usage.cost, status.usage.requests, status.usage.proxies) == ("$0.41", 3, [])


def test_what_a_lost_proxy_counted_stays_in_the_status() -> None:
    played = world(lambda number, _: Verdict.PASS if number == 2 else Verdict.FAIL)
    played.usage = (used("a", 100, requests=1),)
    for _ in range(50):
        if played.task.status.round == 2:
            break
        played.step()
        played.progress()
    played.usage = (used("b", 11, requests=1),)
    status = played.play().status
    assert status.usage is not None
    assert (status.usage.cost_usd, status.usage.requests) == ("0.000111", 2)


def test_a_spent_budget_ends_the_task_whatever_the_agent_does() -> None:
    played = world(**BUDGET)
    for _ in range(6):
        played.step()
        played.progress()
    played.usage = (used("a", 2_000_001, requests=9),)
    status = played.play().status
    complete = condition(status, ConditionType.COMPLETE)
    assert complete is not None
    assert (status.verdict, complete.reason, status.state) == (
        Verdict.FAIL,
        Reason.BUDGET_EXCEEDED,
        "Complete",
    )
    assert "$2.00 of $2.00" in status.message
    assert status.usage is not None
    assert status.usage.cost_usd == "2.000001"


def test_a_budget_that_is_raised_in_time_lets_the_task_go_on() -> None:
    played = world(**BUDGET)
    played.usage = (used("a", 1_900_000, requests=9),)
    played.step()
    raised = played.task.spec.limits.model_copy(update={"budget": Budget(usd="3.00")})
    spec = played.task.spec.model_copy(update={"limits": raised})
    played.task = played.task.model_copy(update={"spec": spec})
    played.usage = (used("a", 2_500_000, requests=12),)
    assert played.play().status.verdict is Verdict.PASS


def test_the_agent_s_sandbox_is_stopped_with_the_reason() -> None:
    played = world(**BUDGET)
    until_the_agent_runs(played)
    played.usage = (used("a", 2_000_000),)
    played.step()
    [agent] = [box for box in played.sandboxes.values() if box.identity.role is Role.AGENT]
    assert agent.state.phase is Phase.STOPPED
    assert not any(isinstance(action, WriteStatus) for action in played.step())
