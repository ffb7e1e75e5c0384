"""Two hundred tasks with one key, at a vendor that says the key back in every way: it stands in nothing that is left.

The long form of what test_codex_cluster.py asks of four tasks: `make attacks`.
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.buckets import bucket, read_bucket
from e2e.support.chart import image_values, installed
from e2e.support.images import Images
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.node import the_node
from e2e.support.vendor import asking_class
from e2e.support.witness import Witness
from e2e.support.world import is_complete

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.campaign,
    pytest.mark.hermetic("looks everywhere for a key, the node's files, processes and audit log included"),
]

TASKS = 200
AT_ONCE = 8
LIMIT_SECONDS = 2400
CREDENTIAL = "canary"


class Echo(BaseHTTPRequestHandler):
    """A vendor that gives away what it was given: in the reason, in headers, and in parts in the body."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer()

    def _answer(self) -> None:
        given = self.headers["Authorization"].removeprefix("Bearer ")
        body = json.dumps({"you sent": dict(self.headers), "key": given}).encode()
        self.send_response(200, f"OK {given}")
        for name in ("X-Key", "Authorization", "Set-Cookie", "x-api-key", "Location"):
            self.send_header(name, given)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for at in range(0, len(body), 7):
            self.wfile.write(body[at : at + 7])
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def key() -> str:
    return f"sk-{secrets.token_hex(24)}"


@pytest.fixture
def vendor(cluster: Connection) -> Iterator[str]:
    with ThreadingHTTPServer((cluster.machine_address, 0), Echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{cluster.machine_address}:{server.server_port}"
        server.shutdown()


def task(number: int, class_name: str) -> Object:
    steps = ("call v1/answer", "post v1/answer", "say asked", "exit 0")
    return {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": f"canary-{number:03}"},
        "spec": {
            "agentClassName": class_name,
            "prompt": "\n".join(steps),
            "workspace": {"files": [{"path": "README.md", "content": "Ask.\n"}]},
            "criteria": [{"name": "answer", "files": {"expect": [{"path": "answer"}]}}],
            "limits": {
                "deadline": "30m",
                "maxRounds": 1,
                "resources": {"cpu": "100m", "memory": "64Mi", "storage": "64Mi"},
            },
        },
    }


def test_a_key_that_two_hundred_tasks_use_is_nowhere_but_in_its_secret(
    cluster: Connection, images: Images, agent_image: Callable[[str], str], vendor: str, key: str
) -> None:
    name = f"axiom-{uuid.uuid4().hex[:8]}"
    storage = {"accessKey": cluster.s3.access_key, "secretKey": cluster.s3.secret_key}
    values = {
        **image_values(images, storage="unused:1"),
        "egress": {"privateUpstreams": [cluster.machine_address], "credentialSecrets": [CREDENTIAL], "replicas": 2},
        "objectStorage": {"endpoint": cluster.s3.endpoint, "bucket": name, "secretName": "evidence"},
    }  # fmt: skip
    kubectl = Kubectl(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    with (
        bucket(cluster, name) as client,
        installed(cluster, values, {"evidence": storage, CREDENTIAL: {"key": key}}) as release,
    ):
        class_name = f"canary-{kubectl.namespace}"
        kubectl.create_namespace()
        kubectl.apply(asking_class(class_name, agent_image("plain"), vendor, CREDENTIAL))
        witness = Witness(kubectl.api(), (kubectl.namespace, release.namespace))
        statuses = play(kubectl, witness, class_name, key)
        stored = read_bucket(client, name)
        texts = {
            **witness.texts,
            **witness.environments,
            **{f"object {path}": content.decode(errors="replace") for path, content in stored.items()},
            **metrics(Kubectl(cluster, release.namespace)),
            "tasks": kubectl("get", "agenttasks", "--output", "json", timeout=300),
            "events": kubectl("get", "events", "--output", "json", timeout=300),
            "audit log": Path(cluster.audit_log).read_text(),
        }
        kubectl.run("delete", "agenttasks", "--all", timeout=300)
        kubectl.run("delete", "agentclass", class_name)
        kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")

    assert len(statuses) == TASKS
    assert {status["verdict"] for status in statuses.values()} == {"Pass"}
    forms = (key, base64.b64encode(key.encode()).decode())
    assert [what for what, text in texts.items() if any(form in text for form in forms)] == []
    # that something was looked at: the same places hold what may be there
    assert witness.files_seen > TASKS
    assert witness.logs_of("axiom-egress").count('"status": 200') >= TASKS
    assert any("you sent" in text for what, text in texts.items() if what.startswith("object blobs/"))
    assert sum("metrics" in what for what in texts) >= 4


def play(kubectl: Kubectl, witness: Witness, class_name: str, key: str) -> dict[str, Object]:
    """Runs all tasks, some at once, looking for the key meanwhile; their statuses."""
    path = f"/apis/axiom.dev/v1alpha1/namespaces/{kubectl.namespace}/agenttasks"
    pods = the_node().pod_folder("x").parent
    to_come = [task(number, class_name) for number in range(TASKS)]
    statuses: dict[str, Object] = {}

    def missing() -> str | None:
        going = sum(not is_complete({"status": status}) for status in statuses.values())
        if coming := [to_come.pop() for _ in range(min(AT_ONCE - going, len(to_come)))]:
            kubectl("create", "-f", "-", document={"apiVersion": "v1", "kind": "List", "items": coming})
        witness.look()
        witness.look_for(key.encode(), pods)
        statuses.update((one["metadata"]["name"], one.get("status", {})) for one in witness.api.list(path)[0])
        going = sum(not is_complete({"status": status}) for status in statuses.values())
        return f"{going} are not complete, {len(to_come)} not begun" if going or to_come else None

    wait_until("the tasks to be complete", missing, limit_seconds=LIMIT_SECONDS, interval_seconds=0.5)
    return statuses


def metrics(admin: Kubectl) -> dict[str, str]:
    """What each pod of the control plane counts."""
    ports = {"operator": 9090, "egress": 8789, "gateway": 9091}
    found = {}
    for pod in json.loads(admin("get", "pods", "--output", "json"))["items"]:
        component = pod["metadata"]["labels"].get("app.kubernetes.io/component", "")
        if port := ports.get(component):
            with urlopen(f"http://{pod['status']['podIP']}:{port}/metrics", timeout=10) as answer:
                found[f"metrics {pod['metadata']['name']}"] = answer.read().decode()
    return found
