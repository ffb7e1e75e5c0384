"""The operator's and the gateway's process as a whole, against a small API server: start, readiness, SIGTERM, a lost Lease."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import pytest
from tests.axiom.reconciling.test_settings import GOOD
from tests.fakes.api_server import FakeApiServer, fake_api_server
from tests.ports import free_port

import axiom.cluster.api as api_module
import axiom.cluster.watching as watching_module
import axiom.gateway.running as gateway_running
import axiom.reconciling.serving as operator_serving
from axiom.environment import SettingsError
from axiom.gateway.settings import read_settings as read_gateway_settings
from axiom.reconciling.lease import LeaseLostError, LeaseSettings
from axiom.reconciling.settings import OperatorSettings, read_settings
from axiom.storage.s3 import S3Store
from axiom.storage.store import UnavailableError

OPERATOR_PORT, GATEWAY_PORT, PEOPLE_PORT = free_port(), free_port(), free_port()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:

        def login(**_: Any) -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(server=server.url)

        monkeypatch.setattr(watching_module, "log_in", login)
        _, *counters = api_module.Api.__init__.__defaults__ or ()
        monkeypatch.setattr(api_module.Api.__init__, "__defaults__", (login, *counters))
        yield server


def operator_settings(folder: Path, **lease: float) -> OperatorSettings:
    (folder / "ca.crt").write_text("CA")
    (folder / "keys").write_text("k" * 40)
    environment = {
        **GOOD,
        "AXIOM_CHANNEL_TLS": str(folder),
        "AXIOM_TOKEN_KEYS": str(folder / "keys"),
        "AXIOM_OPERATOR_METRICS": f"127.0.0.1:{OPERATOR_PORT}",
    }
    settings = read_settings(environment)
    timing = LeaseSettings("axiom", "axiom-operator", "me", **lease)
    return OperatorSettings(**{**vars(settings), "lease": timing})


async def until_ready(port: int, running: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            assert not running.done(), running
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # it does not listen yet
            await asyncio.sleep(0.02)


async def test_the_operator_takes_the_lease_works_and_releases_it_at_sigterm(
    server: FakeApiServer, tmp_path: Path
) -> None:
    running = asyncio.create_task(operator_serving.run(operator_settings(tmp_path)))
    await until_ready(OPERATOR_PORT, running)
    lease = server.get("leases", "axiom", "axiom-operator")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "me"

    os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(60):
        await running
    lease = server.get("leases", "axiom", "axiom-operator")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == ""


async def test_an_operator_that_lost_its_lease_ends(server: FakeApiServer, tmp_path: Path) -> None:
    running = asyncio.create_task(operator_serving.run(operator_settings(tmp_path, renew_every=0.05)))
    await until_ready(OPERATOR_PORT, running)
    server.change("leases", "axiom", "axiom-operator", spec={"holderIdentity": "other"})
    with pytest.raises(LeaseLostError):
        async with asyncio.timeout(60):
            await running


async def test_an_operator_without_its_files_says_which(server: FakeApiServer, tmp_path: Path) -> None:
    settings = operator_settings(tmp_path)
    (tmp_path / "ca.crt").unlink()
    with pytest.raises(SettingsError, match=r"ca\.crt"):
        await operator_serving.run(settings)


async def test_the_gateway_serves_until_sigterm_though_storage_is_away(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: S3Store) -> None:
        raise UnavailableError("object storage does not answer")

    monkeypatch.setattr(S3Store, "prove", away)
    settings = read_gateway_settings(
        {
            "AXIOM_CHANNEL_TLS": str(tmp_path),
            "AXIOM_S3_ENDPOINT": "http://s3",
            "AXIOM_S3_BUCKET": "b",
            "AXIOM_S3_CREDENTIALS": str(tmp_path),
            "AXIOM_GATEWAY_LISTEN": f"127.0.0.1:{PEOPLE_PORT}",
            "AXIOM_GATEWAY_METRICS": f"127.0.0.1:{GATEWAY_PORT}",
            "AXIOM_GATEWAY_SCRATCH": str(tmp_path / "scratch"),
        }
    )
    running = asyncio.create_task(gateway_running.run(settings))
    await until_ready(GATEWAY_PORT, running)
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{PEOPLE_PORT}/v1/tasks/ns/t/events"
        assert (await session.get(url)).status == 401
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(60):
        await running


def test_a_gateway_without_a_bucket_says_so() -> None:
    with pytest.raises(SettingsError, match="AXIOM_S3_BUCKET"):
        read_gateway_settings({"AXIOM_CHANNEL_TLS": "/t", "AXIOM_S3_ENDPOINT": "http://s3"})
