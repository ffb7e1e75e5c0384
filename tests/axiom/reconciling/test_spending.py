"""Usage in an operator that works: from a real process of the egress proxy into the status, and to the end of a task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from tests.axiom.reconciling.test_operating import CLASS, KEY, TASK, World, world
from tests.fakes.vendor import make_grant

from axiom.api.agentclass import Price
from axiom.cluster.resources import Object, uid_of
from axiom.egress.accounting import Accounts
from axiom.egress.metering import Certainty, Reading
from axiom.egress.metrics import Metrics as EgressMetrics
from axiom.egress.model_apis import Tokens
from axiom.egress.pricing import tariffs_of
from axiom.egress.proxy import create_operations_app
from axiom.egress.serving import listen_tcp
from axiom.egress.settings import Address
from axiom.egress.tokens import read as read_token
from axiom_sandbox.protocol.channel import LedgerHead, Phase, RoundOutcome, StartAgent
from axiom_sandbox.protocol.verdicts import Claim, Saying

__all__ = ["world"]

PRICE = {"model": "*", "input": "1", "cachedInput": "0.1", "output": "10"}
PRICED: dict[str, Any] = {**CLASS, "spec": {**CLASS["spec"], "prices": [PRICE]}}
SEALED = LedgerHead(records=3, head="h", segments=1, sealed=1, closed=True)


@pytest.fixture
def refused() -> list[str]:
    """For each of these the proxy refuses a question."""
    return []


@pytest.fixture
async def proxy(world: World, refused: list[str]) -> AsyncIterator[Accounts]:
    """One process of the egress proxy, and its pod."""
    accounts = Accounts()

    def keys() -> list[bytes]:
        return [refused.pop().encode()] if refused else [KEY.encode()]

    app = create_operations_app(EgressMetrics(), lambda: True, accounts, keys)
    runner = web.AppRunner(app)
    address = await listen_tcp(runner, Address("127.0.0.1", 0))
    labels = {"app.kubernetes.io/name": "axiom", "app.kubernetes.io/component": "egress"}
    world.server.add(
        "pods",
        {
            "metadata": {"name": "egress", "namespace": "axiom", "labels": labels},
            "spec": {"containers": [{"ports": [{"name": "metrics", "containerPort": address.port}]}]},
            "status": {"podIP": "127.0.0.1", "phase": "Running"},
        },
    )
    yield accounts
    await runner.cleanup()


def budget(usd: str) -> Object:
    return {**TASK, "spec": {**TASK["spec"], "limits": {"deadline": "5m", "budget": {"usd": usd}}}}


def spend(world: World, accounts: Accounts, *tokens: int) -> None:
    grant = make_grant(task_id=uid_of(world.task))
    reading = Reading(Certainty.TOLD, Tokens(*tokens), "any")
    accounts.charge(grant, reading, tariffs_of([Price.model_validate(PRICE)]))


async def running(world: World, task: Object) -> Any:
    """A task whose agent works; its pod's trusted side."""
    world.server.add("agentclasses", PRICED)
    world.server.add("agenttasks", task)
    await world.until(
        lambda: [pod for pod in world.server.all("pods") if pod["metadata"]["namespace"] == "ns"]
    )
    [pod] = [pod for pod in world.server.all("pods") if pod["metadata"]["namespace"] == "ns"]
    side = await world.bring_up(pod, Phase.READY)
    await world.until(lambda: side.commands)
    return side


def end_round(side: Any) -> None:
    claim = Claim(says=Saying.SUCCESS, exit_code=0)
    ended = RoundOutcome(round=1, claim=claim, changes="", changed_paths=0, findings=0, fingerprint="f")
    side.update(phase=Phase.ROUND_ENDED, round=1, rounds=(ended,))


async def test_usage_is_in_the_status_as_soon_as_a_round_ends(world: World, proxy: Accounts) -> None:
    side = await running(world, TASK)
    writes = len(world.server.writes("PUT", "agenttasks"))
    spend(world, proxy, 300_000, 100_000, 0, 8_000)
    end_round(side)

    usage = await world.until(lambda: world.task["status"].get("usage"))

    assert (usage["inputTokens"], usage["cachedInputTokens"], usage["outputTokens"]) == (
        400_000,
        100_000,
        8_000,
    )
    assert (usage["costUsd"], usage["cost"], usage["requests"]) == ("0.39", "$0.39", 1)
    assert usage["proxies"][0]["proxy"] == proxy.proxy
    assert len(world.server.writes("PUT", "agenttasks")) == writes + 1


async def test_under_a_budget_a_process_that_does_not_tell_is_asked_again(
    world: World, proxy: Accounts, refused: list[str]
) -> None:
    side = await running(world, budget("0.10"))
    spend(world, proxy, 0, 0, 0, 11_000)
    refused.append("of another installation, for once" * 2)
    end_round(side)

    await world.until(lambda: any(one.command.kind == "Stop" for one in side.commands))

    assert "axiom_usage_errors_total 1.0" in world.metrics.render().decode()


async def test_the_token_carries_the_budget(world: World, proxy: Accounts) -> None:
    side = await running(world, budget("2.50"))
    command = side.commands[0].command
    assert isinstance(command, StartAgent)
    assert read_token([KEY.encode()], command.token, 0).budget == 2_500_000


async def test_a_task_whose_budget_is_spent_ends(world: World, proxy: Accounts) -> None:
    side = await running(world, budget("0.10"))
    spend(world, proxy, 0, 0, 0, 11_000)
    side.update(phase=Phase.RUNNING, round=1)
    await world.operator.collector.collect()
    await world.until(lambda: any(one.command.kind == "Stop" for one in side.commands))
    spend(world, proxy, 1)  # what was in flight
    side.update(phase=Phase.STOPPED, ledger=SEALED)

    found = await world.until_reason("Complete", "BudgetExceeded")

    assert "$0.11 of $0.10" in found["message"]
    status = world.task["status"]
    assert (status["verdict"], status["state"]) == ("Fail", "Complete")
    assert (status["usage"]["costUsd"], status["usage"]["requests"]) == ("0.110001", 2)
    assert status["usage"].get("proxies", []) == []
    tokens = 'axiom_tokens_total{agent_class="plain",kind="output"} 11000.0'
    await world.until(lambda: tokens in world.metrics.render().decode())  # counted once the write is answered
    assert (
        'axiom_cost_usd_total{agent_class="plain",verdict="Fail"} 0.110001' in world.metrics.render().decode()
    )


async def test_a_budget_without_prices_is_refused_until_there_are_some(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", budget("2.50"))
    found = await world.until_reason("Accepted", "PricesMissing")
    assert found["status"] == "False"
    assert "add spec.prices" in found["message"]
    assert world.server.all("pods") == []

    world.server.change("agentclasses", "", "plain", spec=PRICED["spec"])

    await world.pod()
