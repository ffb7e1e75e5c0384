"""The gateway is killed while it seals: every durable event is in object storage once, and none is missing."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from e2e.cluster.connection import Connection
from e2e.support.evidence import check_evidence
from e2e.support.faulty_path import Fault, FaultyPath
from e2e.support.keeping import Keeper
from e2e.support.world import World, is_complete

pytestmark = pytest.mark.e2e

STORAGE_DELAY_SECONDS = 0.03
"""Sealing takes so much longer that most kills are in the middle of it."""
STEPS = ("say working", "write greeting.txt hello", "write more/of/it.txt text", "exit 0")


@pytest.mark.parametrize(
    ("tasks", "kills"),
    [pytest.param(3, 4, id="short"), pytest.param(16, 60, id="long", marks=pytest.mark.campaign)],
)
def test_every_durable_event_is_sealed_once(
    world: World,
    cluster: Connection,
    keeper: Keeper,
    storage_path: FaultyPath,
    chance: random.Random,
    tmp_path: Path,
    tasks: int,
    kills: int,
) -> None:
    gateway = world.control_plane.gateway
    world.make_class()
    storage_path.set(Fault.SLOW, STORAGE_DELAY_SECONDS)
    waiting = [f"task-{number}" for number in range(tasks)]
    names = list(waiting)
    for _ in range(kills):
        while waiting and _unfinished(world, names) < 4:
            world.make_task(waiting.pop(0), *STEPS)
        gateway.wait_until_ready()
        time.sleep(chance.uniform(0, 1.5))  # the moment of the kill is what is being tried
        keeper.kill(gateway)
    for name in waiting:
        world.make_task(name, *STEPS)
    storage_path.set(Fault.NONE)
    statuses = {name: world.wait_complete(name, 180) for name in names}

    assert {name: status["verdict"] for name, status in statuses.items()} == dict.fromkeys(names, "Pass")
    assert {status["attempt"] for status in statuses.values()} == {1}
    assert keeper.exits_of(gateway).count(-9) == kills
    bucket = world.control_plane.environment["AXIOM_S3_BUCKET"]
    for name in names:
        task = world.kubectl.get("agenttask", name)
        assert task
        evidence = check_evidence(cluster, bucket, task, tmp_path)
        assert all(records[-1]["event"] == "closed" for records in evidence.records.values())


def _unfinished(world: World, names: list[str]) -> int:
    tasks = [world.kubectl.get("agenttask", name) for name in names]
    return sum(1 for task in tasks if task and not is_complete(task))
