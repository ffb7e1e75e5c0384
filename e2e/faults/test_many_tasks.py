"""More tasks at once than the node has room for: they wait their turn, and none of them waits for another in a circle."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

import pytest

from e2e.cluster.connection import Connection
from e2e.support.audit import audited
from e2e.support.world import SLOW, World, is_running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("its audit log is counted"),
    pytest.mark.usefixtures("keeper"),
]

WRITES_ALLOWED = 12
"""Ten as ever; one says that the pod waits for room, one that it does no longer."""


def test_tasks_that_fill_the_node_to_the_brim_all_get_their_verdicts(
    world: World, cluster: Connection
) -> None:
    play(world, cluster, int(os.environ.get("E2E_TASKS", "15")), 300)


@pytest.mark.campaign
def test_fifty_tasks_at_once_all_get_their_verdicts(world: World, cluster: Connection) -> None:
    play(world, cluster, 50, 900)


@pytest.mark.campaign
def test_agents_that_use_up_a_quota_leave_it_to_their_verifiers(world: World) -> None:
    world.make_class()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"pods": "2"}},
    }
    world.kubectl.create(quota)
    names = ("one", "two", "three")
    world.make_tasks(names, limits=limits("200m") | {"maxRounds": 2})
    statuses = [world.wait_complete(name, 400) for name in names]
    world.kubectl.delete("resourcequota", "few")

    assert {(item["verdict"], item["attempt"], item.get("lostAttempts", 0)) for item in statuses} == {
        ("Pass", 1, 0)
    }
    told = {item["reason"] for name in names for item in world.told(name)}
    assert {"CreationRefused", "MadeRoom"} <= told


def play(world: World, cluster: Connection, count: int, limit_seconds: float) -> None:
    """Agents ask for processors so that the node is full to the last thousandth: no verifier finds any of its own."""
    allocatable = cpu_millis(json.loads(world.kubectl("get", "node", cluster.node, "-o", "json")))
    world.make_class()
    probe = world.make_task("probe", *SLOW, limits=limits("400m"))
    world.wait("probe", is_running)
    [pod] = world.pods(probe)
    fixed = requested_millis(pod) - 100
    world.let_go(probe)
    world.wait_complete("probe")
    world.wait_no_pods(probe)
    each = allocatable // 8
    wish = 4 * (each - fixed)
    assert wish > 0, (allocatable, fixed)

    names = [f"task-{number:02}" for number in range(count)]
    world.make_tasks(names, limits=limits(f"{wish}m"))
    statuses = {name: world.wait_complete(name, limit_seconds) for name in names}

    bad = {
        name: status
        for name, status in statuses.items()
        if (status["verdict"], status["attempt"]) != ("Pass", 1)
    }
    assert not bad, bad
    events = json.loads(world.kubectl("get", "events", "-o", "json"))["items"]
    waited = {item["involvedObject"]["name"] for item in events if item["reason"] == "Unschedulable"}
    assert len(waited & set(names)) >= count - 8 - 4, waited  # some find a place that was just left
    writes = writes_in(cluster, world.kubectl.namespace)
    made = Counter(
        name for verb, resource, name, code in writes if (verb, resource, code) == ("create", "pods", 201)
    )
    assert set(made.values()) == {1}, made
    assert len(made) == 2 * (count + 1)
    assert len(writes) <= WRITES_ALLOWED * (count + 1), Counter(
        (verb, resource) for verb, resource, *_ in writes
    )


def limits(cpu: str) -> dict[str, Any]:
    return {"deadline": "20m", "maxRounds": 1, "resources": {"cpu": cpu, "memory": "64Mi", "storage": "64Mi"}}


def cpu_millis(node: dict[str, Any]) -> int:
    text = node["status"]["allocatable"]["cpu"]
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def requested_millis(pod: dict[str, Any]) -> int:
    """What a pod asks for in all."""
    containers = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
    asked = [container["resources"]["requests"]["cpu"] for container in containers]
    return sum(int(text.removesuffix("m")) * (1 if text.endswith("m") else 1000) for text in asked)


def writes_in(cluster: Connection, namespace: str) -> list[tuple[str, str, str, int]]:
    """Verb, resource, name and answer of each write of operator and gateway in a namespace, Events apart."""
    return [
        (
            event["verb"],
            event["objectRef"]["resource"],
            event["objectRef"].get("name", ""),
            event["responseStatus"]["code"],
        )
        for event in audited(cluster)
        if event.get("userAgent", "").startswith("axiom")
        and event["verb"] not in ("get", "list", "watch")
        and event.get("objectRef", {}).get("namespace") == namespace
        and event["objectRef"]["resource"] not in ("events", "leases")
    ]
