"""Agents that misbehave, in real pods: each task ends properly, says why, and leaves no pod behind."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.support.control_plane import ControlPlane
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.world import SMALL, World

pytestmark = pytest.mark.e2e


@pytest.fixture
def hostile(
    kubectl: Kubectl, control_plane: ControlPlane, agent_image: Callable[[str], str]
) -> Iterator[World]:
    world = World(kubectl, f"hostile-{uuid.uuid4().hex[:8]}", agent_image("hostile"), control_plane)
    yield world
    kubectl.run("delete", "agentclass", world.class_name, "--ignore-not-found")


def reason(status: Object) -> str:
    [complete] = [item for item in status["conditions"] if item["type"] == "Complete"]
    return str(complete["reason"])


def run(world: World, how: str, limit_seconds: float = 120, **limits: Any) -> Object:
    """A task of an agent that misbehaves in this way, until it is complete and its pods are gone; its status."""
    world.make_class(processes=64)
    task = world.make_task(
        how,
        how,
        criteria=[{"name": "nothing", "diff": {"requireChange": False}}],
        limits={"deadline": "5m", "maxRounds": 1, "resources": SMALL, **limits},
    )
    status = world.wait_complete(how, limit_seconds)
    world.wait_no_pods(task)
    return status


def test_an_agent_that_ignores_sigterm_is_ended_by_the_deadline(hostile: World) -> None:
    status = run(hostile, "linger", deadline="12s")
    assert (status["verdict"], reason(status)) == ("Fail", "DeadlineExceeded"), status
    assert "limits.deadline" in status["message"]


def test_an_agent_that_ignores_sigterm_is_ended_by_its_silence(hostile: World) -> None:
    status = run(hostile, "linger", idle="5s")
    assert status["claim"]["says"] == "Silent", status
    assert "silent for longer than limits.idle" in status["claim"]["text"]


def test_a_gibibyte_on_the_terminal_is_kept_in_part_and_the_rest_declared(hostile: World) -> None:
    status = run(hostile, "flood", limit_seconds=240)
    assert (status["verdict"], status["claim"]["says"], status["attempt"]) == ("Pass", "Done", 1), status
    [gap] = [record["payload"] for record in hostile.events("flood") if record["event"] == "gap"]
    assert (gap["what"], gap["end"]) == ("recording", gap["start"] + gap["size"])
    assert gap["size"] > 900 * 2**20


def test_an_agent_that_fills_its_disk_is_told_from_one_that_is_evicted(hostile: World) -> None:
    status = run(hostile, "fill")
    assert (status["verdict"], reason(status), status["attempt"]) == ("Fail", "StorageExceeded", 1), status
    assert "limits.resources.storage" in status["message"]


def test_an_agent_that_forks_without_end_meets_its_class_s_ceiling(hostile: World) -> None:
    status = run(hostile, "fork")
    assert (status["verdict"], reason(status)) == ("Fail", "ProcessLimitExceeded"), status
    assert "ceilings.processes" in status["message"]


def test_an_agent_that_leaves_at_once_is_judged_by_what_it_left(hostile: World) -> None:
    status = run(hostile, "leave")
    assert (status["verdict"], status["claim"]["exitCode"]) == ("Pass", 3), status
    assert status["claimDisagreement"]
