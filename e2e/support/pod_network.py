"""Whether this machine reaches pods by their addresses: a fact of a cluster's network that nothing declares."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

from e2e.cluster.errors import NotHereError
from e2e.support.kubernetes import Kubectl, Object

_PATIENCE_SECONDS = 2
_TRIED = 5


def require_pod_network(kubectl: Kubectl) -> None:
    """Tries some pods of kube-system. Raises NotHereError when none answers, be it with a refusal."""
    pods = json.loads(kubectl("get", "pods", "--namespace", "kube-system", "--output", "json"))["items"]
    tried = list(listening(pods))[:_TRIED]
    if not any(answers(address, port) for address, port in tried):
        raise NotHereError(
            "pods cannot be reached from this machine by their addresses, as an operator that runs on it must "
            f"(tried {', '.join(f'{address}:{port}' for address, port in tried) or 'none: no pod listens'}); "
            "test_chart runs one inside of the cluster"
        )


def listening(pods: list[Object]) -> Iterator[tuple[str, int]]:
    """Addresses and TCP ports of running pods in the pod network."""
    for pod in pods:
        status, spec = pod["status"], pod["spec"]
        if status.get("phase") != "Running" or spec.get("hostNetwork") or "podIP" not in status:
            continue
        for container in spec["containers"]:
            for port in container.get("ports", ()):
                if port.get("protocol", "TCP") == "TCP":
                    yield status["podIP"], port["containerPort"]


def answers(address: str, port: int) -> bool:
    """A refusal is an answer, too."""
    try:
        socket.create_connection((address, port), timeout=_PATIENCE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True
