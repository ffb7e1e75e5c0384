"""What a task leaves behind, in the cluster, on its node and in the control plane's folders: by design, next to nothing.

By design stay: evidence in object storage, and a namespace's NetworkPolicies, which close the network for sandboxes to
come (docs/adr/0005). Everything else that was not there when the watch began is a leftover.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from axiom.manifests.network_policies import POLICY_NAMES
from e2e.cluster.binaries import binary
from e2e.cluster.cgroups import members
from e2e.cluster.layout import Cluster
from e2e.cluster.processes import started
from e2e.cluster.shell import run
from e2e.cluster.waiting import wait_until
from e2e.support.control_plane import ControlPlane
from e2e.support.kubernetes import Kubectl

_KINDS = (
    "agenttasks", "configmaps", "leases", "networkpolicies", "persistentvolumeclaims", "pods", "secrets",
    "serviceaccounts", "services",
)  # fmt: skip
_CLUSTER_KINDS = ("persistentvolumes",)
_BY_DESIGN = frozenset({"ConfigMap kube-root-ca.crt", "ServiceAccount default"}) | {
    f"NetworkPolicy {name}" for name in POLICY_NAMES
}
_LIMIT_SECONDS = 240


@dataclass
class Watch:
    """Over a test's namespace, the control plane's namespace and folders, and the node.

    Make it when the test begins; `assert_nothing_left` when its tasks are deleted.
    """

    kubectl: Kubectl
    control_plane: ControlPlane
    before: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.before = frozenset(self._objects())

    def assert_nothing_left(self, limit_seconds: float = _LIMIT_SECONDS) -> None:
        """Waits for what Kubernetes takes away in its own time. Raises ClusterError, which names what stays."""
        wait_until(
            "everything to be cleared away",
            lambda: "; ".join(self.leftovers()) or None,
            limit_seconds=limit_seconds,
            interval_seconds=0.5,
        )

    def leftovers(self) -> list[str]:
        """In words, each thing that is still there. Raises KubectlError, ClusterError."""
        return [
            *sorted(set(self._objects()) - self.before),
            *self._on_the_node(),
            *(f"file {path}" for folder in self._folders() for path in folder.rglob("*")),
        ]

    def _objects(self) -> Iterator[str]:
        yield from self._listed(self.kubectl.namespace, _KINDS)
        yield from self._listed(self.control_plane.environment["AXIOM_NAMESPACE"], _KINDS)
        yield from self._listed("", _CLUSTER_KINDS)

    def _listed(self, namespace: str, kinds: tuple[str, ...]) -> Iterator[str]:
        where = Kubectl(self.kubectl.connection, namespace or "default")
        for item in json.loads(where("get", ",".join(kinds), "-o", "json"))["items"]:
            what = f"{item['kind']} {item['metadata']['name']}"
            if what not in _BY_DESIGN:
                yield f"{what} in {namespace or 'the cluster'}"

    def _folders(self) -> tuple[Path, ...]:
        environment = self.control_plane.environment
        return Path(environment["AXIOM_GATEWAY_SCRATCH"]), Path(environment["TMPDIR"])

    def _on_the_node(self) -> Iterator[str]:
        """Everything below has the pod's UID or the container's id in its name; those of pods that are there may stay."""
        cluster = Cluster(self.kubectl.connection.name)
        pods = self._pod_uids()
        for folder in (cluster.state / "kubelet" / "pods").glob("*"):
            if folder.name not in pods:
                yield f"the kubelet's folder of pod {folder.name}"
        yield from _mounts(cluster, pods)
        yield from _processes(cluster, pods)
        yield from _shims(cluster, self.kubectl.connection.containerd_socket)

    def _pod_uids(self) -> frozenset[str]:
        """Asked first: a pod that comes meanwhile is then taken for a leftover, and at the next look it is not."""
        items = json.loads(self.kubectl("get", "pods", "--all-namespaces", "-o", "json"))["items"]
        return frozenset(item["metadata"]["uid"] for item in items)


def _mounts(cluster: Cluster, pods: frozenset[str]) -> Iterator[str]:
    kubelet = next(process for process in started(cluster) if process.name == "kubelet")
    inside = f"{cluster.state}/kubelet/pods/"
    for line in Path(f"/proc/{kubelet.pid}/mountinfo").read_text().splitlines():
        target = line.split()[4]
        if target.startswith(inside) and target.removeprefix(inside).partition("/")[0] not in pods:
            yield f"mount {target}"


def _processes(cluster: Cluster, pods: frozenset[str]) -> Iterator[str]:
    for pid in sorted(members(cluster)):
        try:
            groups = Path(f"/proc/{pid}/cgroup").read_text()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        uid = groups.partition("/pod")[2].partition("/")[0]
        if uid and uid not in pods:
            yield f"process {pid} ({name}) of pod {uid}"


def _shims(cluster: Cluster, socket: str) -> Iterator[str]:
    command = [binary("ctr"), "--address", socket, "--namespace", "k8s.io", "containers", "list", "--quiet"]
    containers = set(run(command).split())
    for pid in sorted(members(cluster)):
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "containerd-shim" in arguments[0] and "-id" in arguments:
            container = arguments[arguments.index("-id") + 1]
            if container not in containers:
                yield f"shim {pid} of container {container}"
