"""Faults of the hermetic cluster's node: kubelet away, a crash as when power fails, a kubelet with other settings.

Etcd and the API server stay: on a real cluster they are other machines.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from e2e.cluster import components
from e2e.cluster.api import Api, from_kubeconfig
from e2e.cluster.cgroups import members
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import Cluster, current
from e2e.cluster.mounts import inside_mounts
from e2e.cluster.network import inside_network
from e2e.cluster.processes import start, started, stop, tail
from e2e.cluster.starting import socket_missing
from e2e.cluster.waiting import wait_until

_LIMIT_SECONDS = 120
_NODE_DAEMONS = ("kubelet", "containerd")


@dataclass
class Node:
    """The only node of a hermetic cluster."""

    cluster: Cluster

    def stop_kubelet(self) -> None:
        """SIGKILL; containers go on."""
        self._stop("kubelet")

    def start_kubelet(self) -> None:
        """Starts it; returns when the node is ready again, by a heartbeat that came afterwards."""
        began = datetime.now(UTC)
        start(self.cluster, components.kubelet(self.cluster))
        self._wait_until_ready(began)

    def crash(self) -> None:
        """Everything on the node ends at once, and what lay in memory is gone: shims, containers, tmpfs, networks."""
        for name in _NODE_DAEMONS:
            self._stop(name)
        wait_until("the node's processes to end", self._kill_containers, limit_seconds=20)
        for target in self._mounted():
            self._inside("umount", "--lazy", str(target))

    def boot(self) -> None:
        """After `crash`."""
        start(self.cluster, components.containerd(self.cluster))
        wait_until("containerd", self._runtime_missing, limit_seconds=_LIMIT_SECONDS)
        self.start_kubelet()

    @contextmanager
    def kubelet_with(self, **settings: Any) -> Iterator[None]:
        """A kubelet whose configuration differs in these fields; the former one again afterwards."""
        file = self.cluster.config / "kubelet.yaml"
        before = file.read_text()
        self.stop_kubelet()
        file.write_text(json.dumps({**json.loads(before), **settings}, indent=1))
        try:
            self.start_kubelet()
            yield
        finally:
            self.stop_kubelet()
            file.write_text(before)
            self.start_kubelet()
            self.wait_until_untainted()

    def wait_until_untainted(self) -> None:
        """Until pods are scheduled again. Raises ClusterError."""
        wait_until("the node to take pods", self._tainted, limit_seconds=_LIMIT_SECONDS)

    def pod_folder(self, uid: str) -> Path:
        """Where the kubelet keeps a pod's volumes; only inside the cluster's mount namespace are those in memory seen."""
        return self.cluster.state / "kubelet" / "pods" / uid

    def _stop(self, name: str) -> None:
        for process in started(self.cluster):
            if process.name == name:
                stop(process)

    def _kill_containers(self) -> str | None:
        daemons = {process.pid for process in started(self.cluster)}
        left = [
            pid for pid in members(self.cluster) - daemons if _runs(pid) and not _is_child_of(pid, daemons)
        ]
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return f"processes {sorted(left)}" if left else None

    def _mounted(self) -> list[str]:
        """What the node mounted for pods, the innermost first."""
        roots = (f"{self.cluster.state}/kubelet/pods/", f"{self.cluster.run}/containerd/")
        lines = self._inside("cat", "/proc/self/mountinfo").splitlines()
        targets = [line.split()[4] for line in lines]
        return [target for target in reversed(targets) if target.startswith(roots)]

    def _inside(self, *command: str) -> str:
        ended = subprocess.run(
            ["nsenter", inside_mounts(self.cluster), *inside_network(self.cluster)[1:], *command],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return ended.stdout

    def _runtime_missing(self) -> str | None:
        return socket_missing(self.cluster.containerd_socket)

    def _wait_until_ready(self, since: datetime) -> None:
        api = from_kubeconfig(self.cluster.kubeconfig)
        wait_until(
            "the node",
            lambda: self._not_ready(api, since),
            limit_seconds=_LIMIT_SECONDS,
            diagnose=lambda: tail(self.cluster.logs / "kubelet.log"),
        )

    def _not_ready(self, api: Api, since: datetime) -> str | None:
        try:
            status = json.loads(api.get(f"/api/v1/nodes/{self.cluster.node}"))["status"]
        except ClusterError as error:
            return str(error)
        [ready] = [found for found in status["conditions"] if found["type"] == "Ready"]
        fresh = datetime.fromisoformat(ready["lastHeartbeatTime"]) > since.replace(microsecond=0)
        return None if fresh and ready["status"] == "True" else json.dumps(ready)

    def _tainted(self) -> str | None:
        node = json.loads(from_kubeconfig(self.cluster.kubeconfig).get(f"/api/v1/nodes/{self.cluster.node}"))
        return json.dumps(node["spec"]["taints"]) if node["spec"].get("taints") else None


def the_node() -> Node:
    """Of the cluster that E2E_CLUSTER_NAME names."""
    return Node(current())


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_child_of(pid: int, parents: set[int]) -> bool:
    """Of a daemon that stays; shims and containers have no living parent once containerd is gone, or each other."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) in parents
    except (FileNotFoundError, ProcessLookupError):
        return False
