"""How to reach a running cluster: written by `up` as connection.json, read by every test."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import Cluster, current


@dataclass(frozen=True)
class Storage:
    """The S3 server, reachable from the machine and from pods (if their policies say so)."""

    endpoint: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Connection:
    """Facts about a running cluster."""

    name: str
    kubeconfig: str
    """Cluster administrator."""
    bin_dir: str
    """A folder for PATH with kubectl and helm."""
    s3: Storage
    node: str
    """The name of the only Node."""
    node_address: str
    machine_address: str
    """Where pods reach a server that a test runs on the machine itself."""
    pod_cidr: str
    service_cidr: str
    api_server: str
    audit_log: str
    """One audit.k8s.io/v1 Event in JSON a line: every write, and reads by others than
    Kubernetes itself."""
    containerd_socket: str


def save(cluster: Cluster, connection: Connection) -> None:
    """Write the file readable for root only: it holds keys."""
    cluster.connection.touch(mode=0o600)
    cluster.connection.write_text(json.dumps(asdict(connection), indent=2) + "\n")


def load(cluster: Cluster | None = None) -> Connection:
    """Read the facts about `cluster` (without one: the current one).

    Raises:
        ClusterError: it was never brought up.
    """
    target = cluster or current()
    try:
        data: dict[str, Any] = json.loads(Path(target.connection).read_text())
    except FileNotFoundError as error:
        raise ClusterError(f"cluster {target.name} is not up: run `python3 -m e2e.cluster up`") from error
    return Connection(**{**data, "s3": Storage(**data["s3"])})
