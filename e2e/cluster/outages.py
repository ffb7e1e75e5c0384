"""Takes one daemon of a running cluster away for a while, and brings it back."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.cluster.api import from_kubeconfig
from e2e.cluster.components import api_server
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import Cluster
from e2e.cluster.processes import start, started, tail
from e2e.cluster.waiting import wait_until


@contextmanager
def without_api_server(cluster: Cluster) -> Iterator[None]:
    """Kills kube-apiserver; at the end it is started again, and waited for.

    Raises:
        ClusterError: it does not end, or does not come back.
    """
    daemon = api_server(cluster)
    process = next(one for one in started(cluster) if one.name == daemon.name)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(
        "kube-apiserver to end",
        lambda: "it still runs" if process.is_running() else None,
        limit_seconds=20,
    )
    try:
        yield
    finally:
        again = start(cluster, daemon)
        wait_until(
            "kube-apiserver to be back",
            lambda: _unready(cluster),
            limit_seconds=60,
            diagnose=lambda: tail(again.log),
        )


def _unready(cluster: Cluster) -> str | None:
    try:
        from_kubeconfig(cluster.kubeconfig).get("/readyz")
    except ClusterError as error:
        return str(error)
    return None
