"""Caches, and the real kopf that feeds them, against a small API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sized
from itertools import islice
from typing import Any

import kopf
import pytest
from tests.fakes.api_server import FakeApiServer, fake_api_server

import axiom.cluster.watching as watching
from axiom.cluster.api import Api
from axiom.cluster.errors import UnavailableError
from axiom.cluster.resources import AGENT_TASKS, PODS, Object, name_of, uid_of
from axiom.cluster.watching import Cache, Watcher
from axiom.monitoring.clients import Watches
from axiom.monitoring.instruments import Instruments, Process


def item(name: str, version: int, uid: str = "") -> Object:
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": uid or name, "resourceVersion": str(version)}
    }


def test_a_watch_waits_for_the_api_server_without_end_and_is_back_soon_after_it() -> None:
    backoffs = watching._settings([]).networking.error_backoffs
    assert not isinstance(backoffs, float | Sized), "what has a length has an end"
    for _ in range(2):
        pauses = list(islice(backoffs, 1000))
        assert len(pauses) == 1000
        assert max(pauses) <= 5


def test_an_older_version_never_replaces_a_newer_one() -> None:
    seen: list[tuple[str, bool]] = []
    cache = Cache(PODS, changed=lambda item, is_there: seen.append((name_of(item), is_there)))
    cache.put(item("a", 5))
    cache.put(item("a", 4))
    cache.put(item("a", 5))
    assert seen == [("a", True)]
    assert cache.get("a") == item("a", 5)


def test_a_complete_list_drops_what_is_gone_but_not_what_is_newer_than_the_list() -> None:
    cache = Cache(PODS)
    cache.put(item("old", 1))
    before = cache.uids
    cache.put(item("new", 2))
    cache.sync([item("seen", 3)], before)
    assert cache.uids == {"new", "seen"}


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        yield server


def count(instruments: Instruments, name: str, **labels: str) -> float:
    return instruments.registry.get_sample_value(f"axiom_watch_{name}_total", labels) or 0


async def eventually(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_kopf_feeds_the_caches_and_writes_nothing(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "log_in", lambda: kopf.ConnectionInfo(server=server.url))
    instruments = Instruments(Process.OPERATOR)
    server.add(
        "agenttasks",
        {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": "first", "namespace": "ns"},
        },
    )
    tasks, pods = Cache(AGENT_TASKS), Cache(PODS, "mine=yes")
    async with Api("test", lambda: kopf.ConnectionInfo(server=server.url)) as api:
        watcher = Watcher(api, (tasks, pods), Watches(instruments))
        await watcher.fill()
        assert [name_of(found) for found in tasks] == ["first"]
        running = asyncio.create_task(watcher.run())
        await watcher.wait_until_ready()
        await eventually(lambda: len(server._watches) >= 2)

        pod = server.add("pods", {"metadata": {"name": "one", "namespace": "ns", "labels": {"mine": "yes"}}})
        await eventually(lambda: len(pods) == 1)
        server.change("pods", "ns", "one", status={"phase": "Running"})
        await eventually(lambda: (pods.get(uid_of(pod)) or {}).get("status"))
        server.remove("pods", "ns", "one")
        await eventually(lambda: len(pods) == 0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert server.requests == []
    assert count(instruments, "events", resource="pods") == 3
    assert count(instruments, "restarts", resource="agenttasks") == 1


async def test_a_deletion_that_no_watch_saw_is_noticed_by_the_next_comparison(server: FakeApiServer) -> None:
    server.add("pods", {"metadata": {"name": "ghost", "namespace": "ns"}})
    pods, instruments = Cache(PODS), Instruments(Process.OPERATOR)
    async with Api("test", lambda: kopf.ConnectionInfo(server=server.url)) as api:
        watcher = Watcher(api, (pods,), Watches(instruments))
        await watcher.fill()
        server.remove("pods", "ns", "ghost", silently=True)
        await watcher.resync()
    assert len(pods) == 0
    assert count(instruments, "missed", resource="pods") == 1
    assert count(instruments, "resyncs", outcome="Ok") == 1


async def test_a_comparison_that_fails_is_counted(server: FakeApiServer) -> None:
    instruments = Instruments(Process.OPERATOR)
    async with Api("test", lambda: kopf.ConnectionInfo(server="http://127.0.0.1:1")) as api:
        with pytest.raises(UnavailableError):
            await Watcher(api, (Cache(PODS),), Watches(instruments)).resync()
    assert count(instruments, "resyncs", outcome="Failed") == 1
