"""The process that runs on a cluster: settings, a cluster to watch, agents to serve, a signal to end it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web
from tests.fakes.listed_cluster import CLASSES, PODS, agent_class, pod, run_api_server
from tests.fakes.vendor import CANARY, KEY, Vendor, make_token

FAR_FUTURE = 4_000_000_000


def kubeconfig(path: Path, url: str) -> str:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
                "clusters": [{"name": "here", "cluster": {"server": url}}],
                "users": [{"name": "here", "user": {"token": "not-a-secret"}}],
            }
        )
    )
    return str(path)


@asynccontextmanager
async def run_main(environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KUBERNETES_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "axiom.egress", env={**inherited, **environment}, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def read_port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    return int((await process.stdout.readline()).rpartition(b" ")[2])


async def until_ready(client: aiohttp.ClientSession, url: str) -> None:
    while True:
        async with client.get(url) as response:
            if response.status == 200:
                return
            await asyncio.sleep(0.01)


async def test_the_process_serves_agents_and_ends_when_their_answers_are_complete(
    vendor: Vendor, tmp_path: Path
) -> None:
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await go_on.wait()
        await response.write(b"last")
        return response

    vendor.answer = slow
    (tmp_path / "keys").write_bytes(KEY)
    async with asyncio.timeout(60), run_api_server() as api, aiohttp.ClientSession() as client:
        api.put(PODS, pod("127.0.0.1"))
        api.put(CLASSES, agent_class(upstream=vendor.url))
        api.secrets["keys"] = {"openai": CANARY}
        environment = {
            "KUBECONFIG": kubeconfig(tmp_path / "kubeconfig", api.url),
            "AXIOM_EGRESS_LISTEN": "127.0.0.1:0",
            "AXIOM_EGRESS_METRICS": "127.0.0.1:0",
            "AXIOM_EGRESS_TOKEN_KEYS": str(tmp_path / "keys"),
            "AXIOM_NAMESPACE": "axiom-system",
            "AXIOM_EGRESS_PRIVATE_UPSTREAMS": "127.0.0.1",
        }
        async with run_main(environment) as process:
            agents, operations = await read_port(process), await read_port(process)
            await until_ready(client, f"http://127.0.0.1:{operations}/healthz")
            headers = {"x-api-key": make_token(address="127.0.0.1", expires=FAR_FUTURE)}
            async with client.get(f"http://127.0.0.1:{agents}/openai/v1/x", headers=headers) as response:
                assert await response.content.readany() == b"first "
                process.send_signal(signal.SIGTERM)
                go_on.set()
                assert await response.content.read() == b"last"
            output, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(output.splitlines()[0])["status"] == 200
    assert CANARY.encode() not in output
    assert vendor.requests[0].headers["Authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, b"AXIOM_EGRESS_TOKEN_KEYS is not set"),
        (
            {"AXIOM_EGRESS_TOKEN_KEYS": "/nonexistent", "AXIOM_NAMESPACE": "x"},
            b"cannot be read from /nonexistent",
        ),
    ],
)
async def test_settings_that_cannot_be_used_are_named(environment: dict[str, str], message: bytes) -> None:
    async with asyncio.timeout(60), run_main(environment) as process:
        output, _ = await process.communicate()
    assert process.returncode == 2
    assert message in output
