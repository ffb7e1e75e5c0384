"""The client of the API server, against a small one on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import kopf
import pytest
from tests.fakes.api_server import FakeApiServer, fake_api_server

from axiom.cluster.api import Api, log_in
from axiom.cluster.errors import (
    AlreadyExistsError,
    ConflictError,
    LoginError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from axiom.cluster.resources import AGENT_CLASSES, AGENT_TASKS, CONFIG_MAPS, PODS

POD = {"metadata": {"name": "one", "namespace": "ns", "labels": {"a": "b"}}}


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        yield server


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[Api]:
    async with Api("test", lambda: kopf.ConnectionInfo(server=server.url, token="t")) as api:
        yield api


def test_paths_are_those_of_the_api() -> None:
    assert PODS.path("ns", "one") == "/api/v1/namespaces/ns/pods/one"
    assert (
        AGENT_TASKS.path("ns", "t", "status") == "/apis/axiom.dev/v1alpha1/namespaces/ns/agenttasks/t/status"
    )
    assert AGENT_CLASSES.path() == "/apis/axiom.dev/v1alpha1/agentclasses"


async def test_the_servers_clock_is_known_by_its_answers(api: Api) -> None:
    assert api.server_time is None
    await api.list(PODS)
    assert api.server_time is not None
    assert abs((api.server_time - datetime.now(UTC)).total_seconds()) < 60


async def test_a_second_object_of_a_name_is_told_from_a_conflict(server: FakeApiServer, api: Api) -> None:
    created = await api.create(PODS, "ns", POD)
    with pytest.raises(AlreadyExistsError):
        await api.create(PODS, "ns", POD)

    server.change("pods", "ns", "one", status={})

    with pytest.raises(ConflictError):
        await api.replace(PODS, "ns", "one", created)


async def test_a_delete_never_hits_another_object_of_the_name(server: FakeApiServer, api: Api) -> None:
    server.add("pods", POD)
    with pytest.raises(ConflictError):
        await api.delete(PODS, "ns", "one", "another-uid", 1)
    assert server.get("pods", "ns", "one") is not None
    with pytest.raises(NotFoundError):
        await api.delete(PODS, "ns", "none", "uid")


async def test_refusals_carry_the_servers_words(server: FakeApiServer, api: Api) -> None:
    server.refuse("POST", "/pods", 403, "Forbidden", "exceeded quota: pods=1")
    with pytest.raises(RefusedError, match="exceeded quota"):
        await api.create(PODS, "ns", POD)


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_what_passes_by_itself_is_unavailable(server: FakeApiServer, api: Api, status: int) -> None:
    server.refuse("GET", "/configmaps/x", status)
    with pytest.raises(UnavailableError):
        await api.get(CONFIG_MAPS, "ns", "x")


async def test_a_server_that_is_away_is_unavailable() -> None:
    async with Api("test", lambda: kopf.ConnectionInfo(server="http://127.0.0.1:1")) as api:
        with pytest.raises(UnavailableError, match="does not answer"):
            await api.get(PODS, "ns", "one")


async def test_writes_are_counted_and_reads_are_not(server: FakeApiServer) -> None:
    counted: list[tuple[str, str]] = []
    login = kopf.ConnectionInfo(server=server.url)
    async with Api("t", lambda: login, lambda verb, resource: counted.append((verb, resource))) as api:
        await api.create(PODS, "ns", POD)
        await api.get(PODS, "ns", "one")
        assert len(await api.list(PODS, "a=b")) == 1
        assert await api.list(PODS, "a=c") == []
        await api.delete_all(PODS, "ns", "a=b", 1)
    assert counted == [("create", "pods"), ("deletecollection", "pods")]


def test_without_a_server_the_cure_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "AXIOM_KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LoginError, match="set KUBECONFIG"):
        log_in()


def test_a_kubeconfig_that_cannot_be_read_is_a_login_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.setenv("AXIOM_KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(LoginError, match="cannot be read"):
        log_in()
