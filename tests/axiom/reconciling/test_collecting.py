"""What tasks used, asked of several processes of the egress proxy that come, restart and go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.fakes.vendor import NOW, make_grant

import axiom.reconciling.collecting as collecting
from axiom.api.agentclass import Price
from axiom.api.usage import ProxyUsage
from axiom.cluster.errors import UnavailableError
from axiom.egress.accounting import Accounts, Answer, Question
from axiom.egress.errors import RefusedError
from axiom.egress.metering import Certainty, Reading
from axiom.egress.model_apis import Kind, Tokens
from axiom.egress.pricing import tariffs_of
from axiom.planning.spending import spend_of
from axiom.reconciling.collecting import Account, Collector, account_of, finder

TASK = make_grant().task_id
GRANT = make_grant(budget=1000)
TARIFFS = tariffs_of([Price(model="*", input="1", output="1")])


def spend(accounts: Accounts, micros: int) -> None:
    accounts.charge(GRANT, Reading(Certainty.TOLD, Tokens(micros), "m"), TARIFFS)


@dataclass
class World:
    """Processes by their addresses, and a collector that asks them."""

    processes: dict[str, Accounts] = field(default_factory=dict)
    running: list[Account] = field(default_factory=list)
    is_away: set[str] = field(default_factory=set)
    questions: list[tuple[str, Question]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    failures: int = 0
    held: asyncio.Event | None = None
    cannot_list: bool = False

    def __post_init__(self) -> None:
        self.collector = Collector(self._find, self._ask, self._accounts, self.changed.append, self._fail)

    async def _find(self) -> list[str]:
        if self.cannot_list:
            raise UnavailableError("the API server is away")
        return list(self.processes)

    async def _ask(self, address: str, question: Question) -> Answer:
        self.questions.append((address, question))
        if self.held is not None:
            await self.held.wait()
        if address in self.is_away:
            raise TimeoutError
        return self.processes[address].answer(question, NOW)

    def _accounts(self) -> Iterator[Account]:
        return iter(self.running)

    def _fail(self) -> None:
        self.failures += 1

    @property
    def spent(self) -> int | None:
        return spend_of(self.collector.usage_of(TASK))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(collecting, "_SEARCH_SECONDS", 0.0)
    return World({"a": Accounts(), "b": Accounts()}, [Account(TASK, 1000, ())])


async def test_all_processes_are_added_up_and_told_of_each_other(world: World) -> None:
    spend(world.processes["a"], 600)
    spend(world.processes["b"], 300)
    await world.collector.collect()
    assert (world.spent, world.changed) == (900, [TASK, TASK])
    assert world.processes["a"].refusal(GRANT, Kind.CALL) == ""
    spend(world.processes["b"], 100)
    await world.collector.collect()
    await world.collector.collect()
    assert world.spent == 1000
    assert "budget is spent" in world.processes["a"].refusal(GRANT, Kind.CALL)
    assert "budget is spent" in world.processes["b"].refusal(GRANT, Kind.CALL)


async def test_each_process_is_told_what_the_others_have_open(world: World) -> None:
    await world.collector.collect()
    one, other = world.processes["a"], world.processes["b"]
    for process in (one, other):
        spend(process, 0)
    async with one.reserved(GRANT, 600, 1):
        await world.collector.collect()
        await world.collector.collect()
        told = {address: question.allowances[TASK].open_elsewhere for address, question in world.questions}
        assert told == {"a": 0, "b": 600}
        with pytest.raises(RefusedError, match="calls that are open"):
            async with other.reserved(GRANT, 500, 0.01):
                raise AssertionError
    await world.collector.collect()
    await world.collector.collect()
    async with other.reserved(GRANT, 500, 1):
        del world.processes["a"]
        await world.collector.collect()
    assert world.questions[-1][1].allowances[TASK].open_elsewhere == 0


async def test_only_news_is_asked_for(world: World) -> None:
    spend(world.processes["a"], 1)
    await world.collector.collect()
    spend(world.processes["a"], 1)
    await world.collector.collect()
    await world.collector.collect()
    # twice at first: what is told is told to a process that is known
    assert [question.since for address, question in world.questions if address == "a"] == [0, 1, 1, 2]
    assert len(world.changed) == 2


async def test_a_process_that_is_started_anew_at_its_address_loses_nothing(world: World) -> None:
    for _ in range(3):
        spend(world.processes["a"], 100)
    await world.collector.collect()
    world.processes["a"] = Accounts()
    spend(world.processes["a"], 40)
    await world.collector.collect()
    assert world.spent == 340
    spend(world.processes["a"], 660)
    assert "$" in world.processes["a"].refusal(GRANT, Kind.CALL), "it was told what the one before it counted"


async def test_a_process_that_is_gone_stays_in_the_sum(world: World) -> None:
    spend(world.processes["a"], 100)
    await world.collector.collect()
    del world.processes["a"]
    spend(world.processes["b"], 5)
    await world.collector.collect()
    assert world.spent == 105
    assert world.questions[-1][1].allowances[TASK].elsewhere == 100


async def test_an_operator_that_is_started_anew_goes_on_from_the_status(world: World) -> None:
    spend(world.processes["a"], 500)
    alive = world.processes["a"].usage_of(TASK)
    assert alive is not None
    world.running = [Account(TASK, 1000, (ProxyUsage(proxy="dead", requests=4, cost_micro_usd=400), alive))]
    await world.collector.collect()
    assert world.processes["a"].refusal(GRANT, Kind.CALL) == "", "900 of 1000, each counted once"
    spend(world.processes["a"], 100)
    assert world.processes["a"].refusal(GRANT, Kind.CALL)
    await world.collector.collect()
    told = {address: question.allowances[TASK].elsewhere for address, question in world.questions}
    assert told == {"a": 400, "b": 900}


async def test_one_that_is_silent_keeps_nobody_from_answering(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    spend(world.processes["a"], 100)
    spend(world.processes["b"], 5)
    world.is_away.add("a")
    await world.collector.collect()
    await world.collector.collect()
    assert (world.spent, world.failures, caplog.text.count("does not tell usage")) == (5, 2, 1)
    world.is_away.clear()
    await world.collector.collect()
    assert world.spent == 105


async def test_whether_all_have_told_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await world.collector.collect()
    world.is_away.add("a")
    assert not await world.collector.collect()
    del world.processes["a"]
    assert await world.collector.collect(), "one that is gone is waited for by nobody"
    world.cannot_list = True
    assert not await world.collector.collect(), "there may be others"
    world.cannot_list = False
    monkeypatch.setattr(collecting, "_SEARCH_SECONDS", 1e6)
    world.processes["c"] = Accounts()
    spend(world.processes["c"], 100)
    assert await world.collector.collect(anew=True)
    assert world.spent == 100


async def test_without_the_api_server_those_that_are_known_are_asked(world: World) -> None:
    await world.collector.collect()
    world.cannot_list = True
    spend(world.processes["a"], 100)
    await world.collector.collect()
    assert world.spent == 100


async def test_who_asks_during_a_round_waits_for_the_next_which_all_share(world: World) -> None:
    del world.processes["b"]
    world.held = asyncio.Event()
    first = asyncio.create_task(world.collector.collect())
    async with asyncio.timeout(60):
        while not world.questions:
            await asyncio.sleep(0)
    others = [asyncio.create_task(world.collector.collect()) for _ in range(5)]
    await asyncio.sleep(0)
    spend(world.processes["a"], 7)
    world.held.set()
    async with asyncio.timeout(60):
        await asyncio.gather(first, *others)
    assert len(world.questions) == 3, "two for the first round, as nobody was known yet"
    assert world.spent == 7


async def test_a_task_that_is_gone_is_forgotten(world: World) -> None:
    spend(world.processes["a"], 1)
    await world.collector.collect()
    world.collector.forget(TASK)
    assert world.spent is None


def agent_task(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": "u", "name": "t"},
        "spec": {"limits": {"budget": {"usd": "2.50"}}},
        "status": {"attempt": 1, **status},
    }


def test_tasks_that_run_have_accounts() -> None:
    assert account_of(agent_task()) == Account("u", 2_500_000, [])
    assert account_of({**agent_task(), "spec": {}}) == Account("u", None, [])
    assert account_of(agent_task(completionTime="2026-01-01T00:00:00Z")) is None
    assert account_of(agent_task(attempt=0)) is None
    assert account_of(agent_task(usage={"proxies": [{"proxy": "p", "surprise": 1}]})) is None
    proxies = [{"proxy": "p", "costMicroUsd": 7}]
    assert account_of(agent_task(usage={"proxies": proxies})) == Account(
        "u", 2_500_000, [ProxyUsage(proxy="p", cost_micro_usd=7)]
    )


def proxy_pod(address: str, phase: str = "Running", port: str = "metrics") -> dict[str, Any]:
    return {
        "metadata": {"name": "e", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "containers": [
                {"ports": [{"name": "agents", "containerPort": 1}, {"name": port, "containerPort": 2}]}
            ]
        },
        "status": {"podIP": address, "phase": phase},
    }


async def test_processes_are_found_by_their_pods_also_those_that_end() -> None:
    class Listing:
        async def list(self, *asked: Any) -> list[dict[str, Any]]:
            assert asked[1:] == ("app.kubernetes.io/name=axiom,app.kubernetes.io/component=egress", "axiom")
            return [
                proxy_pod("10.0.0.1"),
                proxy_pod("fd00::1"),
                proxy_pod("", "Pending"),
                proxy_pod("10.0.0.2", "Failed"),
                proxy_pod("10.0.0.3", port="other"),
            ]

    found = await finder(Listing(), "axiom")()  # type: ignore[arg-type]
    assert list(found) == ["http://10.0.0.1:2", "http://[fd00::1]:2"]
