"""The proxy, from an agent's socket to a vendor on loopback."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.fakes.vendor import CANARY, KEY, LOOPBACK, NOW, Vendor, Way, credential, make_token, run_way

from axiom.egress.accounting import Accounts
from axiom.egress.directory import Standing, StaticDirectory
from axiom.egress.metrics import Metrics
from axiom.egress.proxy import audit_log, create_app, create_operations_app, create_runner
from axiom.egress.serving import listen_tcp
from axiom.egress.settings import Address, ProxySettings
from axiom.egress.tokens import Grant

FOREVER = 3600


async def refusal(response: aiohttp.ClientResponse) -> tuple[int, str]:
    return response.status, (await response.json())["error"]["type"]


async def send_raw(path: Path, data: bytes) -> bytes:
    """Everything that the proxy answers to bytes that no HTTP library would send."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    await writer.drain()
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


def count(metrics: Metrics, name: str, **labels: str) -> float:
    """Of the class `codex`, where the metric has that label."""
    found = metrics.registry.get_sample_value(name, labels)
    return found or metrics.registry.get_sample_value(name, {"agent_class": "codex", **labels}) or 0


# what passes


async def test_the_token_is_swapped_for_the_real_key(vendor: Vendor, way: Way) -> None:
    async with way.request("POST", "/openai/v1/responses?stream=true", data=b"question") as response:
        assert (response.status, await response.text()) == (200, "hello")
    [seen] = vendor.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/v1/responses?stream=true", b"question")
    assert seen.headers.getall("Authorization") == [f"Bearer {CANARY}"]
    assert "axm1." not in str(seen.headers)


@pytest.mark.parametrize("header", ["x-api-key", "x-goog-api-key"])
async def test_a_token_in_another_vendors_header_is_swapped_too(
    vendor: Vendor, way: Way, header: str
) -> None:
    async with way.client.get("http://proxy/openai/v1/models", headers={header: make_token()}) as response:
        assert response.status == 200
    [seen] = vendor.requests
    assert header not in seen.headers
    assert seen.headers["Authorization"] == f"Bearer {CANARY}"


async def test_the_path_arrives_as_it_was_sent(vendor: Vendor, way: Way) -> None:
    request = f"GET /openai/v1/a%20b:c?q=%2e%2e&k=a+b HTTP/1.1\r\nHost: x\r\nx-api-key: {make_token()}\r\nConnection: close\r\n\r\n"
    assert (await send_raw(way.socket, request.encode())).startswith(b"HTTP/1.1 200 ")
    assert vendor.requests[0].target == "/v1/a%20b:c?q=%2e%2e&k=a+b"


async def test_a_body_of_unknown_length_is_streamed_up(vendor: Vendor, way: Way) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d," % number

    async with way.request("POST", "/openai/v1/files", data=pieces()) as response:
        assert response.status == 200
    assert vendor.requests[0].body == b"0,1,2,3,4,"


async def test_a_compressed_body_goes_up_as_it_is(vendor: Vendor, way: Way) -> None:
    body = gzip.compress(b"question " * 100)
    async with way.request(
        "POST", "/openai/v1/x", data=body, headers={"Content-Encoding": "gzip"}
    ) as response:
        assert response.status == 200
    [seen] = vendor.requests
    assert seen.headers["Content-Encoding"] == "gzip"
    assert seen.headers["Content-Length"] == str(len(body))
    assert seen.body == b"question " * 100


async def test_a_large_body_passes_in_both_directions(vendor: Vendor, way: Way) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    vendor.answer = echo
    body = os.urandom(8 * 2**20)
    async with way.request("POST", "/openai/v1/echo", data=io.BytesIO(body)) as response:
        assert await response.read() == body
        assert response.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("method", ["HEAD", "DELETE", "OPTIONS", "PATCH", "PUT"])
async def test_other_methods_pass(vendor: Vendor, way: Way, method: str) -> None:
    async with way.request(method, "/openai/v1/x") as response:
        assert response.status == 200
    assert vendor.requests[0].method == method


