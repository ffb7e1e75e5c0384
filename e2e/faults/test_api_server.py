"""The API server is away: agents run on, nothing is done twice, and every verdict is right once it is back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.layout import Cluster
from e2e.cluster.outages import without_api_server
from e2e.cluster.waiting import wait_until
from e2e.support.audit import audited
from e2e.support.doctor import troubles
from e2e.support.evidence import check_evidence
from e2e.support.keeping import Keeper
from e2e.support.world import World, is_running

pytestmark = pytest.mark.e2e

VERDICTS = {"working": "Pass", "wrong": "Fail", "waiting": "Pass", "new": "Pass"}
LEASE_SECONDS = 10
"""After so long without the API server the operator has lost its Lease."""


@pytest.mark.parametrize(
    "seconds", [pytest.param(12, id="short"), pytest.param(60, id="long", marks=pytest.mark.campaign)]
)
def test_agents_run_on_and_nothing_is_done_twice(
    world: World, cluster: Connection, keeper: Keeper, tmp_path: Path, seconds: float
) -> None:
    """One task ends its work meanwhile, one does so wrongly, one goes on afterwards, and one has only just been made."""
    machine, operator = Cluster(cluster.name), world.control_plane.operator
    world.make_class()
    files = {"working": "greeting.txt", "wrong": "other.txt", "waiting": "greeting.txt"}
    tasks = {
        name: world.make_task(name, "await go.txt", f"write {file} hello", "await end.txt", "exit 0")
        for name, file in files.items()
    }
    for name in tasks:
        world.wait(name, is_running)
    workspaces = {name: world.workspace_on_node(task) for name, task in tasks.items()}
    world.make_task("new")

    with without_api_server(machine):
        began = time.monotonic()
        assert troubles(cluster) == {"API server": ["ApiServerAway"]}
        for name, file in (("working", "greeting.txt"), ("wrong", "other.txt")):
            (workspaces[name] / "go.txt").touch()
            wait_until(
                f"the agent of {name} to go on",
                lambda path=workspaces[name] / file: None if path.exists() else "not yet",
                limit_seconds=60,
            )
            (workspaces[name] / "end.txt").touch()
        wait_until(
            "the outage to last",
            lambda: None if time.monotonic() - began >= seconds else "it goes on",
            limit_seconds=seconds + 10,
        )
        if seconds > LEASE_SECONDS:
            wait_until(
                "the operator to end, as its Lease may be somebody else's",
                lambda: None if keeper.exits_of(operator) else operator.log.read_text()[-300:],
                limit_seconds=60,
            )
    for file in ("go.txt", "end.txt"):
        (workspaces["waiting"] / file).touch()
    statuses = {name: world.wait_complete(name, 180) for name in VERDICTS}

    assert {name: status["verdict"] for name, status in statuses.items()} == VERDICTS
    assert {status["attempt"] for status in statuses.values()} == {1}
    assert set(keeper.exits_of(operator)) == {1}
    assert keeper.exits_of(world.control_plane.gateway) == [], "the gateway has work without the API server"
    created = created_pods(cluster, world.kubectl.namespace)
    assert len(created) == len(set(created)) == 2 * len(VERDICTS), created
    for name in VERDICTS:
        task = world.kubectl.get("agenttask", name)
        assert task
        check_evidence(cluster, world.control_plane.environment["AXIOM_S3_BUCKET"], task, tmp_path)


def created_pods(cluster: Connection, namespace: str) -> list[str]:
    """Names of the pods that were created in a namespace, once for each time."""
    return [
        event["objectRef"]["name"]
        for event in audited(cluster)
        if event["verb"] == "create"
        and event["stage"] == "ResponseComplete"
        and event["objectRef"]["resource"] == "pods"
        and "subresource" not in event["objectRef"]
        and event["objectRef"].get("namespace") == namespace
        and event["responseStatus"]["code"] == 201
    ]
