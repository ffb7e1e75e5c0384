"""What a process of the proxy tells of vendors."""

from __future__ import annotations

import socket
from pathlib import Path

from aiohttp import web
from tests.fakes.vendor import Vendor, Way, credential, run_way

from axiom.egress.accounting import Question
from axiom.egress.weather import MOST_HOSTS, Sight, Weather


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def test_failures_in_a_row_are_counted_over_all_tasks_until_an_answer_comes() -> None:
    clock = Clock()
    weather = Weather(clock)
    for task, status in (("a", 200), ("a", 529), ("b", None), ("b", 500), ("c", 429)):
        clock.now += 1
        weather.note("api.example", task, status)
    assert weather.sights() == {
        "api.example": Sight(failed_in_row=3, tasks=2, answered_ago=4.0, failed_ago=1.0)
    }
    weather.note("api.example", "c", 404)
    assert weather.sights()["api.example"].failed_in_row == 0


def test_a_vendor_that_never_failed_is_not_told_and_hosts_are_bounded() -> None:
    weather = Weather(Clock())
    weather.note("well.example", "a", 200)
    for number in range(2 * MOST_HOSTS):
        weather.note(f"h{number}.example", "a", None)
    assert "well.example" not in weather.sights()
    assert len(weather.sights()) == MOST_HOSTS - 1


async def call(way: Way) -> None:
    async with way.request("POST", "/openai/v1/responses", json={"model": "m", "input": "x"}) as response:
        await response.read()


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
    told = way.accounts.answer(Question(), 0).vendors
    assert [(host, one.failed_in_row, one.tasks) for host, one in told.items()] == [("127.0.0.1", 2, 1)]
    statuses.append(404)
    await call(way)
    assert way.accounts.answer(Question(), 0).vendors["127.0.0.1"].failed_in_row == 0


async def test_a_vendor_that_cannot_be_reached_has_failed(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with run_way(tmp_path, [credential(url)]) as way:
            await call(way)
            assert way.accounts.answer(Question(), 0).vendors["127.0.0.1"].failed_in_row == 1