async def test_an_answer_without_a_body_is_one(vendor: Vendor, way: Way) -> None:
    async def nothing(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    vendor.answer = nothing
    for _ in range(2):
        async with way.request("DELETE", "/openai/v1/x") as response:
            assert (response.status, await response.read()) == (204, b"")


async def test_the_first_chunk_arrives_before_the_vendor_is_done(vendor: Vendor, way: Way) -> None:
    steps = asyncio.Queue[bytes]()

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while data := await steps.get():
            await response.write(data)
        return response

    vendor.answer = events
    async with asyncio.timeout(60), way.request("POST", "/openai/v1/responses", data=b"{}") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        for event in (b"data: sk-\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"):
            steps.put_nowait(event)
            assert await response.content.readany() == event
        steps.put_nowait(b"")
        assert await response.content.readany() == b""


async def test_the_answer_may_begin_before_the_question_is_complete(vendor: Vendor, way: Way) -> None:
    answered = asyncio.Event()

    async def early(request: web.Request) -> web.StreamResponse:
        return web.Response(status=413, text="too large")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 100
        await answered.wait()

    vendor.answer = early
    async with asyncio.timeout(60), way.request("POST", "/openai/v1/files", data=pieces()) as response:
        assert (response.status, await response.text()) == (413, "too large")
        answered.set()


async def test_overload_passes_with_its_retry_after(vendor: Vendor, way: Way) -> None:
    async def overloaded(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"type": "rate_limit"}}, status=429, headers={"Retry-After": "7"})

    vendor.answer = overloaded
    async with way.request("POST", "/openai/v1/responses", data=b"{}") as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")
        assert await response.json() == {"error": {"type": "rate_limit"}}
    assert count(way.metrics, "axiom_egress_requests_total", route="/openai", status="4xx") == 1
    assert count(way.metrics, "axiom_egress_open_requests") == 0


async def test_a_redirect_is_handed_on_and_not_followed(vendor: Vendor, way: Way) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://evil.example/")

    vendor.answer = elsewhere
    async with way.request("GET", "/openai/v1/x", allow_redirects=False) as response:
        assert response.status == 302
    assert len(vendor.requests) == 1


# what is refused


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("sk-something", (401, "axiom_bad_token")),
        (make_token(b"o" * 32), (401, "axiom_bad_token")),
        (make_token(expires=NOW), (401, "axiom_token_expired")),
        (make_token(agent_class="claude"), (403, "axiom_no_route")),
        (make_token(agent_class="unknown"), (403, "axiom_no_route")),
    ],
)
async def test_a_token_that_does_not_count_opens_nothing(
    vendor: Vendor, way: Way, token: str, answer: tuple[int, str]
) -> None:
    async with way.request("GET", "/openai/v1/models", token=token) as response:
        assert await refusal(response) == answer
        assert response.content_type == "application/json"
    assert vendor.requests == []
    assert count(way.metrics, "axiom_egress_denials_total", reason=answer[1]) == 1


async def test_no_token_is_refused_with_a_cure(way: Way) -> None:
    async with way.client.get("http://proxy/openai/v1/models") as response:
        assert response.status == 401
        assert "$(AXIOM_TOKEN)" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("path", "answer"), [("/anthropic/v1", (403, "axiom_no_route")), ("/", (404, "axiom_not_found"))]
)
async def test_only_the_classs_own_routes_are_open(way: Way, path: str, answer: tuple[int, str]) -> None:
    async with way.request("GET", path) as response:
        assert await refusal(response) == answer


async def test_a_credential_that_is_missing_is_named(vendor: Vendor, tmp_path: Path) -> None:
    async with (
        run_way(tmp_path, [credential(vendor.url)], keys={"openai": " \n"}) as way,
        way.request("GET", "/openai/v1/x") as response,
    ):
        assert await refusal(response) == (503, "axiom_no_credential")


