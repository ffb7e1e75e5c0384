"""What the egress proxy adds: to the first byte of a stream, to a tunnel's throughput, and in memory.

The proxy is a process of its own on one core; vendor and agents share the other. `python -m bench.egress` prints one JSON
object.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from axiom.api.agentclass import Credential, Destination
from axiom.egress.directory import StaticDirectory
from axiom.egress.metrics import Metrics
from axiom.egress.proxy import create_app, create_runner
from axiom.egress.serving import listen_tcp
from axiom.egress.settings import Address, ProxySettings
from axiom.egress.tokens import Grant, mint

_KEY, _STREAMS, _EVENTS, _EVENT_SECONDS = b"k" * 32, 50, 20, 0.05
_EVENT = (
    b'event: response.output_text.delta\ndata: {"type": "response.output_text.delta", "delta": "token"}\n\n'
)
_TUNNELLED, _CHUNK, _CONNECTIONS = 768 * 2**20, 2**20, 500
_HOST = "localhost"


async def vendor() -> None:
    """Streams answers of a model over HTTP, and as many bytes as one can take over plain TCP. Prints its ports."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(_EVENTS):
            await response.write(_EVENT)
            await asyncio.sleep(_EVENT_SECONDS)
        return response

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int(await reader.readline() or b"0")
        block = bytes(_CHUNK)
        for _ in range(size // _CHUNK):
            writer.write(block)
            await writer.drain()
        await reader.read()
        writer.close()

    app = web.Application()
    app.router.add_post("/v1/responses", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    pouring = await asyncio.start_server(pour, "127.0.0.1", 0, backlog=1024)
    print(runner.addresses[0][1], pouring.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def proxy(http: int, tcp: int) -> None:
    """The proxy as it is on a cluster, but for where it learns of classes. Prints its port."""
    credential = Credential.model_validate(
        {
            "name": "k",
            "secretRef": {"name": "k", "key": "k"},
            "route": {"prefix": "/openai", "upstream": f"http://127.0.0.1:{http}"},
        }
    )
    opened = Destination.model_validate({"host": _HOST, "ports": [tcp]})
    directory = StaticDirectory({"c": [credential]}, {"k": "sk-0123456789abcdef"}, None, {"c": [opened]})
    settings = ProxySettings(allow_private_upstreams=frozenset({_HOST, "127.0.0.1"}), most_open=2000)
    app = create_app(settings, lambda: (_KEY,), directory, Metrics())
    print((await listen_tcp(create_runner(app), Address("127.0.0.1", 0))).port, flush=True)
    await asyncio.Event().wait()


def token() -> str:
    """An attempt's."""
    return mint(_KEY, Grant("uid", "n", "t", 1, "c", "", int(time.time()) + 3600))


async def first_bytes(base: str, seconds: float) -> list[float]:
    """Seconds to the first byte of answers, with 50 streams open all the time."""
    found: list[float] = []
    headers = {"Authorization": f"Bearer {token()}"}
    body = b'{"model": "m", "input": "' + b"x" * 4000 + b'"}'
    until = time.perf_counter() + seconds

    async def work(client: aiohttp.ClientSession, wait: float) -> None:
        await asyncio.sleep(wait)
        while time.perf_counter() < until:
            began = time.perf_counter()
            async with client.post(f"{base}/v1/responses", data=body, headers=headers) as response:
                await response.content.readany()
                found.append(time.perf_counter() - began)
                async for _ in response.content.iter_any():
                    pass

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client, asyncio.TaskGroup() as group:
        for _ in range(_STREAMS):
            # streams begin at any moment, as agents' do
            group.create_task(work(client, random.random() * _EVENTS * _EVENT_SECONDS))
    return found


def tunnel(port: int, tcp: int) -> socket.socket:
    """An open one."""
    made = socket.create_connection(("127.0.0.1", port))
    password = base64.b64encode(f"axiom:{token()}".encode()).decode()
    made.sendall(
        f"CONNECT {_HOST}:{tcp} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {password}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += made.recv(1)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(head.decode())
    return made


def throughput(made: socket.socket) -> float:
    """Bytes a second that the far side pours through this connection."""
    made.sendall(f"{_TUNNELLED}\n".encode())
    buffer, left, began = bytearray(_CHUNK), _TUNNELLED, time.perf_counter()
    while left:
        left -= made.recv_into(buffer)
    made.close()
    return _TUNNELLED / (time.perf_counter() - began)


def resident(pid: int) -> int:
    """Bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def processor_seconds(pid: int) -> float:
    """That the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(seconds: float) -> dict[str, float]:
    """Everything, in one run."""
    with _running(1, "vendor") as far:
        http, tcp = map(int, far.stdout.readline().split())  # type: ignore[union-attr]
        with _running(0, "proxy", str(http), str(tcp)) as own:
            port = int(own.stdout.readline())  # type: ignore[union-attr]
            os.sched_setaffinity(0, {1})
            direct: list[float] = []
            through: list[float] = []
            spent = 0.0
            for _ in range(3):  # in turn, so that the machine's moods hit both
                direct += asyncio.run(first_bytes(f"http://127.0.0.1:{http}", seconds))
                before = processor_seconds(own.pid)
                through += asyncio.run(first_bytes(f"http://127.0.0.1:{port}/openai", seconds))
                spent += processor_seconds(own.pid) - before
            speed = throughput(tunnel(port, tcp))
            straight = throughput(socket.create_connection(("127.0.0.1", tcp)))
            held = [tunnel(port, tcp) for _ in range(_CONNECTIONS)]
            memory = resident(own.pid)
            for one in held:
                one.close()
    return {
        "answers": len(through),
        "processor_ms": spent / len(through) * 1000,
        "direct_p50_ms": _quantile(direct, 50),
        "direct_p99_ms": _quantile(direct, 99),
        "through_p50_ms": _quantile(through, 50),
        "through_p99_ms": _quantile(through, 99),
        "tunnel_mb_s": speed / 1e6,
        "direct_mb_s": straight / 1e6,
        "resident_mib": memory / 2**20,
    }


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] * 1000


@contextmanager
def _running(core: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.egress", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """One part, or all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parts = parser.add_subparsers(dest="part")
    parts.add_parser("vendor")
    own = parts.add_parser("proxy")
    own.add_argument("http", type=int)
    own.add_argument("tcp", type=int)
    arguments = parser.parse_args()
    match arguments.part:
        case "vendor":
            asyncio.run(vendor())
        case "proxy":
            asyncio.run(proxy(arguments.http, arguments.tcp))
        case _:
            print(json.dumps(measure(arguments.seconds)))


if __name__ == "__main__":
    main()
