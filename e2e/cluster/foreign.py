"""A cluster that is not the hermetic one: kind's, or the one that the current kubeconfig names."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from e2e.cluster import kind
from e2e.cluster.api import from_kubeconfig
from e2e.cluster.binaries import binary
from e2e.cluster.connection import ForeignConnection, Provider, Storage
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import cache, current

LOCAL_CONTEXTS = ("kind-", "k3d-", "minikube", "docker-desktop", "rancher-desktop", "orbstack", "colima")
"""Beginnings of the names that tools give to clusters on one's own machine."""
_OWN_NAMESPACE = re.compile(r"(e2e|axiom)-[0-9a-f]{8}")
"""What tests call the namespaces that they make."""


def connect(provider: Provider) -> ForeignConnection:
    """How such a cluster is reached. Raises ClusterError."""
    tools = tools_folder()
    kubeconfig = write_kubeconfig(tools, provider)
    context = json.loads(kubeconfig.read_text())["current-context"]
    if provider is Provider.CURRENT:
        refuse_strangers(context, os.environ.get("E2E_CURRENT_CONFIRM", ""), strangers(kubeconfig))
        address = os.environ.get("E2E_MACHINE_ADDRESS", "")
    else:
        address = kind.machine_address()
    server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return ForeignConnection(
        name=current().name,
        kubeconfig=str(kubeconfig),
        bin_dir=str(tools),
        s3=Storage(
            *(os.environ.get(f"E2E_S3_{part}", "") for part in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY"))
        ),
        node="",
        node_address="",
        machine_address=address,
        pod_cidr="",
        service_cidr="",
        api_server=server,
        audit_log="",
        containerd_socket="",
        provider=provider,
    )


def tools_folder() -> Path:
    """A folder with kubectl and helm: those on PATH, else those of the hermetic cluster. Raises ClusterError."""
    folder = cache() / "foreign-bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("kubectl", "helm"):
        found = shutil.which(name) or str(binary(name))
        if not Path(found).exists():
            raise ClusterError(
                f"no `{name}` on PATH: install it, or compile it with `python3 -m e2e.cluster build`"
            )
        link = folder / f"{name}.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(found)
        link.replace(folder / name)
    return folder


def write_kubeconfig(tools: Path, provider: Provider) -> Path:
    """The context that is used, alone and with everything in it, readable for nobody else. Raises ClusterError."""
    target = cache() / f"{provider}-{current().name}.kubeconfig"
    source: list[str] = []
    if provider is Provider.KIND:
        target.touch(mode=0o600)
        target.write_text(kind.kubeconfig(current().name))
        source = ["--kubeconfig", str(target)]
    command = [
        tools / "kubectl",
        *source,
        "config",
        "view",
        "--raw",
        "--minify",
        "--flatten",
        "--output",
        "json",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if ended.returncode != 0:
        raise ClusterError(
            f"E2E_CLUSTER={provider}: the kubeconfig names no cluster (see KUBECONFIG and `kubectl config "
            f"current-context`): {ended.stderr.strip()}"
        )
    target.touch(mode=0o600)
    target.write_text(ended.stdout)
    return target


def strangers(kubeconfig: Path) -> list[str]:
    """What of Axiom is at work in the cluster that no test made, and that a test's operator would take up. Raises ClusterError."""
    api = from_kubeconfig(kubeconfig)
    selector = "labelSelector=app.kubernetes.io%2Fname%3Daxiom,app.kubernetes.io%2Fcomponent%3Doperator"
    found = [("operator", item) for item in api.list(f"/apis/apps/v1/deployments?{selector}")[0]]
    try:
        found += [("AgentTask", item) for item in api.list("/apis/axiom.dev/v1alpha1/agenttasks")[0]]
    except ClusterError as error:
        if " 404 " not in str(error):
            raise
    return [f"{what} {_place(item)}" for what, item in found if not _is_own(item)]


def _place(item: dict[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _is_own(item: dict[str, Any]) -> bool:
    return _OWN_NAMESPACE.fullmatch(item["metadata"]["namespace"]) is not None


def refuse_strangers(context: str, confirmed: str, others: Iterable[str]) -> None:
    """Tests install definitions, cluster roles and admission policies, and an operator for every namespace. Raises ClusterError."""
    if found := list(others):
        raise ClusterError(
            f"context {context} has an Axiom at work, which the tests would disturb: {', '.join(found[:5])}. "
            "Use another cluster"
        )
    if not context.startswith(LOCAL_CONTEXTS) and confirmed != context:
        raise ClusterError(
            f"context {context} may be a cluster that others rely on, and the tests install definitions, cluster roles, "
            f"admission policies and an operator in it. If that is meant: E2E_CURRENT_CONFIRM={context}"
        )