async def test_after_its_attempt_a_token_does_not_count(vendor: Vendor, way: Way) -> None:
    way.directory.end("5ac8ee7c-8b7b-4c0f-9c2a-3f3a5d1f7c11", 1)
    async with way.request("GET", "/openai/v1/x") as response:
        assert await refusal(response) == (410, "axiom_attempt_ended")
    async with way.request("GET", "/openai/v1/x", token=make_token(attempt=2)) as response:
        assert response.status == 200


async def test_a_token_in_the_path_is_refused_and_not_written_down(
    vendor: Vendor, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    token = make_token()
    with caplog.at_level(logging.INFO, audit_log.name):
        async with way.request("GET", f"/openai/{token}?key={token}", token=token) as response:
            assert await refusal(response) == (400, "axiom_bad_path")
    assert vendor.requests == []
    assert token not in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "GET http://evil.example/openai/v1 HTTP/1.1",
        "GET //evil.example/openai HTTP/1.1",
        "GET /openai/../v1 HTTP/1.1",
        "GET /openai/%2e%2e/v1 HTTP/1.1",
        "GET /openai/v1%2f..%2f HTTP/1.1",
        "GET /openai\\..\\v1 HTTP/1.1",
        "GET /openai/v1#x HTTP/1.1",
        "GET openai/v1 HTTP/1.1",
        "GET /openai/v1\x00 HTTP/1.1",
        "GET /openai/v1\x7f HTTP/1.1",
        "GET /openai/%ff HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "TRACE /openai/v1 HTTP/1.1",
        "CONNECT evil.example:443 HTTP/1.1",
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "BREW /openai/v1 HTTP/1.1",
        "GET /openai/v1 HTTP/3.7",
        f"GET /openai/{'x' * 9000} HTTP/1.1",
    ],
)  # fmt: skip
async def test_a_hostile_request_line_reaches_nobody(vendor: Vendor, way: Way, line: str) -> None:
    request = f"{line}\r\nHost: proxy\r\nx-api-key: {make_token()}\r\nConnection: close\r\n\r\n"
    answer = await send_raw(way.socket, request.encode("latin-1"))
    assert answer[:10] in {b"HTTP/1.1 4", b"HTTP/1.0 4"}
    assert CANARY.encode() not in answer
    assert vendor.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "X-Long: " + "x" * 20000,
        "\r\n".join(f"X-{number}: 1" for number in range(200)),
        "X-Bad: a\x00b",
        " folded",
    ],
)
async def test_hostile_headers_reach_nobody(vendor: Vendor, way: Way, fields: str) -> None:
    head = f"POST /openai/v1/x HTTP/1.1\r\nHost: proxy\r\nx-api-key: {make_token()}\r\n{fields}\r\n\r\n"
    answer = await send_raw(way.socket, head.encode() + b"0\r\n\r\nGET /openai/smuggled HTTP/1.1\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert vendor.requests == []


async def test_what_is_no_request_is_counted_and_nothing_of_it_is_written_down(
    vendor: Vendor, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for field in (f"x-api-key: {make_token()}\x01", f"x-api-key: {make_token()}{'x' * 20_000}"):
        head = f"GET /openai/v1/x HTTP/1.1\r\nHost: proxy\r\n{field}\r\nConnection: close\r\n\r\n"
        assert (await send_raw(way.socket, head.encode()))[:13] in {b"HTTP/1.1 400 ", b"HTTP/1.0 400 "}
    assert (await send_raw(way.socket, b"\x16\x03\x01\x02\x00"))[:13] in {b"HTTP/1.1 400 ", b"HTTP/1.0 400 "}
    said = [record for record in caplog.records if record.name != "asyncio"]
    assert [json.loads(record.message)["refusal"] for record in said] == ["axiom_malformed"] * 3
    assert not any(record.exc_info for record in said)
    assert "axm1." not in caplog.text
    assert count(way.metrics, "axiom_egress_denials_total", reason="axiom_malformed") == 3


async def test_what_follows_a_refused_request_is_not_read_as_the_next(vendor: Vendor, way: Way) -> None:
    inner = f"GET /openai/smuggled HTTP/1.1\r\nHost: x\r\nx-api-key: {make_token()}\r\n\r\n".encode()
    head = f"POST /openai/v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: {len(inner)}\r\n\r\n".encode()
    answer = await send_raw(way.socket, head + inner)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert vendor.requests == []


async def test_an_upgrade_is_refused(vendor: Vendor, way: Way) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "x",
        "Sec-WebSocket-Version": "13",
    }
    async with way.request("GET", "/openai/v1/realtime", headers=headers) as response:
        assert await refusal(response) == (501, "axiom_upgrade_unsupported")
    assert vendor.requests == []


# who is asking, over TCP


class PodDirectory(StaticDirectory):
    """Says what it is told about every attempt."""

    standing_now = Standing.ACTIVE

    async def standing(self, grant: Grant, peer: str | None) -> Standing:
        assert peer == "127.0.0.1"
        return self.standing_now


@asynccontextmanager
async def run_tcp(vendor: Vendor) -> AsyncIterator[tuple[str, PodDirectory]]:
    directory = PodDirectory({"codex": [credential(vendor.url)]}, {"openai": CANARY})
    runner = create_runner(create_app(LOOPBACK, lambda: [KEY], directory, Metrics(), lambda: NOW))
    address = await listen_tcp(runner, Address("127.0.0.1", 0))
    yield f"http://127.0.0.1:{address.port}/openai/v1/x", directory
    await runner.cleanup()


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("", 200),
        ("127.0.0.1", 200),
        ("::ffff:127.0.0.1", 200),
        ("10.0.0.7", 403),
        ("::1", 403),
        ("nonsense", 403),
    ],
)
async def test_a_bound_token_counts_from_its_own_address(vendor: Vendor, address: str, status: int) -> None:
    headers = {"x-api-key": make_token(address=address), "X-Forwarded-For": "10.0.0.7"}
    async with (
        run_tcp(vendor) as (url, _),
        aiohttp.ClientSession() as client,
        client.get(url, headers=headers) as response,
    ):
        assert response.status == status


