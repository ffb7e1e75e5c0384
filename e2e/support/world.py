"""One test's namespace and class, with operator and gateway at work; and what a task's status says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from e2e.cluster.waiting import wait_until
from e2e.support.control_plane import ControlPlane
from e2e.support.doctor import troubles
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.node import the_node

SMALL = {"cpu": "200m", "memory": "128Mi", "storage": "64Mi"}
"""So that many tasks fit on the node, each with its verifier: an agent keeps its place while it is verified."""
SLOW = ("say begun", "await go.txt", "write greeting.txt hello", "exit 0")
"""Waits until `World.let_go`."""
WORKSPACE = {"files": [{"path": "README.md", "content": "Say hello.\n"}]}


@dataclass
class World:
    """One test's namespace and class."""

    kubectl: Kubectl
    class_name: str
    image: str
    control_plane: ControlPlane

    def make_class(self, image: str | None = None, processes: int = 512, **spec: Any) -> None:
        self.kubectl.apply(
            {
                "apiVersion": "axiom.dev/v1alpha1",
                "kind": "AgentClass",
                "metadata": {"name": self.class_name},
                "spec": {
                    "image": image or self.image,
                    "command": ["/agent", "$(AXIOM_PROMPT)"],
                    "showCriteria": False,
                    "ceilings": {"processes": processes},
                    **spec,
                },
            }
        )

    def make_task(self, name: str, *steps: str, workspace: Object | None = None, **spec: Any) -> Object:
        return self.kubectl.create(self._document(name, *steps, workspace=workspace, **spec))

    def make_tasks(self, names: Iterable[str], *steps: str, **spec: Any) -> None:
        """Many tasks in one request after the other, without kubectl's start between them."""
        items = [self._document(name, *steps, **spec) for name in names]
        self.kubectl("create", "-f", "-", document={"apiVersion": "v1", "kind": "List", "items": items})

    def _document(self, name: str, *steps: str, workspace: Object | None = None, **spec: Any) -> Object:
        return {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": name},
            "spec": {
                "agentClassName": self.class_name,
                "prompt": "\n".join(steps or ("write greeting.txt hello", "exit 0")),
                "workspace": WORKSPACE if workspace is None else workspace,
                "criteria": [{"name": "greeting", "files": {"expect": [{"path": "greeting.txt"}]}}],
                "limits": {"deadline": "5m", "maxRounds": 1, "resources": SMALL},
                "force": True,  # tests ask for what failed again
                **spec,
            },
        }

    def wait(self, name: str, ready: Callable[[Object], bool], limit_seconds: float = 120) -> Object:
        return self.kubectl.wait_for("agenttask", name, ready, limit_seconds)

    def wait_complete(self, name: str, limit_seconds: float = 180) -> Object:
        status: Object = self.wait(name, is_complete, limit_seconds)["status"]
        return status

    def pods(self, task: Object) -> list[Object]:
        """Asked without kubectl's start time: some live for a few seconds only."""
        selector = quote(f"axiom.dev/task-uid={task['metadata']['uid']}")
        path = f"/api/v1/namespaces/{self.kubectl.namespace}/pods?labelSelector={selector}"
        return self.kubectl.api().list(path)[0]

    def let_go(self, task: Object, path: str = "go.txt") -> None:
        """Puts the file that the agent awaits into its workspace, from the node: also while the kubelet is away."""
        (self.workspace_on_node(task) / path).touch()

    def workspace_on_node(self, task: Object) -> Path:
        """The workspace of the task's agent, where the kubelet keeps it."""
        return self.volume_on_node(task, "files") / "workspace"

    def volume_on_node(self, task: Object, name: str) -> Path:
        """A volume of the pod of the task's agent."""
        agents = [pod for pod in self.pods(task) if pod["metadata"]["labels"]["axiom.dev/role"] == "agent"]
        pod = max(agents, key=lambda pod: int(pod["metadata"]["labels"]["axiom.dev/attempt"]))
        volumes = the_node().pod_folder(pod["metadata"]["uid"]) / "volumes" / "kubernetes.io~empty-dir"
        return volumes / name

    def told(self, name: str) -> list[Object]:
        """The Events about a task."""
        items: list[Object] = json.loads(self.kubectl("get", "events", "-o", "json"))["items"]
        return [item for item in items if item["involvedObject"]["name"] == name]

    def reader_token(self) -> str:
        """A token of somebody who may read the namespace's tasks."""
        self.kubectl("create", "serviceaccount", "reader")
        self.kubectl("create", "role", "reader", "--verb=get", "--resource=agenttasks.axiom.dev")
        account = f"--serviceaccount={self.kubectl.namespace}:reader"
        self.kubectl("create", "rolebinding", "reader", "--role=reader", account)
        return self.kubectl("create", "token", "reader").strip()

    def diagnosis(self, name: str) -> list[str]:
        """What `axiom doctor` finds wrong with a task."""
        namespace = self.kubectl.namespace
        found = troubles(self.kubectl.connection, name, "--namespace", namespace)
        return found.get(f"AgentTask {namespace}/{name}", [])

    def events(self, name: str) -> list[Object]:
        """The records of the agent's ledger, through the gateway."""
        url = f"{self.control_plane.gateway_url}/v1/tasks/{self.kubectl.namespace}/{name}/events"
        request = Request(url, headers={"Authorization": f"Bearer {self.reader_token()}"})
        with urlopen(request, timeout=180) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def wait_no_pods(self, task: Object, limit_seconds: float = 120) -> None:
        wait_until(
            "the pods to go",
            lambda: ", ".join(pod["metadata"]["name"] for pod in self.pods(task)) or None,
            limit_seconds=limit_seconds,
        )


def condition(item: Object, kind: str) -> Object:
    found = [c for c in item.get("status", {}).get("conditions", ()) if c["type"] == kind]
    return found[0] if found else {}


def has_condition(kind: str, reason: str) -> Callable[[Object], bool]:
    return lambda item: condition(item, kind).get("reason") == reason


def is_complete(item: Object) -> bool:
    return condition(item, "Complete").get("status") == "True"


def is_running(item: Object) -> bool:
    return has_condition("Running", "AgentRunning")(item)
