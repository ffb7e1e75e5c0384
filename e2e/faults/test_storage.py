"""Object storage is away, slow, and answers 500: tasks wait and say why, nothing is lost, every verdict is right."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.evidence import check_evidence
from e2e.support.faulty_path import Fault, FaultyPath
from e2e.support.keeping import Keeper
from e2e.support.kubernetes import Object
from e2e.support.world import World, condition, is_running

pytestmark = pytest.mark.e2e

VERDICTS = {"begun": "Pass", "working": "Pass", "wrong": "Fail", "new": "Pass"}


def waits_for_storage(task: Object) -> bool:
    """Some condition names the cause, for a person."""
    found = [c for c in task.get("status", {}).get("conditions", ()) if c["reason"] == "StorageUnavailable"]
    return any("object store" in c["message"] for c in found)


@pytest.mark.parametrize(
    "seconds", [pytest.param(5, id="short"), pytest.param(60, id="long", marks=pytest.mark.campaign)]
)
def test_tasks_wait_for_object_storage_and_lose_nothing(
    world: World,
    cluster: Connection,
    keeper: Keeper,
    storage_path: FaultyPath,
    tmp_path: Path,
    seconds: float,
) -> None:
    """A task that has just begun, one that ends its work meanwhile, one that fails, and one that comes meanwhile."""
    world.make_class()
    gateway = world.control_plane.gateway
    files = {"begun": "greeting.txt", "working": "greeting.txt", "wrong": "other.txt"}
    tasks = {
        name: world.make_task(name, "say working", "await go.txt", f"write {file} hello", "exit 0")
        for name, file in files.items()
    }
    for name in tasks:
        world.wait(name, is_running)

    storage_path.set(Fault.AWAY)
    began = time.monotonic()
    for name in ("working", "wrong"):
        world.let_go(tasks[name])
    world.make_task("new")
    keeper.kill(gateway)  # one that starts while storage is away must not give up
    for name in ("working", "new"):
        world.wait(name, waits_for_storage)
    assert world.diagnosis("working") == ["StorageUnavailable"]
    wait_until("the outage to last", lambda: _left(began + seconds), limit_seconds=seconds + 5)
    for name in VERDICTS:
        task = world.kubectl.get("agenttask", name)
        assert task
        assert "verdict" not in task["status"], "nothing is decided without evidence"
    assert storage_path.hit

    storage_path.set(Fault.ERRORS)
    wait_until("an answer of 500", lambda: None if storage_path.hit else "none", limit_seconds=60)
    world.let_go(tasks["begun"])
    time.sleep(seconds / 4)
    storage_path.set(Fault.SLOW, 0.2)

    statuses = {name: world.wait_complete(name, 180) for name in VERDICTS}
    assert {name: status["verdict"] for name, status in statuses.items()} == VERDICTS
    for name, status in statuses.items():
        assert status["attempt"] == 1
        assert "could not be sealed" not in status["message"]
        assert not waits_for_storage({"status": status}), "what is over is not said any more"
        task = world.kubectl.get("agenttask", name)
        assert task
        check_evidence(cluster, world.control_plane.environment["AXIOM_S3_BUCKET"], task, tmp_path)
    described = world.kubectl("describe", "agenttask", "working")
    assert "StorageUnavailable" in described
    assert condition({"status": statuses["working"]}, "Verified")["status"] == "True"
    assert keeper.exits_of(gateway) == [-9], "the gateway waits; it does not end"


def _left(until: float) -> str | None:
    return None if time.monotonic() >= until else "it goes on"
