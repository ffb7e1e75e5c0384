"""A node's kubelet is away for a while, or the whole node ends and boots, with tasks at work on it."""

from __future__ import annotations

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.ledgers import sealed_ledger
from e2e.support.node import the_node
from e2e.support.world import SLOW, World, has_condition, is_running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("its node is crashed and started again"),
    pytest.mark.usefixtures("keeper"),
]


def test_a_kubelet_that_is_started_again_loses_nothing(world: World) -> None:
    node = the_node()
    world.make_class()
    task = world.make_task("slow", *SLOW)
    world.wait("slow", is_running)

    node.stop_kubelet()
    world.let_go(task)
    node.start_kubelet()
    status = world.wait_complete("slow", 180)

    assert (status["verdict"], status["attempt"], status.get("lostAttempts", 0)) == ("Pass", 1, 0), status
    world.wait_no_pods(task, 120)


def test_a_node_that_crashed_and_booted_costs_an_attempt_and_no_verdict(
    world: World, cluster: Connection
) -> None:
    """One task's agent is at work, another's waits for its verdict: that is made last, as it does not wait for long."""
    node = the_node()
    world.make_class()
    bucket = world.control_plane.environment["AXIOM_S3_BUCKET"]
    working = world.make_task("working", *SLOW)
    world.wait("working", is_running)
    judged = world.make_task("judged")
    world.wait("judged", has_condition("Running", "Verifying"))

    node.crash()
    node.boot()
    world.wait("working", lambda item: item["status"]["attempt"] == 2 and is_running(item), 180)
    world.let_go(working)
    status = world.wait_complete("working", 180)

    assert (status["verdict"], status["attempt"], status["lostAttempts"]) == ("Pass", 2, 1), status
    assert any(
        item["reason"] == "NodeLost" and "attempt 1 was lost" in item["message"]
        for item in world.told("working")
    ), world.told("working")
    other = world.wait_complete("judged", 180)
    assert other["verdict"] == "Pass", other

    def not_closed() -> str | None:
        records = sealed_ledger(cluster, bucket, working, 1)
        return None if records and records[-1]["event"] == "closed" else f"{len(records)} records"

    wait_until("the lost attempt's ledger to be ended", not_closed, limit_seconds=120)
    records = sealed_ledger(cluster, bucket, working, 1)
    [gap] = [record["payload"] for record in records if record["event"] == "gap"]
    assert (gap["what"], gap["start"]) == ("ledger", len(records) - 1), records
    assert "not yet in storage when it was lost" in gap["reason"]
    for task in (working, judged):
        world.wait_no_pods(task, 120)
