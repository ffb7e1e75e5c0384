"""`axiom run --cluster` against an API server: what it brings there, follows, refuses, and says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes.api_server import FakeApiServer, fake_api_server
from typer.testing import CliRunner

from axiom.cli.main import app
from axiom.running import remote

TASK = {
    "apiVersion": "axiom.dev/v1alpha1",
    "kind": "AgentTask",
    "metadata": {"name": "leap"},
    "spec": {
        "agentClassName": "codex",
        "prompt": "mend it",
        "criteria": [{"name": "out", "files": {"expect": [{"path": "out"}]}}],
    },
}
CLASS = {
    "apiVersion": "axiom.dev/v1alpha1",
    "kind": "AgentClass",
    "metadata": {"name": "codex"},
    "spec": {"command": ["codex", "$(AXIOM_PROMPT)"]},
}
RESULT = {"name": "out", "type": "Files", "enforcement": "Hard", "verdict": "Pass", "message": "It is there."}
ENDED = {
    "verdict": "Pass",
    "message": "every hard criterion passed in round 1",
    "claim": {"says": "Success", "exitCode": 0},
    "rounds": [
        {"number": 1, "attempt": 1, "claim": {"says": "Success"}, "verdict": "Pass", "criteria": [RESULT], "diff": "blobs/d"}
    ],
    "ledger": {"path": "tasks/team/u/attempts/1/agent/ledger", "records": 12, "head": "f" * 64},
    "conditions": [
        {"type": "Accepted", "status": "True", "reason": "Accepted"},
        {"type": "Complete", "status": "True", "reason": "Passed"},
    ],
}  # fmt: skip


@dataclass
class Desk:
    """A person at a cluster: their kubeconfig and files."""

    folder: Path
    server: FakeApiServer

    def write(self, name: str, *documents: dict[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump_all(documents))
        return path

    def kubeconfig(self) -> Path:
        content = {
            "current-context": "one",
            "contexts": [
                {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
                {"name": "away", "context": {"cluster": "away", "user": "u"}},
            ],
            "clusters": [
                {"name": "c", "cluster": {"server": self.server.url}},
                {"name": "away", "cluster": {"server": "http://127.0.0.1:9"}},
            ],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        return self.write("kubeconfig", content)

    def run(self, *options: str, task: dict[str, Any] = TASK) -> Any:
        arguments = ["run", str(self.write("task.yaml", task)), "--cluster"]
        arguments += ["--kubeconfig", str(self.kubeconfig()), *options]
        return CliRunner().invoke(app, arguments)

    @property
    def created(self) -> list[Any]:
        return [
            body for method, path, body in self.server.requests if method == "POST" and "agenttasks" in path
        ]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_LOOK_SECONDS", 0.02)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """The server has a thread of its own: the command sets signal handlers, which only the main thread may."""
    loop, serving = asyncio.new_event_loop(), fake_api_server()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(10)
    server.add("agentclasses", CLASS)
    yield Desk(tmp_path, server)
    asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def meanwhile(work: Callable[[], bool]) -> Iterator[None]:
    """Does something beside the command, again and again until it is done."""
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set() and not work():
            time.sleep(0.01)

    thread = threading.Thread(target=repeat)
    thread.start()
    yield
    over.set()
    thread.join()


def operator(server: FakeApiServer, status: dict[str, Any] = ENDED) -> Any:
    """Ends every task that comes."""

    def work() -> bool:
        for item in server.all("agenttasks"):
            if not item.get("status"):
                metadata = item["metadata"]
                server.change("agenttasks", metadata["namespace"], metadata["name"], status=status)
        return False

    return meanwhile(work)


def test_a_task_is_created_followed_and_told_like_a_local_run(desk: Desk) -> None:
    with operator(desk.server):
        ended = desk.run("--json")
    assert ended.exit_code == 0, ended.stderr
    body = json.loads(ended.stdout)
    assert list(body) == [
        "task", "verdict", "reason", "claim", "assisted", "rounds", "criteria", "ledger", "diff", "workspace", "agent", "usage", "durationSeconds",
    ]  # fmt: skip
    assert (body["verdict"], body["reason"], body["criteria"]) == ("Pass", "Passed", [RESULT])
    assert body["ledger"] == {"path": "tasks/team/u/attempts/1/agent/ledger", "records": 12, "head": "f" * 64}
    assert (body["diff"], body["workspace"]) == ("blobs/d", None)
    assert "round 1: the agent says Success, the verifiers found Pass" in ended.stderr
    [created] = desk.created
    assert created["metadata"] == {"name": "leap", "namespace": "team"}
    assert created["spec"] == TASK["spec"]


def test_without_json_there_is_the_same_table(desk: Desk) -> None:
    with operator(desk.server):
        ended = desk.run()
    assert "It is there." in ended.stdout
    assert "blobs/d" in ended.stdout


@pytest.mark.parametrize(("verdict", "code"), [("Fail", 1), ("Inconclusive", 2), (None, 4)])
def test_exit_codes_are_those_of_a_local_run(desk: Desk, verdict: str | None, code: int) -> None:
    status = {key: value for key, value in ENDED.items() if key != "verdict"}
    with operator(desk.server, {**status, **({"verdict": verdict} if verdict else {})}):
        ended = desk.run()
    assert ended.exit_code == code


def test_the_same_task_is_followed_and_not_created_again(desk: Desk) -> None:
    with operator(desk.server):
        desk.run()
        ended = desk.run()
    assert ended.exit_code == 0
    assert "on the cluster already" in ended.stderr
    assert len(desk.created) == 1


def test_another_task_of_the_same_name_is_refused(desk: Desk) -> None:
    with operator(desk.server):
        desk.run()
        other = {**TASK, "spec": {**TASK["spec"], "prompt": "mend it well"}}  # type: ignore[dict-item]
        ended = desk.run("--json", task=other)
    assert ended.exit_code == 3
    message = json.loads(ended.stdout)["error"]["message"]
    assert "spec.prompt" in message
    assert "kubectl delete agenttask leap -n team" in message


def test_the_namespace_may_be_named_and_must_not_contradict_the_file(desk: Desk) -> None:
    with operator(desk.server):
        desk.run("-n", "other")
    assert desk.created[0]["metadata"]["namespace"] == "other"
    ended = desk.run("-n", "other", task={**TASK, "metadata": {"name": "leap", "namespace": "mine"}})
    assert ended.exit_code == 3
    assert "metadata.namespace" in ended.stderr


def test_a_class_that_the_cluster_does_not_have(desk: Desk) -> None:
    desk.server.remove("agentclasses", "", "codex")
    ended = desk.run()
    assert ended.exit_code == 3
    assert "spec.agentClassName" in ended.stderr
    assert "kubectl apply -f CLASS.yaml" in " ".join(ended.stderr.split())


def test_a_task_that_is_deleted_meanwhile(desk: Desk) -> None:
    running = {"conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted"}]}

    def delete() -> bool:
        if not desk.server.all("agenttasks"):
            return False
        desk.server.change("agenttasks", "team", "leap", status=running)
        desk.server.remove("agenttasks", "team", "leap")
        return True

    with meanwhile(delete):
        ended = desk.run()
    assert ended.exit_code == 4
    assert "was deleted while it ran" in ended.stderr


Refuse = Callable[[FakeApiServer], None]


@pytest.mark.parametrize(
    ("refuse", "code", "cure"),
    [
        (lambda server: server.refuse("GET", "/codex", 404, "", "404 page not found"), 4, "helm install axiom"),
        (
            lambda server: server.refuse("GET", "/codex", 404, "NotFound", "the server could not find the requested resource"),
            4,
            "helm install axiom",
        ),
        (
            lambda server: server.refuse("POST", "/agenttasks", 404, "NotFound", 'namespaces "team" not found'),
            4,
            "kubectl create namespace team",
        ),
        (
            lambda server: server.refuse("POST", "/agenttasks", 403, "Forbidden", 'agenttasks is forbidden: User "eve" cannot create'),
            4,
            "ask for a role",
        ),
        (
            lambda server: server.refuse("POST", "/agenttasks", 403, "Forbidden", "admission policy 'quiet' denied the request"),
            3,
            "correct the task",
        ),
        (lambda server: server.refuse("POST", "/agenttasks", 422, "Invalid", "spec.prompt: too long"), 3, "spec.prompt: too long"),
        (lambda server: server.refuse("GET", "/codex", 401, "Unauthorized", "Unauthorized"), 4, "log in anew"),
    ],
    ids=["no definitions", "no resource", "no namespace", "no rights", "admission", "validation", "no login"],
)  # fmt: skip
def test_what_the_cluster_refuses_is_told_in_one_line_with_a_cure(
    desk: Desk, refuse: Refuse, code: int, cure: str
) -> None:
    refuse(desk.server)
    ended = desk.run("--json")
    assert ended.exit_code == code, ended.stderr
    message = json.loads(ended.stdout)["error"]["message"]
    assert cure in message
    assert "\n" not in message


def test_who_may_not_read_classes_may_still_create_tasks(desk: Desk) -> None:
    desk.server.refuse("GET", "/codex", 403, "Forbidden", 'agentclasses is forbidden: User "eve"')
    with operator(desk.server):
        ended = desk.run()
    assert ended.exit_code == 0, ended.stderr


def test_a_cluster_that_is_away(desk: Desk) -> None:
    ended = desk.run("--context", "away")
    assert ended.exit_code == 4
    assert "does not answer" in ended.stderr
    assert "kubectl get nodes" in " ".join(ended.stderr.split())


def test_a_context_that_does_not_exist_names_those_that_do(desk: Desk) -> None:
    ended = desk.run("--context", "three")
    assert ended.exit_code == 4
    assert "it has: one, away" in " ".join(ended.stderr.split())


def test_no_kubeconfig_at_all(tmp_path: Path) -> None:
    task = tmp_path / "task.yaml"
    task.write_text(yaml.safe_dump(TASK))
    ended = CliRunner().invoke(app, ["run", str(task), "--cluster", "--kubeconfig", str(tmp_path / "none")])
    assert ended.exit_code == 4
    assert "--kubeconfig" in ended.stderr


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--cluster", "--backend", "docker"], "--backend"),
        (["--cluster", "--state", "x"], "--state"),
        (["--context", "one"], "--context"),
        (["-n", "team"], "--namespace"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path: Path, options: list[str], field: str) -> None:
    ended = CliRunner().invoke(app, ["run", str(tmp_path / "task.yaml"), *options])
    assert ended.exit_code == 3
    assert field in ended.stderr


def test_control_c_leaves_the_task_and_says_how_to_go_on(desk: Desk) -> None:
    arguments = [
        "run",
        str(desk.write("task.yaml", TASK)),
        "--cluster",
        "--kubeconfig",
        str(desk.kubeconfig()),
    ]
    command = [sys.executable, "-m", "axiom.cli.main", *arguments]
    with subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 60
            while not desk.created:
                assert time.monotonic() < until
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    said = " ".join(errors.split())
    assert process.returncode == 130, said
    assert "kubectl delete agenttask leap -n team" in said
    assert desk.server.get("agenttasks", "team", "leap") is not None
    assert not any(method == "DELETE" for method, _, _ in desk.server.requests)
