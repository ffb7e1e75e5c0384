"""The kubelet evicts a sandbox, in earnest: its node is short of memory for a moment, or a volume of it overflows."""

from __future__ import annotations

import pytest

from e2e.cluster.connection import Connection
from e2e.support.ledgers import sealed_ledger
from e2e.support.node import the_node
from e2e.support.world import SLOW, World, is_running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("its kubelet is given other settings, and volumes are filled from the node"),
    pytest.mark.usefixtures("keeper"),
]

MOST_OF_ANY_MACHINE = "95%"


def check(world: World, cluster: Connection, name: str, said: str) -> None:
    """The second attempt passes, and whoever looks finds the kubelet's words, and the first attempt's evidence."""
    task = world.wait(name, lambda item: item["status"]["attempt"] == 2 and is_running(item), 240)
    world.let_go(task)
    status = world.wait_complete(name, 180)
    assert (status["verdict"], status["attempt"], status["lostAttempts"]) == ("Pass", 2, 1), status
    told = [(item["reason"], item["message"]) for item in world.told(name)]
    assert any(
        reason == "Evicted" and said in message and "attempt 1 was lost" in message
        for reason, message in told
    ), told
    bucket = world.control_plane.environment["AXIOM_S3_BUCKET"]
    events = [record["event"] for record in sealed_ledger(cluster, bucket, task, 1)]
    assert "user_msg" in events
    assert events[-1] == "closed"
    world.wait_no_pods(task, 120)


def test_a_sandbox_whose_volume_overflows_is_evicted_and_its_task_goes_on(
    world: World, cluster: Connection
) -> None:
    """The supervisor ends an agent that fills what it may write; this is a volume that only the trusted side writes."""
    world.make_class()
    task = world.make_task("disk", *SLOW)
    world.wait("disk", is_running)
    [pod] = world.pods(task)

    volumes = the_node().pod_folder(pod["metadata"]["uid"]) / "volumes" / "kubernetes.io~empty-dir"
    (volumes / "run" / "too-much").write_bytes(b"x" * 3 * 2**20)

    world.wait("disk", lambda item: item["status"]["attempt"] == 2, 240)
    check(world, cluster, "disk", 'EmptyDir volume "run" exceeds the limit')


@pytest.mark.campaign
def test_a_sandbox_on_a_node_that_is_short_of_memory_is_evicted_and_its_task_goes_on(
    world: World, cluster: Connection
) -> None:
    """What counts as short is raised until it is so: the machine's memory is never filled."""
    world.make_class()
    world.make_task("memory", *SLOW)
    world.wait("memory", is_running)

    eviction = {
        "evictionHard": {"memory.available": MOST_OF_ANY_MACHINE},
        "evictionPressureTransitionPeriod": "1s",
    }
    with the_node().kubelet_with(**eviction):
        world.wait("memory", lambda item: item["status"]["attempt"] == 2, 240)

    check(world, cluster, "memory", "The node was low on resource: memory")
