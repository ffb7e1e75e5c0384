"""Where a cluster keeps things: every path, address and device name follows from its name.

Pure: nothing here touches the machine. Two clusters with different names share nothing
but the cache of built binaries and images.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from e2e.cluster.errors import ClusterError

REPOSITORY = Path(__file__).resolve().parents[2]
STATE_ROOT = Path("/var/lib/axiom-e2e")
RUN_ROOT = Path("/run/axiom-e2e")

# RFC 2544's benchmarking range: reserved, never routed, and unlike RFC 1918 not in use
# on machines that people work on. A cluster takes one /21 of it.
BENCHMARKING = IPv4Network("198.18.0.0/15")
METADATA_ADDRESS = IPv4Address("169.254.169.254")


@dataclass(frozen=True)
class Cluster:
    """The names of everything that belongs to one cluster."""

    name: str

    def __post_init__(self) -> None:
        # The name becomes part of Unix socket paths (108 bytes) and of a node's DNS label.
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,23}", self.name):
            raise ClusterError(
                f"{self.name!r} is no cluster name: a lower case letter, then at most 23 lower "
                "case letters, digits or hyphens"
            )

    @property
    def node(self) -> str:
        return f"{self.name}-node"

    @property
    def state(self) -> Path:
        return STATE_ROOT / self.name

    @property
    def run(self) -> Path:
        return RUN_ROOT / self.name

    @property
    def lock(self) -> Path:
        """Held while the cluster is made or removed; not below `run`, which comes and goes."""
        return RUN_ROOT.with_name(f"{RUN_ROOT.name}-{self.name}.lock")

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def connection(self) -> Path:
        return self.state / "connection.json"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.jsonl"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd" / "containerd.sock"

    @property
    def cgroup(self) -> str:
        """Path of the cluster's cgroup below each hierarchy's root."""
        return f"axiom-e2e/{self.name}"

    @property
    def network_namespace(self) -> str:
        return f"axiom-e2e-{self.name}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def uplink(self) -> str:
        """The machine's end of the link into the cluster (a device name has 15 characters)."""
        return f"axe2e{self._digest[:8]}"

    @property
    def network(self) -> IPv4Network:
        slots = list(BENCHMARKING.subnets(new_prefix=21))
        return slots[int(self._digest[:8], 16) % len(slots)]

    @property
    def node_network(self) -> IPv4Network:
        return next(self.network.subnets(new_prefix=24))

    @property
    def machine_address(self) -> IPv4Address:
        """The machine itself, as the cluster sees it: outside of the cluster."""
        return self.node_network[1]

    @property
    def node_address(self) -> IPv4Address:
        return self.node_network[2]

    @property
    def storage_address(self) -> IPv4Address:
        return self.node_network[3]

    @property
    def service_network(self) -> IPv4Network:
        return list(self.network.subnets(new_prefix=23))[1]

    @property
    def pod_network(self) -> IPv4Network:
        return list(self.network.subnets(new_prefix=22))[1]

    @property
    def dns_address(self) -> IPv4Address:
        return self.service_network[10]

    @property
    def api_server(self) -> str:
        return f"https://{self.node_address}:6443"

    @property
    def storage_endpoint(self) -> str:
        return f"http://{self.storage_address}:7070"


def current() -> Cluster:
    """The cluster that E2E_CLUSTER_NAME names, `axiom` without it."""
    return Cluster(os.environ.get("E2E_CLUSTER_NAME") or "axiom")


def cache() -> Path:
    """The folder for what is expensive to build and depends on no cluster."""
    if chosen := os.environ.get("AXIOM_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "axiom"
