"""How to reach a running cluster. Of the hermetic one `up` writes it as connection.json; every test reads it.

E2E_CLUSTER says which: `hermetic` (without it), `kind`, or `current`, the one that the kubeconfig's current context names.
"""

import json
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from e2e.cluster.errors import ClusterError, NotHereError
from e2e.cluster.layout import Cluster, current


class Provider(StrEnum):
    """Who made the cluster."""

    HERMETIC = "hermetic"
    KIND = "kind"
    CURRENT = "current"


@dataclass(frozen=True)
class Storage:
    """The S3 server, reachable from the machine and from pods (if their policies say so)."""

    endpoint: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Connection:
    """Facts about a running cluster. What only the hermetic cluster has is "" elsewhere."""

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
    provider: Provider = Provider.HERMETIC


_HERMETIC_FACTS = frozenset({
    "node", "node_address", "machine_address", "pod_cidr", "service_cidr", "audit_log", "containerd_socket", "s3",
})  # fmt: skip


class ForeignConnection(Connection):
    """Facts about a cluster that others made. To ask for one that is not known raises NotHereError."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in _HERMETIC_FACTS and value in ("", Storage("", "", "")):
            raise NotHereError(f"this cluster's {name} is not known: E2E_CLUSTER=hermetic has it")
        return value

    def __repr__(self) -> str:
        return f"ForeignConnection({self.name!r}, {self.api_server!r})"

    @property
    def has_storage(self) -> bool:
        """Whether there is an S3 server."""
        return bool(vars(self)["s3"].endpoint)

    @property
    def has_machine_address(self) -> bool:
        """Whether it is known where pods reach this machine."""
        return bool(vars(self)["machine_address"])

    def with_storage(self, s3: Storage) -> "ForeignConnection":
        """The same cluster, with an S3 server."""
        return ForeignConnection(**{**vars(self), "s3": s3})


def save(cluster: Cluster, connection: Connection) -> None:
    """Write the file readable for root only: it holds keys."""
    cluster.connection.touch(mode=0o600)
    cluster.connection.write_text(json.dumps(asdict(connection), indent=2) + "\n")


def chosen() -> Provider:
    """What E2E_CLUSTER says. Raises ClusterError."""
    text = os.environ.get("E2E_CLUSTER") or Provider.HERMETIC
    try:
        return Provider(text)
    except ValueError as error:
        raise ClusterError(f"E2E_CLUSTER is {text!r}; write one of {', '.join(Provider)}") from error


def load(cluster: Cluster | None = None) -> Connection:
    """The facts about a hermetic cluster; without one, about the cluster that E2E_CLUSTER chooses.

    Raises:
        ClusterError: it was never brought up, or is not one for tests.
    """
    if cluster is None and (provider := chosen()) is not Provider.HERMETIC:
        from e2e.cluster.foreign import connect  # which needs this module

        return connect(provider)
    target = cluster or current()
    try:
        data: dict[str, Any] = json.loads(Path(target.connection).read_text())
    except FileNotFoundError as error:
        raise ClusterError(f"cluster {target.name} is not up: run `python3 -m e2e.cluster up`") from error
    return Connection(**{**data, "s3": Storage(**data["s3"]), "provider": Provider(data["provider"])})
