"""The Helm chart, installed with images that were built here."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.binaries import binary
from e2e.cluster.connection import Connection
from e2e.cluster.providing import has_image, image_name, provide_image
from e2e.support.images import ROOT, Images
from e2e.support.kubernetes import Kubectl

CHART = ROOT / "charts" / "axiom"
_STORAGE_DOCKERFILE = """\
FROM scratch
COPY versitygw /versitygw
USER 65532:65532
ENTRYPOINT ["/versitygw"]
"""


class HelmError(AssertionError):
    """helm refused; the message is what it said."""


@dataclass(frozen=True)
class Release:
    """A release of the chart, installed or not."""

    connection: Connection
    namespace: str
    name: str = "axiom"

    def helm(self, verb: str, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """Standard output of `helm VERB RELEASE …`. Raises HelmError, with all that was said."""
        command = [f"{self.connection.bin_dir}/helm", "--kubeconfig", self.connection.kubeconfig]
        command += ["--namespace", self.namespace, verb, self.name, *arguments]
        if values is not None:
            command += ["--values", "-"]
        ended = subprocess.run(
            command,
            input=None if values is None else json.dumps(values),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        if ended.returncode != 0:
            raise HelmError(
                f"helm {verb} {' '.join(arguments)}: {ended.stderr.strip()}\n{ended.stdout.strip()}"
            )
        return ended.stdout

    def install(self, values: Mapping[str, Any], chart: Path = CHART) -> str:
        """Installs and waits until everything is ready; the notes. Raises HelmError."""
        return self.helm(
            "install", str(chart), "--create-namespace", "--wait", "--timeout", "5m", values=values
        )

    def upgrade(self, values: Mapping[str, Any], chart: Path = CHART) -> str:
        """Upgrades and waits; the notes. Raises HelmError."""
        return self.helm("upgrade", str(chart), "--wait", "--timeout", "5m", values=values)

    def test(self) -> str:
        """Runs `helm test`; what it and its pod said. Raises HelmError, with that, when a check failed."""
        return self.helm("test", "--logs", "--timeout", "5m")

    def uninstall(self) -> None:
        """Removes it and waits. Raises HelmError."""
        self.helm("uninstall", "--wait", "--timeout", "5m")


def build_storage_image(connection: Connection) -> str:
    """An image of the S3 server alone; its name. Raises ClusterError."""
    program = binary("versitygw").resolve()
    image = image_name(connection, "versitygw", program.parent.name.rpartition("-")[2])
    if has_image(connection, image):
        return image
    with tempfile.TemporaryDirectory(prefix="axiom-storage-") as folder:
        shutil.copy(program, folder)
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(_STORAGE_DOCKERFILE)
        provide_image(connection, image, dockerfile, Path(folder))
    return image


def image_values(images: Images, storage: str) -> dict[str, Any]:
    """Values that name images which are on the node."""
    return {
        "images": {
            "controlPlane": images.control_plane,
            "sandbox": images.sandbox,
            "verifier": images.verifier,
            "browser": "",
            "storage": storage,
        }
    }


@contextmanager
def installed(
    connection: Connection, values: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]
) -> Iterator[Release]:
    """A release in a namespace of its own that enforces `restricted` and holds these Secrets; removed afterwards.

    Everybody's AgentTasks go with it.
    """
    release = Release(connection, f"axiom-{uuid.uuid4().hex[:8]}")
    admin = Kubectl(connection, release.namespace)
    if admin.run("get", "crd", "agenttasks.axiom.dev").returncode == 0:
        # somebody else's, which helm would respect
        take = ("apply", "--server-side", "--force-conflicts", "--field-manager=helm")
        admin(*take, "--filename", str(ROOT / "crds"))
    admin("create", "namespace", release.namespace)
    admin("label", "namespace", release.namespace, "pod-security.kubernetes.io/enforce=restricted")
    for name, content in secrets.items():
        admin.create(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": content}
        )
    try:
        release.install(values)
        yield release
    finally:
        admin.run("delete", "agenttasks", "--all", "--all-namespaces", timeout=120)
        if release.name in admin("get", "deployments", "--output", "name"):
            release.uninstall()
        admin.run("delete", "namespace", release.namespace, "--wait=false")