@pytest.mark.parametrize(
    ("standing", "answer"),
    [(Standing.ENDED, (410, "axiom_attempt_ended")), (Standing.ELSEWHERE, (403, "axiom_wrong_address"))],
)
async def test_the_pod_decides_whether_a_token_counts(
    vendor: Vendor, standing: Standing, answer: tuple[int, str]
) -> None:
    async with run_tcp(vendor) as (url, directory), aiohttp.ClientSession() as client:
        directory.standing_now = standing
        async with client.get(url, headers={"x-api-key": make_token()}) as response:
            assert await refusal(response) == answer


# when things break


async def test_a_vendor_that_is_down_is_named_without_the_key(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with (
            run_way(tmp_path, [credential(url)]) as way,
            way.request("GET", "/openai/v1/x") as response,
        ):
            assert await refusal(response) == (502, "axiom_upstream_failed")
            assert "127.0.0.1 cannot be reached" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("upstream", "cause"),
    [
        ("http://localhost:1", "private upstreams"),
        ("http://127.0.0.2:1", "private upstreams"),
        ("http://169.254.169.254", "private upstreams"),
        ("http://[::1]:1", "private upstreams"),
        ("http://no-such-name.invalid", "cannot be resolved"),
        ("http://2130706433", "cannot be reached"),
        ("http://host:99999", "cannot be reached"),
    ],
)
async def test_an_upstream_that_must_not_or_cannot_be_dialled_is_refused(
    tmp_path: Path, upstream: str, cause: str
) -> None:
    async with (
        run_way(tmp_path, [credential(upstream)]) as way,
        way.request("GET", "/openai/v1/x") as response,
    ):
        assert await refusal(response) == (502, "axiom_upstream_failed")
        assert cause in (await response.json())["error"]["message"]


