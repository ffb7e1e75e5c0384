"""kind in place of the hermetic cluster, for machines with docker and a registry to pull the node's image from."""

import os
import shutil
import subprocess
from pathlib import Path

from e2e.cluster.binaries import binary, build_part
from e2e.cluster.errors import ClusterError
from e2e.cluster.shell import run, stream

CONFIGURATION = Path(__file__).parent / "kind.yaml"
_IMAGE = "E2E_KIND_IMAGE"


def program() -> str:
    """kind: on PATH, or compiled from its module. Raises ClusterError."""
    if found := shutil.which("kind"):
        return found
    build_part("kind")
    return str(binary("kind"))


def create(name: str) -> None:
    """Makes a cluster unless there is one of this name. Raises ClusterError."""
    require_docker()
    if name in clusters():
        return
    image = os.environ.get(_IMAGE)
    command = [
        program(),
        "create",
        "cluster",
        "--name",
        name,
        "--config",
        str(CONFIGURATION),
        "--wait",
        "180s",
    ]
    command += ["--kubeconfig", os.devnull, *(["--image", image] if image else [])]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    if ended.returncode != 0:
        raise ClusterError(explain(ended.stderr))
    print(f"kind made cluster {name}", flush=True)
    add_routes(name)


def delete(name: str) -> None:
    """Removes it, if it is there. Raises ClusterError."""
    require_docker()
    stream([program(), "delete", "cluster", "--name", name], timeout_seconds=300)


def clusters() -> list[str]:
    """The names of all clusters of kind. Raises ClusterError."""
    return run([program(), "get", "clusters"]).split()


def kubeconfig(name: str) -> str:
    """The administrator's kubeconfig, YAML. Raises ClusterError."""
    if name not in clusters():
        raise ClusterError(f"kind has no cluster {name}: run `E2E_CLUSTER=kind python3 -m e2e.cluster up`")
    return run([program(), "get", "kubeconfig", "--name", name])


def load_archive(name: str, archive: Path) -> None:
    """Brings a `docker save` archive to every node. Raises ClusterError."""
    run([program(), "load", "image-archive", archive, "--name", name], timeout_seconds=600)


def nodes(name: str) -> list[str]:
    """The containers that are its nodes. Raises ClusterError."""
    return run([program(), "get", "nodes", "--name", name]).split()


def has_image(name: str, image: str) -> bool:
    """Whether every node has it. Raises ClusterError."""
    listing = ("ctr", "--namespace", "k8s.io", "images", "list", "--quiet")
    return all(image in run(["docker", "exec", node, *listing]).split() for node in nodes(name))


def machine_address() -> str:
    """Where pods reach a server of this machine: docker's end of kind's network. Raises ClusterError."""
    form = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    addresses = run(["docker", "network", "inspect", "kind", "--format", form]).split()
    return next((address for address in addresses if "." in address), "")


def add_routes(name: str) -> None:
    """Leads this machine to the pods, whom tests with an operator outside of the cluster speak with. Raises ClusterError."""
    for node in nodes(name):
        address = run(["docker", "inspect", node, "--format", "{{.NetworkSettings.Networks.kind.IPAddress}}"])
        query = "jsonpath={.spec.podCIDR}"
        kubectl = (
            "kubectl",
            "--kubeconfig",
            "/etc/kubernetes/admin.conf",
            "get",
            "node",
            node,
            "--output",
            query,
        )
        pods = run(["docker", "exec", f"{name}-control-plane", *kubectl])
        route = ["ip", "route", "replace", pods.strip(), "via", address.strip()]
        if os.geteuid() == 0:
            run(route)
        else:
            print(f"for tests that speak with pods: sudo {' '.join(route)}", flush=True)


def explain(said: str) -> str:
    """What kind said, with the cure where it is known."""
    if "kindest/node" in said and ("pull" in said or "failed to get" in said):
        return (
            "kind cannot get its node's image. Make it available to docker and name it in "
            f"{_IMAGE}, such as kindest/node:v1.36.1, or use the hermetic cluster, which needs no images "
            f"(E2E_CLUSTER=hermetic)\n{said.strip()[-1500:]}"
        )
    return f"kind: {said.strip()[-3000:]}"


def require_docker() -> None:
    """Raises ClusterError where docker does not answer."""
    if shutil.which("docker") is None:
        raise ClusterError("E2E_CLUSTER=kind needs docker on PATH, and there is none")
    ended = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False, timeout=30)
    if ended.returncode != 0:
        raise ClusterError(f"E2E_CLUSTER=kind needs docker, which does not answer: {ended.stderr.strip()}")
