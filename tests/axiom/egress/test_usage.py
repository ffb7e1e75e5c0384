"""Usage and budgets through the real proxy: every vendor's shape, from an agent's socket to the account."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.axiom.egress.test_metering import (
    ANSWERS,
    CHAT_USAGE,
    JSON,
    NAMES,
    RESPONSES_STREAM,
    SSE,
    events,
)
from tests.fakes.vendor import LOOPBACK, Vendor, Way, credential, make_grant, make_token, run_way

from axiom.api.usage import ProxyUsage
from axiom.egress.accounting import Allowance, Question
from axiom.egress.model_apis import Tokens

TASK = make_grant().task_id
PRICES = [
    {"model": "gpt-*", "input": "1.25", "cachedInput": "0.125", "output": "10"},
    {"model": "claude-*", "input": "3", "cachedInput": "0.3", "cacheWrite": "3.75", "output": "15"},
    {"model": "gemini-*", "input": "0.3", "output": "2.5"},
]


@pytest.fixture
async def priced(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Way]:
    async with run_way(tmp_path, [credential(vendor.url)], prices=PRICES) as way:
        yield way


def usage(way: Way) -> ProxyUsage:
    found = way.accounts.usage_of(TASK)
    assert found is not None
    return found


def says(vendor: Vendor, body: bytes, content_type: str = SSE, **headers: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": content_type, **headers})
        await response.prepare(request)
        for start in range(0, len(body), 97):
            await response.write(body[start : start + 97])
        return response

    vendor.answer = answer


async def call(way: Way, path: str, budget: int = -1, method: str = "POST") -> tuple[int, bytes]:
    async with way.request(
        method, f"/openai{path}", token=make_token(budget=budget), data=b"q" * 400
    ) as response:
        return response.status, await response.read()


@pytest.mark.parametrize(("path", "content_type", "body", "tokens", "model"), ANSWERS, ids=NAMES)
async def test_every_vendors_answer_passes_as_it_is_and_is_put_on_the_account(
    vendor: Vendor, priced: Way, path: str, content_type: str, body: bytes, tokens: Tokens, model: str
) -> None:
    says(vendor, body, content_type)
    assert await call(priced, path) == (200, body)
    found = usage(priced)
    assert (found.requests, found.output_tokens) == (1, tokens.output)
    assert found.input_tokens == tokens.input + tokens.cached_input + tokens.cache_write
    assert (found.unmeasured, found.estimated, found.unpriced) == (0, 0, int(model == "e"))
    assert (found.cost_micro_usd is None) == (model == "e")


async def test_metrics_name_prices_and_never_what_an_agent_chose(vendor: Vendor, priced: Way) -> None:
    says(vendor, RESPONSES_STREAM)
    await call(priced, "/v1/responses")
    says(vendor, json.dumps({"model": "chosen-by-agent", "usage": CHAT_USAGE}).encode(), JSON)
    await call(priced, "/v1/chat/completions")
    text = priced.metrics.render().decode()
    assert 'axiom_egress_tokens_total{agent_class="codex",kind="cached_input",model="gpt-*"} 600.0' in text
    assert 'axiom_egress_tokens_total{agent_class="codex",kind="output",model="other"} 70.0' in text
    assert "chosen-by-agent" not in text
    assert 'axiom_egress_cost_usd_total{agent_class="codex"} 0.00' in text


async def test_a_vendor_that_compresses_nevertheless_is_measured(vendor: Vendor, priced: Way) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = gzip.compress(RESPONSES_STREAM)
        return web.Response(body=body, headers={"Content-Type": SSE, "Content-Encoding": "gzip"})

    vendor.answer = answer
    assert await call(priced, "/v1/responses") == (200, RESPONSES_STREAM)
    assert usage(priced).output_tokens == 70


async def test_rubbish_passes_and_is_counted_as_unmeasured(vendor: Vendor, priced: Way) -> None:
    says(vendor, b"\xff{]" * 1000, JSON)
    assert await call(priced, "/v1/responses") == (200, b"\xff{]" * 1000)
    assert (usage(priced).requests, usage(priced).unmeasured) == (1, 1)


async def test_errors_cost_nothing(vendor: Vendor, priced: Way) -> None:
    async def overloaded(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=529)

    vendor.answer = overloaded
    assert (await call(priced, "/v1/messages"))[0] == 529
    assert priced.accounts.usage_of(TASK) is None


async def test_an_agent_that_hangs_up_pays_for_what_it_saw(vendor: Vendor, priced: Way) -> None:
    begun = RESPONSES_STREAM[: RESPONSES_STREAM.index(b'event: x\ndata: {"type": "response.completed"')]

    async def endless(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": SSE})
        await response.prepare(request)
        await response.write(begun)
        await asyncio.sleep(3600)
        return response

    vendor.answer = endless
    async with priced.request("POST", "/openai/v1/responses", data=b"q" * 400) as response:
        await response.content.readexactly(len(begun))
        response.close()
    async with asyncio.timeout(60):
        while priced.accounts.usage_of(TASK) is None:
            await asyncio.sleep(0.01)
    found = usage(priced)
    assert (found.estimated, found.input_tokens) == (1, 100)
    assert found.output_tokens == -(-len(begun) // 4)
    assert found.cost_micro_usd


async def test_an_agent_that_does_not_wait_for_an_answer_pays_for_its_question(
    vendor: Vendor, priced: Way
) -> None:
    asked = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await request.read()
        asked.set()
        await asyncio.sleep(3600)
        return web.Response()

    vendor.answer = silent
    asking = asyncio.create_task(call(priced, "/v1/responses"))
    async with asyncio.timeout(60):
        await asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        while priced.accounts.usage_of(TASK) is None:
            await asyncio.sleep(0.01)
    assert (usage(priced).estimated, usage(priced).input_tokens, usage(priced).unpriced) == (1, 100, 0)


@pytest.mark.parametrize(("streams", "limit", "written"), [(False, 3, 3), (True, 3, 0)])
async def test_under_a_budget_it_pays_for_an_answer_that_may_have_been_written_meanwhile(
    vendor: Vendor, tmp_path: Path, streams: bool, limit: int, written: int
) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    vendor.answer = silent
    settings = replace(
        LOOPBACK, idle_seconds=0.2
    )  # a hundred tokens a second are more than the limit by then
    async with run_way(tmp_path, [credential(vendor.url)], prices=PRICES, settings=settings) as way:
        assert await ask(way, question(max_output_tokens=limit, stream=streams), budget=10**6) == 502
        assert (usage(way).estimated, usage(way).output_tokens) == (1, written)


async def test_an_encoding_that_is_not_read_here_is_no_answer(vendor: Vendor, priced: Way) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"?", headers={"Content-Type": JSON, "Content-Encoding": encodings.pop()})

    encodings, asked = ["compress", "gzip, gzip", "aes128gcm", "br", "zstd"], 5
    vendor.answer = answer
    assert [(await call(priced, "/v1/responses"))[0] for _ in range(asked)] == [502] * asked


async def test_a_vendor_that_breaks_off_is_estimated(vendor: Vendor, priced: Way) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": SSE})
        await response.prepare(request)
        await response.write(RESPONSES_STREAM[:100])
        assert request.transport is not None
        request.transport.close()
        return response

    vendor.answer = broken
    with pytest.raises(aiohttp.ClientError):
        await call(priced, "/v1/responses")
    assert (usage(priced).requests, usage(priced).estimated) == (1, 1)


# budgets


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/v1/messages", 402, {"type": "error", "error": {"type": "billing_error"}}),
        ("/v1/responses", 429, {"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}),
        ("/v1/chat/completions", 429, {"error": {"code": "insufficient_quota"}}),
        ("/v1beta/models/g:streamGenerateContent", 402, {"error": {"status": "RESOURCE_EXHAUSTED"}}),
    ],
)
async def test_a_spent_budget_is_told_in_the_vendors_words(
    vendor: Vendor, priced: Way, path: str, status: int, body: dict[str, Any]
) -> None:
    says(vendor, RESPONSES_STREAM)
    assert (await call(priced, "/v1/responses", budget=1000))[0] == 200
    asked = len(vendor.requests)
    async with priced.request("POST", f"/openai{path}", token=make_token(budget=1000), data=b"q") as response:
        assert (response.status, response.headers["x-should-retry"]) == (status, "false")
        told = await response.json()
    assert "budget is spent: <$0.01 of <$0.01" in told["error"]["message"]
    assert {key: told["error"][key] for key in body["error"]} == body["error"]
    assert told.get("type") == body.get("type")
    assert len(vendor.requests) == asked
    assert 'reason="axiom_budget_spent"} 1.0' in priced.metrics.render().decode()


def slowly(vendor: Vendor) -> asyncio.Event:
    """The vendor begins each answer at once, and ends it when the event is set."""
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": SSE})
        await response.prepare(request)
        await response.write(RESPONSES_STREAM[:50])
        await go_on.wait()
        await response.write(RESPONSES_STREAM[50:])
        return response

    vendor.answer = slow
    return go_on


async def open_at(vendor: Vendor, calls: int) -> None:
    async with asyncio.timeout(60):
        while len(vendor.requests) < calls:
            await asyncio.sleep(0.01)


async def served(way: Way, requests: int) -> None:
    """Until so many requests are in the proxy."""
    async with asyncio.timeout(60):
        while f"axiom_egress_open_requests {requests}.0" not in way.metrics.render().decode():
            await asyncio.sleep(0.01)


def question(**more: Any) -> bytes:
    return json.dumps({"model": "gpt-5.5", "input": "q", **more}).encode()


async def ask(way: Way, body: bytes, budget: int) -> int:
    async with way.request(
        "POST", "/openai/v1/responses", token=make_token(budget=budget), data=body
    ) as response:
        await response.read()
        return int(response.status)


async def test_of_calls_at_once_one_passes_the_budget_and_is_finished(vendor: Vendor, priced: Way) -> None:
    go_on = slowly(vendor)
    calls = [asyncio.create_task(ask(priced, question(), budget=1)) for _ in range(5)]
    await open_at(vendor, 1)
    go_on.set()
    assert sorted([await one for one in calls]) == [200, 429, 429, 429, 429]
    assert (len(vendor.requests), usage(priced).requests) == (1, 1)


async def test_calls_go_out_together_as_long_as_there_is_enough_for_all(vendor: Vendor, priced: Way) -> None:
    says(vendor, RESPONSES_STREAM)
    await ask(priced, question(), budget=10**9)
    first = usage(priced).cost_micro_usd or 0
    vendor.requests.clear()
    go_on = slowly(vendor)
    enough = first + 3 * (8_300 * 125 // 100 + 1_000 * 10)
    bodies = [question(max_output_tokens=1_000)] * 4
    calls = [asyncio.create_task(ask(priced, body, budget=enough)) for body in bodies]
    await open_at(vendor, 3)
    await served(priced, 4)
    assert len(vendor.requests) == 3
    go_on.set()
    assert [await one for one in calls] == [200] * 4


async def test_a_call_that_waits_for_too_long_is_told_so_and_may_try_again(
    vendor: Vendor, tmp_path: Path
) -> None:
    go_on = slowly(vendor)
    settings = replace(LOOPBACK, budget_seconds=0.05)
    async with run_way(tmp_path, [credential(vendor.url)], prices=PRICES, settings=settings) as way:
        first = asyncio.create_task(ask(way, question(), budget=10))
        await open_at(vendor, 1)
        token = make_token(budget=10)
        async with way.request("POST", "/openai/v1/responses", token=token, data=question()) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "5")
            assert "calls that are open" in (await response.json())["error"]["message"]
        go_on.set()
        assert await first == 200


async def test_a_waiting_agent_that_goes_away_holds_nothing(vendor: Vendor, priced: Way) -> None:
    go_on = slowly(vendor)
    first = asyncio.create_task(ask(priced, question(), budget=10_000))
    await open_at(vendor, 1)
    second = asyncio.create_task(ask(priced, question(), budget=10_000))
    await served(priced, 2)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    go_on.set()
    assert await first == 200
    assert await ask(priced, question(), budget=10_000) == 200
    assert len(vendor.requests) == 2


async def test_what_was_read_ahead_arrives_as_it_was_sent(vendor: Vendor, priced: Way) -> None:
    arrived: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.append(await request.read())
        return web.Response(body=RESPONSES_STREAM, headers={"Content-Type": SSE})

    async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    vendor.answer = answer
    bodies = [*(question(input="x" * size) for size in (0, 70_000, 5 * 2**20)), b"", b"\x00 no JSON"]
    for body in bodies:
        for data in (io.BytesIO(body), in_pieces(body)):
            async with priced.request(
                "POST", "/openai/v1/responses", token=make_token(budget=10**9), data=data
            ) as response:
                assert (response.status, await response.read()) == (200, RESPONSES_STREAM)
    assert arrived == [body for body in bodies for _ in range(2)]


async def test_under_a_budget_only_what_is_measured_or_free_goes_out(vendor: Vendor, priced: Way) -> None:
    for path, method, status in (
        ("/v1/images/generations", "POST", 402),
        ("/v1/messages/batches", "POST", 402),
        ("/v1/messages/count_tokens", "POST", 200),
        ("/v1/models", "GET", 200),
    ):
        assert (await call(priced, path, budget=1, method=method))[0] == status, path
    assert (await call(priced, "/v1/images/generations"))[0] == 200
    assert usage(priced).unmeasured == 1


async def test_under_a_budget_nothing_is_asked_that_could_leave_the_usage_out_of_its_answer(
    vendor: Vendor, priced: Way
) -> None:
    answer = {"modelVersion": "gemini-2.5-flash", "candidates": [{"finishReason": "STOP"}]}
    usage_told = {"promptTokenCount": 1, "candidatesTokenCount": 1}
    says(vendor, json.dumps({**answer, "usageMetadata": usage_told}).encode(), JSON)
    path = "/v1beta/models/gemini-2.5-flash:generateContent"
    for query, status in (("", 200), ("?alt=sse", 200), ("?fields=candidates", 402), ("?%24Fields=x", 402)):
        assert (await call(priced, path + query, budget=10**6))[0] == status, query
    assert (await call(priced, f"{path}?%24httpMethod=POST&%24req=%7B%7D", budget=10**6, method="GET"))[
        0
    ] == 402
    assert (await call(priced, f"{path}?fields=candidates"))[0] == 200


async def test_a_service_that_is_no_models_is_neither_measured_nor_stopped(
    vendor: Vendor, tmp_path: Path
) -> None:
    other = credential(vendor.url).model_copy(
        update={"route": credential(vendor.url).route.model_copy(update={"metered": False})}
    )
    says(vendor, RESPONSES_STREAM)
    async with run_way(tmp_path, [other], prices=PRICES) as way:
        assert (await call(way, "/v1/search", budget=0))[0] == 200
        assert (await call(way, "/v1/responses", budget=0))[0] == 200
        assert way.accounts.usage_of(TASK) is None


async def test_a_budget_cannot_be_held_for_a_model_without_a_price(vendor: Vendor, priced: Way) -> None:
    says(vendor, events({"model": "llama", "choices": [], "usage": CHAT_USAGE}, "[DONE]"))
    assert (await call(priced, "/v1/chat/completions", budget=10**9))[0] == 200
    status, body = await call(priced, "/v1/chat/completions", budget=10**9)
    assert (status, b"cannot be held" in body) == (429, True)


async def test_the_operator_raises_a_budget_while_the_task_runs(vendor: Vendor, priced: Way) -> None:
    says(vendor, RESPONSES_STREAM)
    await call(priced, "/v1/responses", budget=1000)
    assert (await call(priced, "/v1/responses", budget=1000))[0] == 429
    told = Question(proxy=priced.accounts.proxy, allowances={TASK: Allowance(budget=10**6)})
    priced.accounts.answer(told, 0)
    assert (await call(priced, "/v1/responses", budget=1000))[0] == 200
