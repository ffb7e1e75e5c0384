"""Operator and gateway as processes of this machine, as `python -m` starts them, against a cluster's API server."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.ports import free_port

from axiom.storage.s3 import ACCESS_KEY_FILE, SECRET_KEY_FILE
from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.authority import Authority
from e2e.support.images import Images


@dataclass
class Program:
    """One part of the control plane, started again and again."""

    module: str
    environment: Mapping[str, str]
    log: Path
    health: str
    """host:port of /readyz and /metrics."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; does not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module], env=dict(self.environment), stdout=log, stderr=log
            )

    def wait_until_ready(self, limit_seconds: float = 90) -> None:
        """Until /readyz says so. Raises ClusterError."""
        wait_until(
            f"{self.module} to be ready",
            lambda: None if self.get("/readyz") else "not yet",
            limit_seconds=limit_seconds,
            diagnose=lambda: self.log.read_text()[-3000:],
        )

    def get(self, path: str) -> str:
        """What it answers on its operations port; "" while it does not."""
        try:
            with urlopen(f"http://{self.health}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (URLError, OSError):
            return ""

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(number)
        return process.wait(timeout=90)


@dataclass
class ControlPlane:
    """Both programs, with what they share."""

    operator: Program
    gateway: Program
    gateway_url: str
    environment: dict[str, str] = field(repr=False)

    def another_operator(self, folder: Path, identity: str) -> Program:
        """A second operator that competes for the same Lease."""
        health = f"127.0.0.1:{free_port()}"
        environment = {
            **self.environment,
            "AXIOM_OPERATOR_IDENTITY": identity,
            "AXIOM_OPERATOR_METRICS": health,
        }
        return Program("axiom.reconciling", environment, folder / f"{identity}.log", health)

    def stop(self) -> None:
        """Ends both."""
        self.operator.stop()
        self.gateway.stop()


def make_control_plane(
    cluster: Connection,
    images: Images,
    authority: Authority,
    namespace: str,
    folder: Path,
    git_authority: str = "",
    more: Mapping[str, str] | None = None,
) -> ControlPlane:
    """Operator and gateway with files in this folder; not started. Git servers may have certificates of `git_authority`; `more` are
    further variables of both."""
    (authority.client / "ca.crt").write_text(authority.ca)
    keys = folder / "token-keys"
    keys.write_text(secrets.token_hex(32) + "\n")
    storage_keys = folder / "storage-keys"
    storage_keys.mkdir()
    (storage_keys / ACCESS_KEY_FILE).write_text(cluster.s3.access_key)
    (storage_keys / SECRET_KEY_FILE).write_text(cluster.s3.secret_key)
    temporary = folder / "tmp"
    temporary.mkdir()
    operator, gateway, people = (f"127.0.0.1:{free_port()}" for _ in range(3))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(temporary),
        "KUBECONFIG": cluster.kubeconfig,
        "AXIOM_NAMESPACE": namespace,
        "AXIOM_CHANNEL_TLS": str(authority.client),
        "AXIOM_TOKEN_KEYS": str(keys),
        "AXIOM_SUPERVISOR_IMAGE": images.sandbox,
        "AXIOM_VERIFIER_IMAGE": images.verifier,
        "AXIOM_NETWORK_POLICIES": "false",
        "AXIOM_FETCH_CA": git_authority,
        "AXIOM_OPERATOR_IDENTITY": "operator-1",
        "AXIOM_OPERATOR_METRICS": operator,
        "AXIOM_S3_ENDPOINT": cluster.s3.endpoint,
        "AXIOM_S3_CREDENTIALS": str(storage_keys),
        "AXIOM_S3_BUCKET": namespace,
        "AXIOM_S3_CREATE_BUCKET": "true",
        "AXIOM_GATEWAY_LISTEN": people,
        "AXIOM_GATEWAY_METRICS": gateway,
        "AXIOM_GATEWAY_SCRATCH": str(folder / "scratch"),
        **(more or {}),
    }
    return ControlPlane(
        Program("axiom.reconciling", environment, folder / "operator.log", operator),
        Program("axiom.gateway", environment, folder / "gateway.log", gateway),
        f"http://{people}",
        environment,
    )