async def test_a_private_upstream_that_is_named_is_dialled(vendor: Vendor, tmp_path: Path) -> None:
    settings = ProxySettings(allow_private_upstreams=frozenset({"localhost"}))
    url = vendor.url.replace("127.0.0.1", "localhost")
    async with (
        run_way(tmp_path, [credential(url)], settings=settings) as way,
        way.request("GET", "/openai/v1/x") as response,
    ):
        assert response.status == 200


@asynccontextmanager
async def run_raw_vendor(answer: bytes) -> AsyncIterator[str]:
    """A server that reads a request's head, says `answer`, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nX: {CANARY}\x00\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000,
    ],
)
async def test_a_vendor_that_does_not_speak_http_is_an_error(tmp_path: Path, answer: bytes) -> None:
    async with (
        run_raw_vendor(answer) as url,
        run_way(tmp_path, [credential(url)]) as way,
        way.request("GET", "/openai/v1/x") as response,
    ):
        assert await refusal(response) == (502, "axiom_upstream_failed")
        assert CANARY not in await response.text()


@pytest.mark.parametrize("length", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_an_answer_that_breaks_off_breaks_off_for_the_agent_too(tmp_path: Path, length: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n4\r\nabcd\r\n".encode()
    async with run_raw_vendor(answer) as url, run_way(tmp_path, [credential(url)]) as way:
        async with way.request("GET", "/openai/v1/x") as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert count(way.metrics, "axiom_egress_denials_total", reason="axiom_upstream_failed") == 1


async def test_a_silent_vendor_is_given_up(vendor: Vendor, tmp_path: Path) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(FOREVER)
        raise AssertionError

    vendor.answer = silent
    settings = replace(LOOPBACK, idle_seconds=0.05)
    async with (
        run_way(tmp_path, [credential(vendor.url)], settings=settings) as way,
        way.request("GET", "/openai/v1/x") as response,
    ):
        assert await refusal(response) == (502, "axiom_upstream_failed")
        assert "no answer within 0.05 s" in (await response.json())["error"]["message"]


async def test_an_agent_that_stops_in_the_middle_of_its_question_is_given_up(
    vendor: Vendor, tmp_path: Path
) -> None:
    settings = replace(LOOPBACK, idle_seconds=0.05)
    head = f"POST /openai/v1/x HTTP/1.1\r\nHost: x\r\nx-api-key: {make_token()}\r\nContent-Length: 100\r\n\r\nabc"
    async with run_way(tmp_path, [credential(vendor.url)], settings=settings) as way:
        reader, writer = await asyncio.open_unix_connection(way.socket)
        writer.write(head.encode())
        async with asyncio.timeout(60):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_an_agent_that_does_not_read_its_answer_is_given_up(
    vendor: Vendor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(2**18))

    vendor.answer = endless
    settings = replace(LOOPBACK, idle_seconds=0.05)
    async with run_way(tmp_path, [credential(vendor.url)], settings=settings) as way:
        with caplog.at_level(logging.INFO, audit_log.name):
            async with asyncio.timeout(60), way.request("GET", "/openai/v1/x"):
                await vendor.gone.wait()
    [line] = [json.loads(record.message) for record in caplog.records if record.name == audit_log.name]
    assert line["status"] == 499


async def test_an_agent_that_goes_away_ends_the_vendors_request(vendor: Vendor, way: Way) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.sleep(FOREVER)
        return response

    vendor.answer = endless
    async with asyncio.timeout(60):
        async with way.request("POST", "/openai/v1/responses", data=b"{}") as response:
            assert await response.content.readany() == b"first"
            response.close()
        await vendor.gone.wait()


async def test_an_agent_that_goes_away_before_any_answer_ends_the_vendors_request(
    vendor: Vendor, way: Way
) -> None:
    asked = asyncio.Event()

    async def thinking(request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(FOREVER)
        raise AssertionError

    vendor.answer = thinking
    async with asyncio.timeout(60):
        call = asyncio.ensure_future(way.request("POST", "/openai/v1/responses", data=b"{}").__aenter__())
        await asked.wait()
        call.cancel()
        await vendor.gone.wait()


# what is told


async def test_the_canary_is_in_no_answer_no_log_and_no_metric(
    vendor: Vendor, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        key = request.headers["Authorization"]
        headers = {"X-Echo": key, "Authorization": key, "Set-Cookie": f"k={CANARY}", "X-Fine": "1"}
        text = json.dumps({"error": f"invalid key {CANARY}", "headers": dict(request.headers)})
        if "gzip" in request.path:
            body = gzip.compress(text.encode())
            return web.Response(body=body, headers={**headers, "Content-Encoding": "gzip"})
        response = web.StreamResponse(status=401, reason=f"no {CANARY}", headers=headers)
        await response.prepare(request)
        for byte in text.encode():
            await response.write(bytes([byte]))
        return response

    vendor.answer = echo
    with caplog.at_level(logging.DEBUG):
        for path in ("/openai/v1/plain", "/openai/v1/gzip"):
            async with way.request("GET", path) as response:
                body = await response.text()
                assert f"invalid key {'*' * len(CANARY)}" in body
                assert response.headers["X-Fine"] == "1"
                assert CANARY not in f"{response.reason} {response.raw_headers!r} {body}"
    assert vendor.requests[0].headers["Authorization"] == f"Bearer {CANARY}"
    assert CANARY not in caplog.text
    assert CANARY not in way.metrics.render().decode()
    assert CANARY not in repr(way.directory.routes("codex"))


async def test_each_request_leaves_one_line(
    vendor: Vendor, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, audit_log.name):
        async with way.request("POST", "/openai/v1/x?secret=1", data=b"12345") as response:
            await response.read()
        async with way.request("GET", "/anthropic/v1?secret=1") as response:
            await response.read()
    passed, refused = [
        json.loads(record.message) for record in caplog.records if record.name == audit_log.name
    ]
    assert passed.pop("ms") >= 0
    assert passed == {
        "event": "egress",
        "namespace": "team-a",
        "task": "fix-leap-year",
        "attempt": "5ac8ee7c-8b7b-4c0f-9c2a-3f3a5d1f7c11/1",
        "agent_class": "codex",
        "peer": None,
        "host": "127.0.0.1",
        "method": "POST",
        "path": "/openai/v1/x",
        "status": 200,
        "refusal": None,
        "bytes_up": 5,
        "signals": [],
        "bytes_down": 5,
    }
    assert (refused["status"], refused["refusal"]) == (403, "axiom_no_route")
    assert "secret" not in caplog.text


async def test_metrics_count_bytes_and_seconds_by_route(way: Way) -> None:
    async with way.request("POST", "/openai/v1/x", data=b"12345") as response:
        await response.read()
    async with way.client.get("http://proxy/openai/v1/x") as response:
        await response.read()
    assert count(way.metrics, "axiom_egress_requests_total", route="/openai", status="2xx") == 1
    assert count(way.metrics, "axiom_egress_bytes_total", route="/openai", direction="up") == 5
    assert count(way.metrics, "axiom_egress_bytes_total", route="/openai", direction="down") == 5
    assert count(way.metrics, "axiom_egress_request_duration_seconds_count", route="/openai") == 1


@pytest.mark.parametrize("ready", [True, False])
async def test_health_and_metrics_have_a_port_of_their_own(ready: bool) -> None:
    metrics = Metrics()
    metrics.count_denial("axiom_no_route")
    runner = web.AppRunner(create_operations_app(metrics, lambda: ready, Accounts(), lambda: [KEY]))
    address = await listen_tcp(runner, Address("127.0.0.1", 0))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{address.port}") as client:
        async with client.get("/healthz") as response:
            assert response.status == (200 if ready else 503)
        async with client.get("/metrics") as response:
            assert 'axiom_egress_denials_total{reason="axiom_no_route"} 1.0' in await response.text()
    await runner.cleanup()
