"""Bringing a cluster up: in which order, and what is waited for.

A cluster is either whole or not there. What is left of one whose daemon died, or of a machine
that was restarted, is removed and the cluster made anew.
"""

import json
import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e.cluster import components
from e2e.cluster.api import Api, from_kubeconfig
from e2e.cluster.base_images import archives, build_base_images
from e2e.cluster.binaries import KUBERNETES_VERSION, bin_dir, binary, build_binaries
from e2e.cluster.certificates import create_certificates
from e2e.cluster.cgroups import create_cgroups
from e2e.cluster.configuration import write_configuration
from e2e.cluster.connection import Connection, Storage, save
from e2e.cluster.dockerfiles import load_image
from e2e.cluster.errors import ClusterError
from e2e.cluster.kernel import remember_settings
from e2e.cluster.layout import Cluster
from e2e.cluster.locks import locked
from e2e.cluster.mounts import create_mounts
from e2e.cluster.network import create_network
from e2e.cluster.packages import install_packages
from e2e.cluster.processes import Daemon, Process, start, started, tail
from e2e.cluster.shell import run
from e2e.cluster.stopping import leftovers, remove
from e2e.cluster.waiting import wait_until


def build() -> None:
    """Everything that a cluster needs and that does not depend on which one it is."""
    install_packages()
    build_binaries()
    build_base_images()


def up(cluster: Cluster) -> None:
    """Make sure that the cluster runs, its node and its DNS ready.

    Raises:
        ClusterError: with the end of the log of the component that failed.
    """
    began = time.monotonic()
    build()
    with locked(cluster.lock, "another up or down", limit_seconds=600):
        if is_up(cluster):
            print(f"cluster {cluster.name} is up already")
        else:
            if leftovers(cluster):
                print(f"removing what is left of an earlier cluster {cluster.name}", flush=True)
                remove(cluster)
            _create(cluster)
            print(f"cluster {cluster.name} came up in {time.monotonic() - began:.1f} s")
    print(f"Kubernetes {KUBERNETES_VERSION}; to use it:")
    print(f"  export KUBECONFIG={cluster.kubeconfig} PATH={bin_dir()}:$PATH")


def is_up(cluster: Cluster) -> bool:
    """Whether every daemon runs and the node is ready."""
    processes = started(cluster)
    if not cluster.connection.exists() or not all(one.is_running() for one in processes):
        return False
    return _node_missing(cluster, from_kubeconfig(cluster.kubeconfig)) is None


def _create(cluster: Cluster) -> None:
    for folder in (cluster.state, cluster.run):
        # Passable for all: a container's root in its own user namespace is nobody out here.
        folder.mkdir(parents=True, mode=0o711)
    cluster.logs.mkdir()
    for folder in (cluster.state / "storage" / "data", cluster.state / "storage" / "metadata"):
        folder.mkdir(parents=True, mode=0o700)
    remember_settings(cluster)
    create_mounts(cluster)
    create_network(cluster)
    create_cgroups(cluster)
    create_certificates(cluster)
    write_configuration(cluster)
    access_key, secret_key = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)

    runtime = start(cluster, components.containerd(cluster))
    start(cluster, components.etcd(cluster))
    api_server = start(cluster, components.api_server(cluster))
    metadata = start(cluster, components.metadata(cluster))
    storage = start(cluster, components.storage(cluster, access_key, secret_key))
    # A kubelet that finds no runtime ends at once.
    _wait_for(runtime, "containerd", lambda: socket_missing(cluster.containerd_socket))
    with ThreadPoolExecutor() as pool:
        imports = [pool.submit(load_image, archive, cluster=cluster) for archive in archives()]
        kubelet = start(cluster, components.kubelet(cluster))
        api = from_kubeconfig(cluster.kubeconfig)
        _wait_for(api_server, "the API server", lambda: _not_ready(api))
        rest: tuple[Daemon, ...] = (
            components.controller_manager(cluster),
            components.scheduler(cluster),
            components.proxy(cluster),
            components.netpol(cluster),
        )
        for daemon in rest:
            start(cluster, daemon)
        for imported in imports:
            imported.result()
    run(
        [binary("kubectl"), "--kubeconfig", cluster.kubeconfig, "apply",
         "--filename", cluster.config / "coredns.yaml"]
    )  # fmt: skip
    _wait_for(kubelet, "the node", lambda: _node_missing(cluster, api))
    _wait_for(kubelet, "cluster DNS", lambda: _dns_missing(api))
    _wait_for(storage, "the S3 server", lambda: _port_missing(str(cluster.storage_address), 7070))
    _wait_for(metadata, "the metadata stand-in", lambda: _ended(metadata))
    for process in started(cluster):
        if not process.is_running():
            raise ClusterError(f"{process.name} ended\n{tail(process.log)}")
    save(
        cluster,
        Connection(
            name=cluster.name,
            kubeconfig=str(cluster.kubeconfig),
            bin_dir=str(bin_dir()),
            s3=Storage(cluster.storage_endpoint, access_key, secret_key),
            node=cluster.node,
            node_address=str(cluster.node_address),
            machine_address=str(cluster.machine_address),
            pod_cidr=str(cluster.pod_network),
            service_cidr=str(cluster.service_network),
            api_server=cluster.api_server,
            audit_log=str(cluster.audit_log),
            containerd_socket=str(cluster.containerd_socket),
        ),
    )


def _wait_for(process: Process, what: str, missing: Callable[[], str | None]) -> None:
    """Wait for what `process` provides; its end is an error at once, not after the limit."""

    def checked() -> str | None:
        if not process.is_running():
            raise ClusterError(f"{process.name} ended\n{tail(process.log)}")
        return missing()

    wait_until(what, checked, limit_seconds=90, diagnose=lambda: tail(process.log))


def _ended(process: Process) -> str | None:
    return None if process.is_running() else f"{process.name} ended"


def socket_missing(path: Path) -> str | None:
    """Why nobody can be reached at a Unix socket."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    except OSError as error:
        return f"{path}: {error}"
    return None


def _port_missing(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return f"{host}:{port}: {error}"
    return None


def _not_ready(api: Api) -> str | None:
    try:
        api.get("/readyz")
    except ClusterError as error:
        return str(error)
    return None


def _node_missing(cluster: Cluster, api: Api) -> str | None:
    return _condition_missing(api, f"/api/v1/nodes/{cluster.node}", "Ready")


def _dns_missing(api: Api) -> str | None:
    path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
    return _condition_missing(api, path, "Available")


def _condition_missing(api: Api, path: str, condition: str) -> str | None:
    try:
        status = json.loads(api.get(path)).get("status", {})
    except ClusterError as error:
        return str(error)
    for found in status.get("conditions", []):
        if found["type"] == condition:
            if found["status"] == "True":
                return None
            return f"{condition} is {found['status']}: {found.get('message', '')}"
    return f"no condition {condition} yet"
