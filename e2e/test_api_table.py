"""The API server accepts and refuses what the table says: the CEL rules against the models' own words."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.api_table import (
    CLASS_CASES,
    GOOD_CLASS,
    GOOD_TASK,
    TASK_CASES,
    UPDATES,
    Accepted,
    Case,
    Refused,
    Update,
    changed,
)

from e2e.cluster.api import Api, from_kubeconfig
from e2e.cluster.connection import Connection

pytestmark = pytest.mark.e2e

CRDS = Path(__file__).parent.parent / "crds"


class Kubectl:
    """kubectl in a namespace of its own."""

    def __init__(self, program: str, kubeconfig: str) -> None:
        self.namespace = f"api-table-{uuid.uuid4().hex[:8]}"
        self._command = [program, "--kubeconfig", kubeconfig, "--namespace", self.namespace]

    def run(
        self, *arguments: str, document: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        text = json.dumps(document) if document else None
        return subprocess.run(
            [*self._command, *arguments], input=text, capture_output=True, text=True, timeout=60
        )

    def must(self, *arguments: str, document: dict[str, Any] | None = None) -> str:
        ended = self.run(*arguments, document=document)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def by_name(row: Case | Update) -> str:
    return row.name


@pytest.fixture(scope="module")
def kubectl(cluster: Connection) -> Iterator[Kubectl]:
    kubectl = Kubectl(f"{cluster.bin_dir}/kubectl", cluster.kubeconfig)
    kubectl.must("apply", "--server-side", "--force-conflicts", "--filename", str(CRDS))
    kubectl.must("wait", "--for=condition=Established", "--timeout=30s", "--filename", str(CRDS))
    kubectl.must("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


@dataclass(frozen=True)
class Answer:
    """What the API server said of an object."""

    accepted: bool
    lines: tuple[str, ...]
    """Each complaint with its field, as kubectl prints them."""


class Server:
    """The API server, asked without kubectl's start in between; it stores nothing."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._tasks = f"/apis/axiom.dev/v1alpha1/namespaces/{namespace}/agenttasks"
        self._classes = "/apis/axiom.dev/v1alpha1/agentclasses"

    def create(self, document: dict[str, Any]) -> Answer:
        path = self._tasks if document["kind"] == "AgentTask" else self._classes
        return self._ask("POST", path, document)

    def replace(self, document: dict[str, Any]) -> Answer:
        return self._ask("PUT", f"{self._tasks}/{document['metadata']['name']}", document)

    def _ask(self, method: str, path: str, document: dict[str, Any]) -> Answer:
        status, body = self._api.ask(method, f"{path}?dryRun=All&fieldValidation=Strict", document)
        if status < 300:
            return Answer(True, ())
        said = json.loads(body)
        causes = (said.get("details") or {}).get("causes") or ()
        lines = [f"{cause.get('field', '')}: {cause.get('message', '')}" for cause in causes]
        return Answer(False, (*said["message"].splitlines(), *lines))


@pytest.fixture(scope="module")
def server(cluster: Connection, kubectl: Kubectl) -> Server:
    return Server(from_kubeconfig(Path(cluster.kubeconfig)), kubectl.namespace)


def check(case: Case, answer: Answer) -> None:
    match case.outcome:
        case Accepted():
            assert answer.accepted, answer.lines
        case Refused(field, says, server_says):
            assert not answer.accepted
            reported = [line for line in answer.lines if field in line]
            assert any((server_says or says) in line for line in reported), answer.lines


@pytest.mark.parametrize("case", TASK_CASES, ids=by_name)
def test_task(server: Server, case: Case) -> None:
    check(case, server.create(changed(GOOD_TASK, case.change)))


@pytest.mark.parametrize("case", CLASS_CASES, ids=by_name)
def test_class(server: Server, kubectl: Kubectl, case: Case) -> None:
    unique = {"metadata": {"name": f"{kubectl.namespace}-codex"}}
    check(case, server.create(changed(GOOD_CLASS | unique, case.change)))


@pytest.mark.parametrize("update", UPDATES, ids=by_name)
def test_update(server: Server, kubectl: Kubectl, update: Update) -> None:
    before = changed(GOOD_TASK, update.before | {"metadata.name": f"task-{UPDATES.index(update)}"})
    kubectl.must("create", "--filename", "-", document=before)
    stored = json.loads(kubectl.must("get", "agenttask", before["metadata"]["name"], "--output", "json"))
    version = {"metadata.resourceVersion": stored["metadata"]["resourceVersion"]}
    answer = server.replace(changed(before, update.after | version))
    kubectl.run("delete", "agenttask", before["metadata"]["name"], "--wait=false")
    assert answer.accepted == (not update.changes), answer.lines
    if update.changes:
        named = {line.partition("create a new task; changed: ")[2] for line in answer.lines} - {""}
        assert set(" ".join(named).split()) == set(update.changes), answer.lines


def test_columns_that_a_person_sees(kubectl: Kubectl) -> None:
    kubectl.must("create", "--filename", "-", document=changed(GOOD_TASK, {"metadata.name": "shown"}))
    status = {"status": {"state": "Complete", "verdict": "Pass", "round": 2, "usage": {"cost": "$0.41"}}}
    kubectl.must(
        "patch", "at", "shown", "--subresource=status", "--type=merge", "--patch", json.dumps(status)
    )
    header, row = kubectl.must("get", "at", "shown").splitlines()
    assert header.split() == ["NAME", "AGENT", "STATE", "VERDICT", "ROUND", "COST", "AGE"]
    assert row.split()[:-1] == ["shown", "no-such-class", "Complete", "Pass", "2", "$0.41"]
    assert "shown" in kubectl.must("get", "axiom", "--output", "name")


def test_status_is_written_apart_from_the_spec(kubectl: Kubectl) -> None:
    document = changed(GOOD_TASK, {"metadata.name": "no-status", "status.verdict": "Pass"})
    kubectl.must("create", "--filename", "-", document=document)
    assert kubectl.must("get", "at", "no-status", "--output", "jsonpath={.status}") == ""
