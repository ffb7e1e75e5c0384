"""Checkpoints in pods: suspended and resumed, drained, rolled back and forked, with an agent that is scripted."""

from __future__ import annotations

import json

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.command_line import axiom
from e2e.support.kubernetes import Object
from e2e.support.ledgers import sealed_ledger, wait_for_outcome
from e2e.support.world import World, condition, has_condition, is_running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("what agents await is put into their volumes from the node"),
]


def checkpoints_of(item: Object) -> list[Object]:
    found: list[Object] = item["status"].get("checkpoints") or []
    return found


def test_a_suspended_task_goes_on_with_its_files_as_they_were(world: World, cluster: Connection) -> None:
    world.make_class()
    task = world.make_task("kept", "write notes.txt before", "await go.txt", "write greeting.txt hello")
    world.wait("kept", is_running)

    world.kubectl("annotate", "agenttask", "kept", "axiom.dev/checkpoint=first")
    asked = world.wait("kept", lambda item: bool(checkpoints_of(item)))
    assert [one["reason"] for one in checkpoints_of(asked)] == ["Demand"]

    world.kubectl("patch", "agenttask", "kept", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    suspended = world.wait("kept", lambda item: item["status"]["state"] == "Suspended", 120)
    world.wait_no_pods(task, 120)
    assert [one["reason"] for one in checkpoints_of(suspended)] == ["Demand", "Suspend"]
    assert suspended["status"]["suspension"]["since"], "its deadline stands"

    world.kubectl("patch", "agenttask", "kept", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    again = world.wait("kept", lambda item: item["status"]["attempt"] == 2 and is_running(item), 120)
    assert again["status"].get("lostAttempts", 0) == 0
    stood = again["status"]["suspension"]
    assert (stood.get("since"), stood["times"]) == (None, 1)
    assert stood["seconds"] >= 1
    assert again["status"]["restored"]["number"] == checkpoints_of(suspended)[-1]["number"]
    world.let_go(task)
    done = world.wait_complete("kept", 180)
    assert (done["verdict"], done["attempt"], len(done["rounds"])) == ("Pass", 2, 1), done
    bucket = world.control_plane.environment["AXIOM_S3_BUCKET"]
    restored = [one for one in sealed_ledger(cluster, bucket, task, 2) if one["event"] == "restored"]
    assert [one["payload"]["ok"] for one in restored] == [True]


def test_a_drained_pod_leaves_a_checkpoint_from_which_the_task_goes_on(world: World) -> None:
    world.make_class()
    task = world.make_task("drained", "await go.txt", "write greeting.txt hello")
    world.wait("drained", is_running)
    [pod] = world.pods(task)

    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]},
    }
    path = f"/api/v1/namespaces/{world.kubectl.namespace}/pods/{pod['metadata']['name']}/eviction"
    world.kubectl("create", "--raw", path, "-f", "-", document=eviction)

    again = world.wait("drained", lambda item: item["status"]["attempt"] == 2 and is_running(item), 180)
    assert [one["reason"] for one in checkpoints_of(again)] == ["Leaving"]
    assert again["status"]["restored"]["attempt"] == 1
    assert again["status"]["lostAttempts"] == 1
    world.let_go(task)
    assert world.wait_complete("drained", 180)["verdict"] == "Pass"


def test_a_fork_works_on_from_another_tasks_checkpoint_and_is_judged_against_that_ones_base(
    world: World,
) -> None:
    world.make_class()
    world.make_task("first", "write mine.txt yes", "exit 0")
    first = world.wait_complete("first", 180)
    assert first["verdict"] == "Fail"
    [kept] = first["checkpoints"]

    criteria = [
        {"name": "files", "files": {"expect": [{"path": "mine.txt"}, {"path": "greeting.txt"}]}},
        {"name": "scope", "diff": {"allowed": ["mine.txt", "greeting.txt"]}},
    ]
    source = {"checkpoint": {"task": "first", "number": kept["number"]}}
    world.make_task("forked", "write greeting.txt hello", "exit 0", workspace=source, criteria=criteria)
    forked = world.wait_complete("forked", 180)
    assert (forked["verdict"], forked["forkedFrom"]["task"]) == ("Pass", "first"), forked
    assert forked["workspace"]["digest"] == first["workspace"]["digest"]


def test_a_task_that_is_gone_is_forked_out_of_object_storage_by_its_own_namespace_alone(
    world: World, cluster: Connection
) -> None:
    world.make_class()
    settings = world.control_plane.environment
    task = world.make_task("gone", "write mine.txt yes", "exit 0")
    gone = world.wait_complete("gone", 180)
    wait_for_outcome(cluster, settings["AXIOM_S3_BUCKET"], task)
    world.kubectl("delete", "agenttask", "gone")

    keys = {name: settings[name] for name in ("AXIOM_S3_ENDPOINT", "AXIOM_S3_CREDENTIALS")}
    where = ("--from", f"s3://{settings['AXIOM_S3_BUCKET']}", "--namespace", world.kubectl.namespace)
    prompt = "write greeting.txt hello\nexit 0"
    code, said, errors = axiom(
        "fork", "gone", "again", "--prompt", prompt, *where, "--kubeconfig", cluster.kubeconfig, **keys
    )
    assert code == 0, said + errors
    again = world.wait_complete("again", 180)
    assert (again["verdict"], again["forkedFrom"]["task"]) == ("Pass", "gone"), again
    assert again["workspace"]["digest"] == gone["workspace"]["digest"]

    code, rows, errors = axiom("checkpoints", "gone", *where, "--json", **keys)
    assert code == 0, errors
    kept = json.loads(rows.splitlines()[-1])
    stored = {"uid": "00000000-0000-0000-0000-000000000000", "attempt": 1, "digest": kept["digest"]}
    source = {"checkpoint": {"task": "gone", "number": kept["number"], "stored": stored}}
    world.make_task("stranger", workspace=source)
    waiting = world.wait("stranger", has_condition("SandboxReady", "WorkspaceFailed"), 120)
    assert "there is no checkpoint" in condition(waiting, "SandboxReady")["message"]
    world.kubectl.run("delete", "agenttask", "stranger", "--wait=false")


def test_a_rollback_gives_back_the_files_of_its_checkpoint(world: World) -> None:
    world.make_class()
    task = world.make_task(
        "back", "await one.txt", "write state.txt one", "await go.txt", "write greeting.txt hello"
    )
    world.wait("back", is_running)
    world.kubectl("annotate", "agenttask", "back", "axiom.dev/checkpoint=first")
    world.wait("back", lambda item: bool(checkpoints_of(item)))
    world.let_go(task, "one.txt")
    state = world.workspace_on_node(task) / "state.txt"
    wait_until(
        "the agent's second step",
        lambda: None if state.exists() else "there is no state.txt",
        limit_seconds=60,
    )

    world.kubectl("patch", "agenttask", "back", "--type=merge", "-p", '{"spec":{"rollbackTo":1}}')
    world.wait("back", lambda item: item["status"]["attempt"] == 2 and is_running(item), 180)
    assert not (world.workspace_on_node(task) / "state.txt").exists()
    assert not (world.workspace_on_node(task) / "one.txt").exists()
    world.let_go(task, "one.txt")
    world.let_go(task)
    done = world.wait_complete("back", 180)
    assert (done["verdict"], done["rolledBackTo"], done.get("lostAttempts", 0)) == ("Pass", 1, 0), done
