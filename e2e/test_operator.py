"""Operator and gateway against a real cluster: the ordinary life of a task, its faults, and bad input that is mended."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.audit import audited
from e2e.support.kubernetes import Object
from e2e.support.world import World, condition, has_condition, is_complete, is_running

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("E2E_OPERATOR_KILLS", "6"))
"""How often the operator is killed; 20 in the long form."""
SEED = int(os.environ.get("E2E_SEED", "20261121"))
WRITES_ALLOWED = 10


def writes_for(cluster: Connection, namespace: str) -> list[Object]:
    """The operator's and the gateway's writes in a namespace, Events apart."""
    return [
        event
        for event in audited(cluster)
        if event.get("userAgent", "").startswith(("axiom", "kopf"))
        and event["verb"] not in ("get", "list", "watch")
        and event.get("objectRef", {}).get("namespace") == namespace
        and event["objectRef"]["resource"] not in ("events", "leases")
    ]


def read(url: str, token: str, **headers: str) -> str:
    request = Request(url, headers={"Authorization": f"Bearer {token}", **headers})
    with urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.hermetic("counts writes in the audit log")
def test_a_task_passes_with_few_writes_and_is_told_in_events(world: World, cluster: Connection) -> None:
    world.make_class()
    task = world.make_task("hello", "say working", "write greeting.txt hello", "exit 0")

    status = world.wait_complete("hello")

    assert (status["state"], status["verdict"], status["claim"]["says"]) == ("Complete", "Pass", "Success")
    assert condition({"status": status}, "Isolated")["status"] == "True"
    assert status["ledger"]["records"] > 0
    world.wait_no_pods(task)
    writes = writes_for(cluster, world.kubectl.namespace)
    counted = Counter((event["verb"], event["objectRef"]["resource"]) for event in writes)
    assert len(writes) <= WRITES_ALLOWED, counted
    assert not any(event["userAgent"].startswith("kopf") for event in writes)
    described = world.kubectl("describe", "agenttask", "hello")
    assert "Pass: every hard criterion passed in round 1" in described
    counted_as = f'agent_class="{world.class_name}",reason="Passed",verdict="Pass"}} '
    wait_until(
        "the outcome to be counted",
        lambda: None if counted_as in world.control_plane.operator.get("/metrics") else "not yet",
        limit_seconds=30,
    )
    assert f"{counted_as}1.0" in world.control_plane.operator.get("/metrics")


def test_whoever_may_get_the_task_reads_its_events_diff_and_recording(world: World) -> None:
    world.make_class()
    task = world.make_task("shown", "say seen", "write greeting.txt hello", "exit 0")
    world.wait_complete("shown")
    world.kubectl("create", "serviceaccount", "reader")
    token = world.kubectl("create", "token", "reader").strip()
    base = f"{world.control_plane.gateway_url}/v1/tasks/{world.kubectl.namespace}/shown"
    with pytest.raises(HTTPError, match="403"):
        read(f"{base}/events", token)
    world.kubectl("create", "role", "reader", "--verb=get", "--resource=agenttasks.axiom.dev")
    world.kubectl(
        "create", "rolebinding", "reader", "--role=reader",
        f"--serviceaccount={world.kubectl.namespace}:reader",
    )  # fmt: skip

    def unread() -> str | None:
        """The API server's authorizer learns of a role a moment after it was made."""
        try:
            read(f"{base}/events", token)
        except HTTPError as error:
            return str(error)
        return None

    wait_until("the role to hold", unread, limit_seconds=30)
    records = [json.loads(line) for line in read(f"{base}/events", token).splitlines()]
    address = f"{task['metadata']['uid']}/1/agent/3"
    after = read(f"{base}/events", token, **{"Accept": "text/event-stream", "Last-Event-ID": address})

    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert records[-1]["event"] == "closed"
    assert after.startswith(f"id: {task['metadata']['uid']}/1/agent/4\ndata: {{")
    assert "+hello" in read(f"{base}/diff", token)
    assert "seen" in read(f"{base}/recording", token)
    with pytest.raises(HTTPError, match="401"):
        read(f"{base}/events", "not-a-token")


def test_a_class_that_does_not_exist_is_named_and_waited_for(world: World) -> None:
    world.make_task("early")
    waiting = world.wait("early", has_condition("Accepted", "ClassNotFound"))
    assert world.class_name in condition(waiting, "Accepted")["message"]

    world.make_class()

    assert world.wait_complete("early")["verdict"] == "Pass"


