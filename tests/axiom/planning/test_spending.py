"""Usage of a task: put together from several proxies, and held against its budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.axiom.planning.test_planner import task, world
from tests.fakes.simulated_world import World

from axiom.api.agenttask import Budget
from axiom.api.conditions import ConditionType, Reason
from axiom.api.usage import (
    MAX_PROXIES,
    MAX_TOLD,
    ProxyUsage,
    ToldUsage,
    UsageStatus,
    dollars,
    dollars_shown,
    micro_dollars,
)
from axiom.planning.actions import Action, Send, Wait, WriteStatus
from axiom.planning.observed import Observed
from axiom.planning.planner import plan
from axiom.planning.spending import merged, outcome_of_spend, spend_of, summed_up, told_known, told_spend
from axiom.planning.statuses import condition
from axiom_sandbox.protocol.agents import Tokens, Vitals
from axiom_sandbox.protocol.channel import GiveFeedback, Phase, SetBudget
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


def failing_round(**spec: Any) -> World:
    """A round has failed, and the next would begin; the proxies have not told yet what it cost."""
    played = world(lambda *_: Verdict.FAIL, **spec)
    played.is_counted = False
    for _ in range(60):
        if any(record.verdict for record in played.task.status.rounds):
            return played
        played.step()
        played.progress()
    raise AssertionError("no round was judged")


def feedback_of(actions: tuple[Action, ...]) -> list[Action]:
    return [
        action
        for action in actions
        if isinstance(action, Send) and isinstance(action.envelope.command, GiveFeedback)
    ]


def test_no_round_begins_under_a_budget_before_it_is_known_what_the_last_one_cost() -> None:
    played = failing_round(**BUDGET)
    actions = plan(played.observe(), played.now)
    assert not feedback_of(actions)
    assert [action.reason for action in actions if isinstance(action, Wait)] == [
        "the egress proxy has not told yet what the round cost"
    ]
    played.usage, played.is_counted = (used("a", 2_000_000),), True
    assert not feedback_of(plan(played.observe(), played.now))
    assert played.play().status.state == "Complete"
    assert played.task.status.round == 2, "the number that the next would have had"
    assert "$2.00 of $2.00" in played.task.status.message


def test_a_round_begins_once_it_is_known_that_money_is_left() -> None:
    played = failing_round(**BUDGET)
    played.usage, played.is_counted = (used("a", 1_999_999),), True
    assert feedback_of(plan(played.observe(), played.now))


def test_a_round_without_a_budget_waits_for_no_numbers() -> None:
    played = failing_round()
    assert feedback_of(plan(played.observe(), played.now))


def test_the_agent_s_sandbox_is_stopped_with_the_reason() -> None:
    played = world(**BUDGET)
    until_the_agent_runs(played)
    played.usage = (used("a", 2_000_000),)
    played.step()
    [agent] = [box for box in played.sandboxes.values() if box.identity.role is Role.AGENT]
    assert agent.state.phase is Phase.STOPPED
    assert not any(isinstance(action, WriteStatus) for action in played.step())


def told(attempt: int, cost: int | None, **counts: int) -> ToldUsage:
    return ToldUsage(attempt=attempt, cost_micro_usd=cost, **counts)


def counting(budget: str, spent: int, overspent: str = "", *measured: ProxyUsage) -> Observed:
    """A task whose agent counts so much itself."""
    played = world(limits={"budget": {"usd": budget}})
    for _ in range(20):
        played.step()
        for sandbox in played.sandboxes.values():
            if sandbox.identity.role is Role.AGENT and sandbox.state.phase is Phase.RUNNING:
                vitals = Vitals(tokens=Tokens(input=100, cached_input=20, output=5), micro_usd=spent)
                sandbox.change(vitals=vitals, overspent=overspent)
                played.usage = measured
                return played.observe()
        played.progress()
    raise AssertionError(played.task.status)


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (counting("2.00", 1_999_999, "spent"), None),
        (counting("2.00", 2_000_000), None),
        (
            counting("2.00", 2_010_000, "spent"),
            "limits.budget: $2.01 of $2.00 was spent, as the agent itself counts",
        ),
        (
            counting("2.00", 2_010_000, "spent", used("a", 1_500_000, requests=1)),
            "limits.budget: $2.01 of $2.00 was spent, as the agent itself counts; the egress proxy counted $1.50",
        ),
        (
            counting("2.00", 1_500_000, "", used("a", 2_010_000, requests=1)),
            "limits.budget: $2.01 of $2.00 was spent, as the egress proxy counted; the agent counts $1.50",
        ),
        (counting("2.00", 1_500_000, "", used("a", 1_900_000, requests=1)), None),
    ],
    ids=[
        "a budget that was raised in time",
        "its turn is still being ended",
        "the agent alone counts",
        "the agent counts more",
        "the proxy counts more",
        "neither has reached it: they are not added up",
    ],
)
def test_where_both_count_the_larger_decides_and_the_message_says_which(
    observed: Observed, message: str | None
) -> None:
    found = outcome_of_spend(observed.task.spec.limits.budget, observed)
    assert (found.message if found else None) == message
    assert found is None or (found.verdict, found.reason) == (Verdict.FAIL, Reason.BUDGET_EXCEEDED)


def test_what_the_agents_of_all_attempts_counted_stands_in_the_status_and_the_next_is_told() -> None:
    observed = counting("9.00", 300)
    status = observed.task.status.model_copy(
        update={
            "attempt": 1,
            "usage": UsageStatus(told=[told(0, 50, input_tokens=1), told(1, 400, output_tokens=9)]),
        }
    )
    known = told_known(replace(observed, task=observed.task.model_copy(update={"status": status})))
    assert known == (
        told(0, 50, input_tokens=1),
        told(1, 400, input_tokens=120, cached_input_tokens=20, output_tokens=9),
    ), "numbers only grow"
    assert told_spend(known) == 450
    assert told_spend(known, besides=1) == 50
    found = summed_up((), known)
    assert found is not None
    assert (found.cost, found.cost_usd, found.told_cost_usd) == ("~<$0.01", None, "0.00045")
    found = summed_up((used("a", 2_000_000, requests=1),), known)
    assert found is not None
    assert (found.cost, found.cost_usd, found.told_cost_usd) == ("$2.00", "2.00", "0.00045")


def test_many_attempts_stay_bounded_and_add_up() -> None:
    observed = counting("9.00", 300)
    many = UsageStatus(told=[told(number, 10) for number in range(1, MAX_TOLD + 1)])
    status = observed.task.status.model_copy(update={"attempt": MAX_TOLD + 1, "usage": many})
    identity = observed.identity(Role.AGENT, MAX_TOLD + 1)
    views = tuple(
        replace(view, identity=identity) for view in observed.sandboxes if view.identity.role is Role.AGENT
    )
    task_now = observed.task.model_copy(update={"status": status})
    known = told_known(replace(observed, task=task_now, sandboxes=views))
    assert len(known) == MAX_TOLD
    assert told_spend(known) == 10 * MAX_TOLD + 300


def test_an_agent_is_told_a_budget_that_changed_once_each_time_and_what_was_spent_before_it() -> None:
    played = world(limits={"budget": {"usd": "2.00"}})
    for _ in range(20):
        played.step()
        agents = [one for one in played.sandboxes.values() if one.identity.role is Role.AGENT]
        if agents and agents[0].state.phase is Phase.RUNNING:
            break
        played.progress()
    assert (played.starts[0].envelope.limits.budget_micro_usd, played.starts[0].spent_micro_usd) == (
        2_000_000,
        0,
    )

    def sent(usd: str, generation: int) -> list[SetBudget]:
        limits = played.task.spec.limits.model_copy(update={"budget": Budget(usd=usd)})
        spec = played.task.spec.model_copy(update={"limits": limits})
        played.task = played.task.model_copy(update={"spec": spec})
        played.generation = generation
        found = [action.envelope.command for action in played.step() if isinstance(action, Send)]
        return [command for command in found if isinstance(command, SetBudget)]

    assert sent("2.00", 1) == []
    for number, usd in enumerate(("3.00", "2.00", "3.00"), 2):
        assert sent(usd, number) == [SetBudget(budget_micro_usd=micro_dollars(usd))]
        assert sent(usd, number) == [], "it has taken it"
