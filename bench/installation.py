"""The chart on the hermetic cluster, a namespace for tasks, and what is read from both."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from e2e.cluster import connection
from e2e.support.chart import CHART, Release, build_storage_image, image_values
from e2e.support.images import build_agent_image, build_product_images
from e2e.support.kubernetes import Kubectl, Object

LIMIT_SECONDS = 90.0
TASKS = "/apis/axiom.dev/v1alpha1/namespaces/{}/agenttasks"


@dataclass(frozen=True)
class Installation:
    """Everything that a benchmark on a cluster needs."""

    facts: connection.Connection
    kubectl: Kubectl
    """For the tasks' namespace."""
    admin: Kubectl
    """For the installation's namespace."""
    agent_image: str
    verifier_image: str
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    def make_class(self, name: str, image: str, command: list[str]) -> None:
        """An AgentClass without criteria in its prompt."""
        spec = {"image": image, "command": command, "showCriteria": False}
        self.kubectl.apply(
            {
                "apiVersion": "axiom.dev/v1alpha1",
                "kind": "AgentClass",
                "metadata": {"name": name},
                "spec": spec,
            }
        )

    def create_task(self, name: str, **spec: Any) -> Object:
        """Creates an AgentTask without kubectl's start time; as the server stored it."""
        task = {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": name},
            "spec": {"force": True, **spec},  # whether one like it failed does not matter
        }
        body = self.kubectl.api().post(TASKS.format(self.kubectl.namespace), task)
        stored: Object = json.loads(body)
        return stored

    def wait_task(self, name: str, ready: Callable[[Object], bool]) -> Object:
        """Asks four times a second, which disturbs little, until `ready` holds; the task."""
        path, found = f"{TASKS.format(self.kubectl.namespace)}/{name}", dict[str, Any]()

        def looked() -> bool:
            found.update(json.loads(self.kubectl.api().get(path)))
            return ready(found)

        wait(looked, f"task {name}")
        return found

    def tasks(self) -> list[Object]:
        """All tasks of the namespace."""
        return self.kubectl.api().list(TASKS.format(self.kubectl.namespace))[0]

    def pods(self) -> list[Object]:
        """All pods of the tasks' namespace."""
        return self.kubectl.api().list(f"/api/v1/namespaces/{self.kubectl.namespace}/pods")[0]

    def wait_no_pods(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Until the namespace has no pod: the next start is not to share the node with the end of another."""
        wait(lambda: not self.pods(), "the pods to go", limit_seconds)

    def ledger(self, name: str, slot: str = "agent") -> list[Object]:
        """The records of a task's ledger, through the gateway."""
        base = f"http://{self._pod_of('gateway')['status']['podIP']}:8080"
        url = f"{base}/v1/tasks/{self.kubectl.namespace}/{name}/events?slot={slot}"
        request = Request(url, headers={"Authorization": f"Bearer {self._token()}"})
        with urlopen(request, timeout=60) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def audit(self, offset: int = 0) -> Iterator[Object]:
        """What the API server's audit log says of writes in the tasks' namespace from a place in the file on."""
        with Path(self.facts.audit_log).open("rb") as file:
            file.seek(offset)
            for line in file:
                entry: Object = json.loads(line)
                if entry.get("objectRef", {}).get("namespace") == self.kubectl.namespace:
                    yield entry

    def audit_size(self) -> int:
        """The place in the audit log where what happens now will be."""
        return Path(self.facts.audit_log).stat().st_size

    def resident_bytes(self, component: str) -> int:
        """Memory that a component's process keeps in RAM and does not share: the node is this machine."""
        status = self._pod_of(component)["status"]["containerStatuses"][0]
        container = str(status["containerID"]).rpartition("/")[2]
        return max(_private_bytes(process) for process in _processes_of(container))

    def _pod_of(self, component: str) -> Object:
        pods = self.admin.api().list(f"/api/v1/namespaces/{self.admin.namespace}/pods")[0]
        label = "app.kubernetes.io/component"
        return next(pod for pod in pods if pod["metadata"]["labels"].get(label) == component)

    def _token(self) -> str:
        if "viewer" not in self.tokens:
            account = f"--serviceaccount={self.kubectl.namespace}:viewer"
            self.kubectl("create", "serviceaccount", "viewer")
            self.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", account)
            self.tokens["viewer"] = self.kubectl("create", "token", "viewer", "--duration=4h").strip()
        return self.tokens["viewer"]


def wait(ready: Callable[[], bool], what: str, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Raises SystemExit after the limit."""
    until = time.monotonic() + limit_seconds
    while not ready():
        if time.monotonic() > until:
            raise SystemExit(f"waited {limit_seconds:.0f} s for {what}")
        time.sleep(0.25)


@contextmanager
def installed() -> Iterator[Installation]:
    """Installs the chart, and removes everything afterwards."""
    facts = connection.load()
    images, agent = build_product_images(facts), build_agent_image(facts, "plain")
    release = Release(facts, f"axiom-bench-{uuid.uuid4().hex[:6]}")
    kubectl = Kubectl(facts, f"bench-{uuid.uuid4().hex[:6]}")
    definitions = ("--server-side", "--force-conflicts", "--field-manager=helm", "--filename")
    Kubectl(facts)("apply", *definitions, str(CHART / "crds"))  # somebody else may have made them before
    release.install(image_values(images, build_storage_image(facts)))
    kubectl.create_namespace()
    try:
        yield Installation(facts, kubectl, Kubectl(facts, release.namespace), agent, images.verifier)
    finally:
        kubectl("delete", "namespace", kubectl.namespace, "--wait=true", timeout=300)
        kubectl.run("delete", "agentclass", "bench", "busy", "--ignore-not-found")
        release.uninstall()
        Kubectl(facts)("delete", "namespace", release.namespace, "--wait=false")


def _processes_of(container: str) -> list[Path]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if container in (folder / "cgroup").read_text():
                found.append(folder)
        except (FileNotFoundError, ProcessLookupError):
            continue
    if not found:
        raise SystemExit(f"no process of container {container} on this machine")
    return found


def _private_bytes(process: Path) -> int:
    lines = (process / "smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
