"""What a process of the proxy tells of vendors."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from tests.axiom.egress.test_proxy import send_raw
from tests.fakes.vendor import LOOPBACK, Vendor, Way, credential, make_token, run_way

from axiom.egress.accounting import Question
from axiom.egress.weather import KEPT_SECONDS, MOST_HOSTS, MOST_TASKS, Fared, Weather


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def test_failures_in_a_row_are_counted_for_each_task_until_an_answer_comes() -> None:
    clock = Clock()
    weather = Weather(clock)
    for task, status in (("a", 200), ("a", 529), ("b", None), ("b", 500), ("c", 429)):
        clock.now += 1
        weather.note("api.example", task, status)
    assert weather.sights()["api.example"].by_task == {
        "a": Fared(failed_in_row=1, answered_ago=4.0, failed_ago=3.0),
        "b": Fared(failed_in_row=2, failed_ago=1.0),
    }
    weather.note("api.example", "b", 404)
    assert weather.sights()["api.example"].by_task["b"].failed_in_row == 0


def test_tasks_that_were_not_heard_of_lately_are_forgotten() -> None:
    clock = Clock()
    weather = Weather(clock)
    weather.note("api.example", "a", 529)
    weather.note("api.example", "b", 529)
    clock.now += KEPT_SECONDS
    weather.note("api.example", "a", 200)
    clock.now += 1
    assert list(weather.sights()["api.example"].by_task) == ["a"]
    clock.now += KEPT_SECONDS
    assert weather.sights() == {}


def test_hosts_and_tasks_are_bounded() -> None:
    weather = Weather(Clock())
    for number in range(2 * MOST_HOSTS):
        weather.note(f"h{number}.example", "a", None)
    for number in range(2 * MOST_TASKS):
        weather.note("h0.example", f"t{number}", None)
    found = weather.sights()
    assert len(found) == MOST_HOSTS
    assert list(found["h0.example"].by_task)[:: MOST_TASKS - 1] == [
        f"t{MOST_TASKS}",
        f"t{2 * MOST_TASKS - 1}",
    ]


async def call(way: Way) -> None:
    async with way.request("POST", "/openai/v1/responses", json={"model": "m", "input": "x"}) as response:
        await response.read()


def failures(way: Way) -> list[int]:
    """In a row, of the tasks that asked the vendor."""
    told = way.accounts.answer(Question(), 0).vendors
    return [fared.failed_in_row for sight in told.values() for fared in sight.by_task.values()]


async def test_the_proxy_counts_calls_of_models_that_the_vendor_failed_and_tells_the_operator(
    vendor: Vendor, way: Way
) -> None:
    statuses = [200, 529, 503]

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({}, status=statuses.pop(0))

    vendor.answer = answer
    for _ in range(3):
        await call(way)
    assert failures(way) == [2]
    statuses.append(404)
    await call(way)
    assert failures(way) == [0]


async def test_a_vendor_that_cannot_be_reached_has_failed(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with run_way(tmp_path, [credential(url)]) as way:
            await call(way)
            assert failures(way) == [1]


@pytest.mark.parametrize(("patience", "counts"), [(0.0, True), (60.0, False)])
async def test_a_call_that_an_agent_gave_up_was_not_answered_if_it_had_waited_long(
    tmp_path: Path, vendor: Vendor, patience: float, counts: bool
) -> None:
    asked = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await request.read()
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    vendor.answer = hang
    settings = replace(LOOPBACK, patience_seconds=patience)
    async with run_way(tmp_path, [credential(vendor.url)], settings=settings) as way:
        calling = asyncio.create_task(call(way))
        await asked.wait()
        calling.cancel()
        await vendor.gone.wait()
        vendor.answer = None
        await call(way)
        (fared,) = way.accounts.answer(Question(), 0).vendors["127.0.0.1"].by_task.values()
        assert (fared.failed_ago is not None) is counts


async def test_what_an_agent_sends_wrong_is_no_failure_of_its_vendor(vendor: Vendor, way: Way) -> None:
    head = (
        f"POST /openai/v1/responses HTTP/1.1\r\nHost: p\r\nx-api-key: {make_token()}\r\nConnection: close\r\n"
    )
    for field in (b"X-Odd: \xff\xfe", b"X-Odd\xe9: 1"):
        await send_raw(way.socket, head.encode() + field + b"\r\nContent-Length: 2\r\n\r\n{}")
    assert not any(failures(way))