SERVER = """\
import http.server, os


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())


http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_missing_profile_is_waited_for_and_its_criteria_are_decided_in_the_pod(world: World) -> None:
    world.make_class()
    server = {
        "argv": ["python3", "server.py"],
        "port": 18080,
        "requests": [{"path": "/say/$(NONCE)", "bodyMatches": ["^/say/$(NONCE)$"]}],
    }
    criteria = [
        {"name": "greeting", "files": {"expect": [{"path": "greeting.txt"}]}},
        {"name": "server", "probe": server},
    ]
    world.make_task(
        "profiled",
        criteria=criteria,
        workspace={"files": [{"path": "server.py", "content": SERVER}]},
        verification={"profiles": ["code"]},
    )
    waiting = world.wait("profiled", has_condition("Accepted", "ProfileInvalid"))
    assert "no VerificationProfile 'code'" in condition(waiting, "Accepted")["message"]

    world.kubectl.create(
        {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "VerificationProfile",
            "metadata": {"name": "code"},
            "spec": {
                "criteria": [
                    {"name": "changed", "diff": {}},
                    {"name": "lint", "lint": {"select": ["F"]}},
                    {"name": "secrets", "secrets": {}},
                ]
            },
        }
    )

    status = world.wait_complete("profiled")
    found = {item["name"]: (item["type"], item["verdict"]) for item in status["rounds"][-1]["criteria"]}
    assert found == {
        "greeting": ("Files", "Pass"),
        "server": ("Probe", "Pass"),
        "changed": ("Diff", "Pass"),
        "lint": ("Lint", "Pass"),
        "secrets": ("Secrets", "Pass"),
    }, status["rounds"][-1]["criteria"]


def test_an_image_that_cannot_be_pulled_is_told_and_the_task_goes_on_when_it_is_mended(world: World) -> None:
    world.make_class(image="registry.invalid/nothing:1")
    world.make_task("pull")
    waiting = world.wait("pull", has_condition("SandboxReady", "ImagePullFailed"))
    assert "registry.invalid/nothing:1" in condition(waiting, "SandboxReady")["message"]

    world.make_class()

    assert world.wait_complete("pull")["verdict"] == "Pass"


def test_a_config_map_that_does_not_exist_is_told_and_waited_for(world: World) -> None:
    world.make_class()
    world.make_task(
        "mapped", "await README.md", "write greeting.txt hello", workspace={"configMap": {"name": "base"}}
    )
    waiting = world.wait("mapped", has_condition("SandboxReady", "WorkspaceFailed"))
    assert "ConfigMap 'base'" in condition(waiting, "SandboxReady")["message"]

    world.kubectl("create", "configmap", "base", "--from-literal=README.md=hello")

    assert world.wait_complete("mapped")["verdict"] == "Pass"


def test_a_repository_that_cannot_be_fetched_is_told_with_a_reason(world: World) -> None:
    world.make_class()
    source = {"git": {"url": "https://127.0.0.1:1/none.git", "revision": "main"}}
    task = world.make_task("fetched", workspace=source)

    status = world.wait(
        "fetched",
        lambda item: has_condition("SandboxReady", "WorkspaceFailed")(item) or is_complete(item),
    )["status"]

    assert "spec.workspace.git" in json.dumps(status["conditions"])
    assert task["metadata"]["uid"]


def test_a_pod_deleted_by_hand_is_followed_by_a_new_attempt(world: World) -> None:
    world.make_class()
    task = world.make_task("deleted", "await go.txt", "write greeting.txt hello")
    world.wait("deleted", is_running)
    [pod] = world.pods(task)

    world.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=1", "--wait=false")

    again = world.wait("deleted", lambda item: item["status"]["attempt"] == 2 and is_running(item))
    assert again["status"]["lostAttempts"] == 1


def test_a_suspended_task_has_no_pods_and_goes_on_when_it_is_resumed(world: World) -> None:
    world.make_class()
    task = world.make_task("suspended", "await go.txt", "write greeting.txt hello")
    world.wait("suspended", is_running)

    world.kubectl("patch", "agenttask", "suspended", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    world.wait("suspended", lambda item: item["status"]["state"] == "Suspended")
    world.wait_no_pods(task)
    world.kubectl("patch", "agenttask", "suspended", "--type=merge", "-p", '{"spec":{"suspend":false}}')

    again = world.wait("suspended", lambda item: item["status"]["attempt"] == 2 and is_running(item))
    assert again["status"].get("lostAttempts", 0) == 0


def test_a_deleted_task_takes_its_pods_with_it(world: World) -> None:
    world.make_class()
    task = world.make_task("gone", "await go.txt")
    world.wait("gone", is_running)

    world.kubectl("delete", "agenttask", "gone")

    world.wait_no_pods(task)


def test_of_two_operators_one_acts_and_the_other_takes_over(world: World, tmp_path: Path) -> None:
    first = world.control_plane.operator
    second = world.control_plane.another_operator(tmp_path, "operator-2")
    second.start()
    wait_until(
        "the second operator to wait",
        lambda: None if "held by operator-1" in second.log.read_text() else "not yet",
        limit_seconds=90,
        diagnose=second.log.read_text,
    )
    world.make_class()
    try:
        world.make_task("shared")
        assert world.wait_complete("shared")["verdict"] == "Pass"
        assert second.get("/readyz") == ""

        assert first.stop() == 0
        second.wait_until_ready()
        world.make_task("taken-over")
        assert world.wait_complete("taken-over")["verdict"] == "Pass"
    finally:
        second.stop()
        first.start()
        first.wait_until_ready()


@pytest.mark.hermetic("counts writes in the audit log")
def test_an_operator_killed_at_any_moment_does_nothing_twice(world: World, cluster: Connection) -> None:
    chance = random.Random(SEED)
    operator = world.control_plane.operator
    world.make_class()
    names = []
    for number in range(KILLS):
        name = f"killed-{number}"
        names.append(name)
        world.make_task(name, "say working", "write greeting.txt hello", "exit 0")
        time.sleep(chance.uniform(0, 4))  # the moment of the kill is what is being tried
        operator.kill()
        operator.start()
    statuses = {name: world.wait_complete(name, 180) for name in names}

    assert {name: status["verdict"] for name, status in statuses.items()} == dict.fromkeys(names, "Pass")
    assert {status["attempt"] for status in statuses.values()} == {1}
    writes = writes_for(cluster, world.kubectl.namespace)
    created = [
        event["objectRef"]["name"]
        for event in writes
        if event["verb"] == "create"
        and event["objectRef"]["resource"] == "pods"
        and event["responseStatus"]["code"] == 201
    ]
    assert len(created) == len(set(created)) == 2 * KILLS, created
