"""Agents that misbehave, in real pods, all at the same time: each task ends properly, says why, and leaves no pod behind."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.cluster.connection import Connection
from e2e.support.control_plane import ControlPlane
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.world import SMALL, World

pytestmark = pytest.mark.e2e

LIMIT_SECONDS = 300
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "overdue": ("linger", {"deadline": "20s"}),
    "silent": ("linger", {"idle": "5s"}),
    "flood": ("flood", {}),
    "fill": ("fill", {}),
    "fork": ("fork", {}),
    "leave": ("leave", {}),
}
"""How the agent misbehaves, and the task's limits, by the task's name."""


@pytest.fixture(scope="module")
def hostile(
    cluster: Connection, control_plane: ControlPlane, agent_image: Callable[[str], str]
) -> Iterator[World]:
    """All tasks, begun."""
    kubectl = Kubectl(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    kubectl.create_namespace()
    world = World(kubectl, f"hostile-{uuid.uuid4().hex[:8]}", agent_image("hostile"), control_plane)
    world.make_class(processes=64)
    for name, (how, limits) in TASKS.items():
        world.make_task(
            name,
            how,
            criteria=[{"name": "nothing", "diff": {"requireChange": False}}],
            limits={"deadline": "10m", "maxRounds": 1, "resources": SMALL, **limits},
        )
    yield world
    kubectl.run("delete", "agentclass", world.class_name, "--ignore-not-found")
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


def reason(status: Object) -> str:
    [complete] = [item for item in status["conditions"] if item["type"] == "Complete"]
    return str(complete["reason"])


def outcome(world: World, name: str) -> Object:
    """The status of a task once it is complete and its pods are gone."""
    status = world.wait_complete(name, LIMIT_SECONDS)
    task = world.kubectl.get("agenttask", name)
    assert task
    world.wait_no_pods(task)
    return status


def test_an_agent_that_ignores_sigterm_is_ended_by_the_deadline(hostile: World) -> None:
    status = outcome(hostile, "overdue")
    assert (status["verdict"], reason(status)) == ("Fail", "DeadlineExceeded"), status
    assert "limits.deadline" in status["message"]


def test_an_agent_that_ignores_sigterm_is_ended_by_its_silence(hostile: World) -> None:
    status = outcome(hostile, "silent")
    assert status["claim"]["says"] == "None", status
    assert "silent for longer than limits.idle" in status["claim"]["text"]


def test_a_gibibyte_on_the_terminal_is_kept_in_part_and_the_rest_declared(hostile: World) -> None:
    status = outcome(hostile, "flood")
    assert (status["verdict"], status["claim"]["says"], status["attempt"]) == ("Pass", "Success", 1), status
    records = [record for record in hostile.events("flood") if record["event"] != "terminal"]
    gaps = [record["payload"] for record in records if record["event"] == "gap"]
    assert len(gaps) == 1, records
    [gap] = gaps
    assert (gap["what"], gap["end"]) == ("recording", gap["start"] + gap["size"])
    assert gap["size"] > 900 * 2**20


def test_an_agent_that_fills_its_disk_is_told_from_one_that_is_evicted(hostile: World) -> None:
    status = outcome(hostile, "fill")
    assert (status["verdict"], reason(status), status["attempt"]) == ("Fail", "StorageExceeded", 1), status
    assert "limits.resources.storage" in status["message"]


def test_an_agent_that_forks_without_end_meets_its_class_s_ceiling(hostile: World) -> None:
    status = outcome(hostile, "fork")
    assert (status["verdict"], reason(status)) == ("Fail", "ProcessLimitExceeded"), status
    assert "ceilings.processes" in status["message"]


def test_an_agent_that_leaves_at_once_is_judged_by_what_it_left(hostile: World) -> None:
    status = outcome(hostile, "leave")
    assert (status["verdict"], status["claim"]["exitCode"]) == ("Pass", 3), status
    assert status["claimDisagreement"]
