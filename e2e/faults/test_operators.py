"""The operator is replaced while tasks are at work, or is one of two; and one that was paused comes back too late."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.binaries import binary
from e2e.cluster.connection import Connection
from e2e.cluster.shell import run
from e2e.cluster.waiting import wait_until
from e2e.support.audit import audited
from e2e.support.control_plane import Program
from e2e.support.images import Images
from e2e.support.kubernetes import Object
from e2e.support.world import SLOW, World, is_running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("its audit log is counted"),
]


@pytest.fixture
def second(world: World, tmp_path: Path) -> Iterator[Program]:
    """An operator that waits for the first one's Lease; afterwards the first one is at work again."""
    first = world.control_plane.operator
    program = world.control_plane.another_operator(tmp_path, "operator-2")
    yield program
    if program.process is not None:
        if program.process.poll() is None:
            program.process.send_signal(signal.SIGCONT)
            program.stop()
        program.process = None
    if first.process is None or first.process.poll() is not None:
        first.process = None
        first.start()
    first.wait_until_ready()


@pytest.fixture
def newer_images(cluster: Connection, images: Images) -> Iterator[dict[str, str]]:
    """The same images under other names, as a new version of the installation would have them."""
    names = {
        "AXIOM_SUPERVISOR_IMAGE": ("axiom.dev/newer-sandbox:1", images.sandbox),
        "AXIOM_VERIFIER_IMAGE": ("axiom.dev/newer-verifier:1", images.verifier),
    }
    for new, old in names.values():
        _ctr(cluster, "tag", "--force", old, new)
    yield {variable: new for variable, (new, _) in names.items()}
    for new, _ in names.values():
        _ctr(cluster, "remove", new)


def _ctr(cluster: Connection, *arguments: str) -> None:
    run(
        [binary("ctr"), "--address", cluster.containerd_socket, "--namespace", "k8s.io", "images", *arguments]
    )


def pods_made(cluster: Connection, namespace: str) -> list[str]:
    """The name of each pod that an operator created in this namespace, as often as it did."""
    return [
        event["objectRef"]["name"]
        for event in audited(cluster)
        if event["verb"] == "create"
        and event.get("userAgent", "").startswith("axiom")
        and event.get("objectRef", {}).get("namespace") == namespace
        and event["objectRef"]["resource"] == "pods"
        and event["responseStatus"]["code"] == 201
    ]


def images_of(pod: Object) -> set[str]:
    return {item["image"] for kind in ("initContainers", "containers") for item in pod["spec"].get(kind, ())}


@pytest.mark.campaign
def test_a_newer_operator_goes_on_with_the_pods_of_the_older_one(
    world: World, cluster: Connection, second: Program, newer_images: dict[str, str]
) -> None:
    world.make_class()
    tasks = {name: world.make_task(name, *SLOW) for name in ("one", "two")}
    for name in tasks:
        world.wait(name, is_running)
    before = {pod["metadata"]["uid"] for task in tasks.values() for pod in world.pods(task)}
    second.environment = {**second.environment, **newer_images}

    second.start()
    assert world.control_plane.operator.stop() == 0
    second.wait_until_ready()
    world.make_task("three", "write greeting.txt hello")
    assert before <= {pod["metadata"]["uid"] for task in tasks.values() for pod in world.pods(task)}
    for task in tasks.values():
        world.let_go(task)
    statuses = {name: world.wait_complete(name, 120) for name in (*tasks, "three")}

    assert {name: (item["verdict"], item["attempt"]) for name, item in statuses.items()} == dict.fromkeys(
        statuses, ("Pass", 1)
    )
    assert not any(item.get("lostAttempts") for item in statuses.values())
    made = Counter(pods_made(cluster, world.kubectl.namespace))
    assert set(made.values()) == {1}, made
    assert len(made) == 2 * len(statuses)


def test_an_operator_that_was_paused_past_its_lease_does_nothing_stale(
    world: World, cluster: Connection, second: Program, newer_images: dict[str, str]
) -> None:
    """The one that takes over is a newer version, with other images: it goes on with the pods that there are."""
    second.environment = {**second.environment, **newer_images}
    pause_in_the_middle(world, cluster, second, random.Random(20261121), "paused")


@pytest.mark.campaign
def test_whenever_an_operator_is_paused_nothing_is_done_twice(
    world: World, cluster: Connection, second: Program
) -> None:
    for seed in range(12):
        pause_in_the_middle(world, cluster, second, random.Random(seed), f"paused-{seed}")
        first = world.control_plane.operator
        first.process = None
        second.stop()
        first.start()
        first.wait_until_ready()


def pause_in_the_middle(
    world: World, cluster: Connection, second: Program, chance: random.Random, name: str
) -> None:
    """SIGSTOP for the operator at work while its tasks change from moment to moment; another takes over; SIGCONT."""
    first = world.control_plane.operator
    assert first.process is not None
    paused = first.process
    world.make_class()
    names = [f"{name}-{number}" for number in range(3)]
    for each in names:
        world.make_task(each)
    time.sleep(chance.uniform(0.2, 3))  # the moment of the pause is what is being tried
    os.kill(paused.pid, signal.SIGSTOP)
    try:
        second.start()
        second.wait_until_ready(120)
        statuses = {each: world.wait_complete(each, 120) for each in names}
        for each in names:
            world.wait_no_pods(world.kubectl.get("agenttask", each) or {})
        before = versions(world)
    finally:
        os.kill(paused.pid, signal.SIGCONT)

    wait_until(
        "the first operator to find that it is no longer the one",
        lambda: None if paused.poll() is not None else "it runs",
        limit_seconds=60,
    )
    assert paused.returncode == 1
    assert "Lease" in first.log.read_text().splitlines()[-1]
    assert versions(world) == before
    assert {(item["verdict"], item["attempt"]) for item in statuses.values()} == {("Pass", 1)}, statuses
    made = Counter(pods_made(cluster, world.kubectl.namespace))
    assert set(made.values()) == {1}, made


def versions(world: World) -> dict[str, str]:
    """Every task's and pod's version: the same again means that nothing was written."""
    items = json.loads(world.kubectl("get", "agenttasks,pods", "-o", "json"))["items"]
    return {
        f"{item['kind']} {item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items
    }
