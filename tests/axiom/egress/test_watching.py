"""Following a cluster, with the real client and an API server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from kubernetes.aio import client
from tests.fakes.listed_cluster import CLASSES, PODS, FakeApiServer, agent_class, pod, run_api_server
from tests.fakes.vendor import CANARY, make_grant

from axiom.egress.directory import Standing
from axiom.egress.errors import SettingsError
from axiom.egress.live_directory import LiveDirectory
from axiom.egress.watching import ClusterWatcher, Pace, load_cluster_config

PACE = Pace(watch_seconds=30, pause_seconds=0, secrets_seconds=0.01, longest_wait=0.01)


@asynccontextmanager
async def watching(server: FakeApiServer, pace: Pace = PACE) -> AsyncIterator[LiveDirectory]:
    directory = LiveDirectory(grace_seconds=20)
    async with client.ApiClient(client.Configuration(host=server.url)) as api:
        task = asyncio.create_task(ClusterWatcher(api, directory, "axiom-system", pace).run())
        yield directory
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with run_api_server() as server:
        server.put(PODS, pod())
        server.put(CLASSES, agent_class())
        server.secrets["keys"] = {"openai": CANARY, "binary": "\u00ff"}
        yield server


async def test_what_is_there_at_the_start_is_known(server: FakeApiServer) -> None:
    async with watching(server) as directory:
        await until(lambda: directory.is_ready)
        assert directory.routes("codex")[0].key == CANARY
        assert await directory.standing(make_grant(), "10.1.2.3") is Standing.ACTIVE
    listed = [query for query in server.queries if query["path"] == PODS and "watch" not in query]
    assert listed == [
        {"path": PODS, "labelSelector": "axiom.dev/role=agent,axiom.dev/task-uid,axiom.dev/attempt"}
    ]


async def test_pods_come_and_go(server: FakeApiServer) -> None:
    async with watching(server) as directory:
        await until(lambda: directory.is_ready)
        server.put(PODS, pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
        async with asyncio.timeout(60):
            while await directory.standing(make_grant(), "10.1.2.3") is Standing.ACTIVE:
                await asyncio.sleep(0.002)
        server.delete(PODS, "fix-1")
        second = make_grant(attempt=2)
        server.put(
            PODS,
            pod(name="fix-2", metadata={"labels": {**pod()["metadata"]["labels"], "axiom.dev/attempt": "2"}}),
        )
        assert await directory.standing(second, "10.1.2.3") is Standing.ACTIVE


async def test_a_rotated_key_is_used_without_a_restart(server: FakeApiServer) -> None:
    async with watching(server) as directory:
        await until(lambda: directory.is_ready)
        server.secrets["keys"]["openai"] = "sk-rotated"
        await until(lambda: directory.routes("codex")[0].key == "sk-rotated")
        del server.secrets["keys"]
        await until(lambda: directory.routes("codex")[0].key is None)


async def test_a_new_classs_secret_is_read_at_once(server: FakeApiServer) -> None:
    server.secrets["others"] = {"openai": "sk-other"}
    async with watching(server, Pace(pause_seconds=0, secrets_seconds=3600)) as directory:
        await until(lambda: directory.is_ready)
        server.put(CLASSES, agent_class("claude", "others"))
        await until(lambda: [item.key for item in directory.routes("claude")] == ["sk-other"])
        server.delete(CLASSES, "claude")
        await until(lambda: directory.routes("claude") == [])


async def test_a_lost_history_is_listed_again(server: FakeApiServer) -> None:
    async with watching(server) as directory:
        await until(lambda: directory.is_ready)
        server.hang_up()
        server.put(CLASSES, agent_class("claude"))
        await until(lambda: len(directory.routes("claude")) == 1)


async def test_an_api_server_that_stumbles_is_asked_again(
    server: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.failures += [500, 403, 503, 500]
    async with watching(server) as directory:
        await until(lambda: directory.is_ready)
        assert len(directory.routes("codex")) == 1
    assert "trying again" in caplog.text
    assert CANARY not in caplog.text


async def test_a_secret_that_cannot_be_read_keeps_the_last_key(
    server: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(server) as directory:
        await until(lambda: directory.is_ready)
        server.failures += [403] * 3
        await until(lambda: server.failures == [])
        assert directory.routes("codex")[0].key == CANARY


async def test_no_cluster_is_a_matter_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nonexistent")
    with pytest.raises(SettingsError, match="no Kubernetes API server"):
        await load_cluster_config()
