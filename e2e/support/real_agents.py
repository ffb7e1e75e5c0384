"""A release of the chart, models that play scripts, and what tasks of real agents leave."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from e2e.cluster.connection import Connection
from e2e.cluster.forwarding import forwarded
from e2e.cluster.waiting import wait_until
from e2e.support.chart import Release
from e2e.support.images import ROOT
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.witness import Witness


@dataclass(frozen=True)
class Model:
    """The server that plays one story, and its log of requests."""

    url: str
    log: Path

    def requests(self) -> list[Object]:
        """Those that are written down whole by now."""
        said = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]


@dataclass(frozen=True)
class Outcome:
    """What one story left behind."""

    status: Object
    events: str
    diff: str
    recording: str
    requests: list[Object]

    @property
    def records(self) -> list[Object]:
        """The agent's ledger."""
        return [json.loads(line) for line in self.events.splitlines()]

    def payloads(self, event: str) -> list[Object]:
        """What the agent's ledger says of one kind of event, in order."""
        return [record["payload"] for record in self.records if record["event"] == event]

    @property
    def screen(self) -> str:
        """What the agent's terminal showed."""
        events = map(json.loads, self.recording.splitlines()[1:])
        return "".join(event[2] for event in events if event[1] == "o")

    @property
    def changed_lines(self) -> list[str]:
        lines = self.diff.splitlines()
        return [line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]


@contextmanager
def model(
    script: Path, address: str, key: str, log: Path, *, asides: bool = True, watched_for: str = ""
) -> Iterator[Model]:
    """Without `asides` a request that offers no tools is part of the story, as a judge's question is.

    The log tells which requests hold the text `watched_for`.
    """
    command = [
        *(() if asides else ("--no-asides",)),
        f"--watch-for={watched_for}",
        "--script",
        str(script),
        "--host",
        address,
        "--expect-key",
        key,
        "--log",
        str(log),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.scripted_model", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Model(json.loads(process.stdout.readline())["url"], log)
        finally:
            process.terminate()


@contextmanager
def release(
    cluster: Connection, values: Object, namespace: str, keys: Mapping[str, str]
) -> Iterator[Kubectl]:
    release = Release(cluster, namespace)
    admin = Kubectl(cluster, namespace)
    if (
        admin.run("get", "crd", "agenttasks.axiom.dev").returncode == 0
    ):  # somebody else's, which helm would respect
        take = ("apply", "--server-side", "--force-conflicts", "--field-manager=helm")
        admin(*take, "--filename", str(ROOT / "crds"))
    admin("create", "namespace", namespace)
    storage = {"accessKey": cluster.s3.access_key, "secretKey": cluster.s3.secret_key}
    secrets = {name: {"api-key": key} for name, key in keys.items()}
    for name, content in {"evidence": storage, **secrets}.items():
        admin.create(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": content}
        )
    try:
        release.install(values)
        yield admin
    finally:
        if release.name in admin("get", "deployments", "--output", "name"):
            release.uninstall()
        admin.run("delete", "namespace", namespace, "--wait=false")


@contextmanager
def team(cluster: Connection, classes: Callable[[Kubectl], Iterable[str]]) -> Iterator[Kubectl]:
    """kubectl in the namespace of somebody who has tasks, of these classes."""
    kubectl = Kubectl(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    kubectl.create_namespace()
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield kubectl
    finally:
        kubectl.run("delete", "agenttasks", "--all", timeout=120)
        kubectl.run("delete", "agentclass", *classes(kubectl), "--ignore-not-found")
        kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


def is_complete(status: Object) -> bool:
    return any(one["type"] == "Complete" and one["status"] == "True" for one in status.get("conditions", ()))


def wait_complete(
    kubectl: Kubectl,
    witness: Witness,
    limit_seconds: float,
    meanwhile: Callable[[Mapping[str, Object]], Iterable[str]] = lambda statuses: (),
) -> dict[str, Object]:
    """The status of each story, when all are over. What is done meanwhile sees those of the moment, and names those to come."""
    path = f"/apis/axiom.dev/v1alpha1/namespaces/{kubectl.namespace}/agenttasks"
    statuses: dict[str, Object] = {}

    def missing() -> str | None:
        witness.look()
        tasks = witness.api.list(path)[0]
        statuses.update((task["metadata"]["name"], task.get("status", {})) for task in tasks)
        going = [*meanwhile(statuses), *(name for name, one in statuses.items() if not is_complete(one))]
        return ", ".join(going) or None

    wait_until(
        "the tasks to be complete",
        missing,
        limit_seconds=limit_seconds,
        diagnose=lambda: json.dumps(statuses, indent=1),
        interval_seconds=0.3,
    )
    return statuses


def read(url: str, token: str) -> str:
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=30) as answer:
        return str(answer.read().decode())


def viewer_token(kubectl: Kubectl) -> str:
    account = f"--serviceaccount={kubectl.namespace}:viewer"
    kubectl("create", "serviceaccount", "viewer")
    kubectl("create", "rolebinding", "viewer", "--clusterrole=view", account)
    return kubectl("create", "token", "viewer").strip()


def gateway_url(admin: Kubectl) -> str:
    return f"http://{admin.address_of('gateway')}:8080"


@contextmanager
def forwarded_gateway(admin: Kubectl) -> Iterator[str]:
    """The gateway's address on this machine: without TLS, tokens go nowhere else."""
    pod = admin.ready_pod("gateway")["metadata"]["name"]
    with forwarded(admin.connection, admin.namespace, pod, 8080) as port:
        yield f"http://127.0.0.1:{port}"


def new_name() -> str:
    return f"axiom-{uuid.uuid4().hex[:8]}"
