"""A node's kubelet is away for a while, or the whole node ends and boots, with tasks at work on it."""

from __future__ import annotations

import pytest

from e2e.support.node import the_node
from e2e.support.world import World, is_running

pytestmark = pytest.mark.e2e

SLOW = ("say begun", "await go.txt", "write greeting.txt hello", "exit 0")


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


def test_a_node_that_crashed_and_booted_costs_an_attempt_and_no_verdict(world: World) -> None:
    node = the_node()
    world.make_class()
    task = world.make_task("crashed", *SLOW)
    world.wait("crashed", is_running)

    node.crash()
    node.boot()
    again = world.wait("crashed", lambda item: item["status"]["attempt"] == 2 and is_running(item), 180)
    world.let_go(task)
    status = world.wait_complete("crashed", 180)

    assert again["status"]["lostAttempts"] == 1
    assert (status["verdict"], status["attempt"], status["lostAttempts"]) == ("Pass", 2, 1), status
    world.wait_no_pods(task, 120)
