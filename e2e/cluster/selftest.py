"""Checks, against the running cluster, of everything that the end-to-end tests rely on."""

import http.client
import json
import socket
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.base_images import DEBIAN
from e2e.cluster.connection import Connection, load
from e2e.cluster.errors import ClusterError
from e2e.cluster.forwarding import forwarded
from e2e.cluster.layout import METADATA_ADDRESS, Cluster
from e2e.cluster.metadata import ANSWER
from e2e.cluster.shell import run
from e2e.cluster.waiting import wait_until

_NAMESPACE = "axiom-e2e-selftest"
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
# Programs for python3 in a pod; each prints one line.
_SERVER = "from http.server import *; HTTPServer(('', 8080), SimpleHTTPRequestHandler).serve_forever()"
_CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1).close()
    print("open")
except OSError as error:
    print("closed", error)
"""
_METADATA = """
import sys, urllib.request
print(urllib.request.urlopen(f"http://{sys.argv[1]}/", timeout=2).read().decode().strip())
"""
_API = """
import ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
token = open(f"{folder}/token").read()
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
request = urllib.request.Request(
    "https://kubernetes.default.svc/version", headers={"Authorization": f"Bearer {token}"})
print(urllib.request.urlopen(request, timeout=5, context=context).read().decode().split())
"""


@dataclass(frozen=True)
class Kubectl:
    """kubectl against one cluster and in the self-test's namespace."""

    connection: Connection

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        return run(
            [
                f"{self.connection.bin_dir}/kubectl", "--kubeconfig", self.connection.kubeconfig,
                "--namespace", _NAMESPACE, *arguments,
            ],
            stdin=stdin,
        )  # fmt: skip

    def apply(self, *objects: dict[str, Any]) -> None:
        self(
            "apply",
            "--filename",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        )

    def python(self, pod: str, program: str, *arguments: str) -> str:
        return self("exec", pod, "--container", "main", "--", "python3", "-c", program, *arguments).strip()


def selftest(cluster: Cluster) -> int:
    """Run all checks, print one line each, and return the number of failures."""
    kubectl = Kubectl(load(cluster))
    kubectl("delete", "namespace", _NAMESPACE, "--ignore-not-found", "--wait")
    kubectl("create", "namespace", _NAMESPACE)
    try:
        checks = _checks(cluster, kubectl)
        return sum(0 if _passes(name, check) else 1 for name, check in checks.items())
    finally:
        kubectl("delete", "namespace", _NAMESPACE, "--wait=false")


def _passes(name: str, check: Callable[[], None]) -> bool:
    began = time.monotonic()
    try:
        check()
    except (ClusterError, AssertionError, OSError) as error:
        print(f"FAIL  {name}: {error}", flush=True)
        return False
    print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def _checks(cluster: Cluster, kubectl: Kubectl) -> dict[str, Callable[[], None]]:
    return {
        "a restricted pod with its own user namespace and a native sidecar runs": (
            lambda: _pods_run(kubectl)
        ),
        "its user ids are not the machine's": lambda: _user_namespace(kubectl),
        "its root file system is read-only and its seccomp filter on": lambda: _locked(kubectl),
        "its logs can be read": lambda: _logs(kubectl),
        "a Service's name resolves in a pod": lambda: _dns(cluster, kubectl),
        "a pod reaches another through its Service": (lambda: _reaches(kubectl, "server", 80, open_=True)),
        "a pod reaches the API server with its token": lambda: _api_server(kubectl),
        "the metadata stand-in answers where no policy forbids it": lambda: _metadata(kubectl),
        "the S3 server is reachable from a pod": (
            lambda: _reaches(kubectl, str(cluster.storage_address), 7070, open_=True)
        ),
        "the machine reaches a pod and a Service by their addresses": (lambda: _from_machine(kubectl)),
        "a pod reaches a server on the machine": lambda: _to_machine(cluster, kubectl),
        "the kubelet forwards a port of a pod": lambda: _port_forward(kubectl),
        "no packet leaves the cluster": lambda: _boundary(cluster, kubectl),
        "an egress policy closes everything": lambda: _egress_denied(cluster, kubectl),
        "an egress policy opens what it names": lambda: _egress_allowed(cluster, kubectl),
        "an ingress policy closes a pod, but not for the kubelet's probes": (
            lambda: _ingress_denied(kubectl)
        ),
        "an ingress policy opens a named port to selected pods": lambda: _ingress_allowed(kubectl),
        "the audit log names who wrote what": lambda: _audit(kubectl),
    }


def _pod(name: str, program: str, *, token: bool) -> dict[str, Any]:
    container = {
        "image": DEBIAN.name,
        "imagePullPolicy": "Never",
        "securityContext": _RESTRICTED,
        "workingDir": "/tmp",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "hostUsers": False,
            "automountServiceAccountToken": token,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [
                {
                    **container,
                    "name": "sidecar",
                    "restartPolicy": "Always",
                    "command": ["sleep", "infinity"],
                }
            ],
            "containers": [
                {
                    **container,
                    "name": "main",
                    "command": ["sh", "-c", f'echo hello from {name}; exec python3 -c "{program}"'],
                    "ports": [{"name": "web", "containerPort": 8080}],
                    "readinessProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1},
                }
            ],
        },
    }


def _policy(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def _pods_run(kubectl: Kubectl) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": "web"}]},
    }
    wait_until(
        "the namespace's service account",
        lambda: None if kubectl("get", "serviceaccounts", "--output", "name") else "none yet",
        limit_seconds=20,
    )
    kubectl.apply(_pod("server", _SERVER, token=False), _pod("client", _SERVER, token=True), service)
    kubectl("wait", "--for=condition=Ready", "pod/server", "pod/client", "--timeout=40s")


def _user_namespace(kubectl: Kubectl) -> None:
    mapping = kubectl.python("client", "print(open('/proc/self/uid_map').read())").split()
    assert mapping[0] == "0", mapping
    assert int(mapping[1]) >= 65536, mapping


def _locked(kubectl: Kubectl) -> None:
    status = kubectl.python("client", "print(open('/proc/self/status').read())")
    assert "Seccomp:\t2" in status, status
    assert "NoNewPrivs:\t1" in status, status
    program = "try: open('/x', 'w')\nexcept OSError as error: print(error.strerror)"
    assert kubectl.python("client", program) == "Read-only file system"


def _logs(kubectl: Kubectl) -> None:
    assert "hello from server" in kubectl("logs", "server", "--container", "main")


def _dns(cluster: Cluster, kubectl: Kubectl) -> None:
    program = f"import socket; print(socket.gethostbyname('server.{_NAMESPACE}.svc.cluster.local'))"
    address = kubectl.python("client", program)
    assert address.startswith(str(cluster.service_network.network_address)[:8]), address


def _api_server(kubectl: Kubectl) -> None:
    assert "gitVersion" in kubectl.python("client", _API)


def _metadata(kubectl: Kubectl) -> None:
    answer = kubectl.python("client", _METADATA, str(METADATA_ADDRESS))
    assert answer == ANSWER.decode().strip(), answer


def _from_machine(kubectl: Kubectl) -> None:
    pod = kubectl("get", "pod", "server", "--output", "jsonpath={.status.podIP}")
    service = kubectl("get", "service", "server", "--output", "jsonpath={.spec.clusterIP}")
    for address in ((pod, 8080), (service, 80)):
        socket.create_connection(address, timeout=3).close()


def _to_machine(cluster: Cluster, kubectl: Kubectl) -> None:
    with socket.create_server((str(cluster.machine_address), 0)) as server:
        _reaches(kubectl, str(cluster.machine_address), server.getsockname()[1], open_=True)


def _port_forward(kubectl: Kubectl) -> None:
    with (
        forwarded(kubectl.connection, _NAMESPACE, "server", 8080) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer,
    ):
        assert answer.status == http.client.OK


def _boundary(cluster: Cluster, kubectl: Kubectl) -> None:
    # Of the same reserved range, but not this cluster's: unreachable even if it existed.
    outside = cluster.network.broadcast_address + 1
    state = kubectl.python("client", _CONNECT, str(outside), "80")
    assert state.startswith("closed"), state


def _egress_denied(cluster: Cluster, kubectl: Kubectl) -> None:
    targets = (
        (kubectl("get", "pod", "server", "--output", "jsonpath={.status.podIP}"), 8080),
        (str(METADATA_ADDRESS), 80),
        (str(cluster.node_address), 6443),
        (str(cluster.node_address), 10250),
        (str(cluster.storage_address), 7070),
        (str(cluster.service_network[1]), 443),
    )
    for host, port in targets:
        _reaches(kubectl, host, port, open_=True)
    kubectl.apply(
        _policy("egress", {"podSelector": {"matchLabels": {"app": "client"}},
                           "policyTypes": ["Egress"]})
    )  # fmt: skip
    for host, port in targets:
        _reaches(kubectl, host, port, open_=False)


def _egress_allowed(cluster: Cluster, kubectl: Kubectl) -> None:
    dns = {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            }
        ],
        "ports": [{"protocol": "UDP", "port": 53}],
    }
    server = {
        "to": [{"podSelector": {"matchLabels": {"app": "server"}}}],
        "ports": [{"port": "web"}],
    }
    block = {
        "to": [
            {
                "ipBlock": {
                    "cidr": str(cluster.node_network),
                    "except": [f"{cluster.node_address}/32"],
                }
            }
        ]
    }
    kubectl.apply(
        _policy("egress", {"podSelector": {"matchLabels": {"app": "client"}},
                           "policyTypes": ["Egress"], "egress": [dns, server, block]})
    )  # fmt: skip
    _reaches(kubectl, "server", 80, open_=True)
    _reaches(kubectl, str(cluster.storage_address), 7070, open_=True)
    _reaches(kubectl, str(cluster.node_address), 6443, open_=False)
    kubectl("delete", "networkpolicy", "egress")
    _reaches(kubectl, str(cluster.node_address), 6443, open_=True)


def _ingress_denied(kubectl: Kubectl) -> None:
    kubectl.apply(
        _policy("ingress", {"podSelector": {"matchLabels": {"app": "server"}},
                            "policyTypes": ["Ingress"]})
    )  # fmt: skip
    _reaches(kubectl, "server", 80, open_=False)
    kubectl("wait", "--for=condition=Ready", "pod/server", "--timeout=5s")


def _ingress_allowed(kubectl: Kubectl) -> None:
    rule = {
        "from": [
            {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In",
                                                   "values": ["client"]}]}}
        ],
        "ports": [{"port": "web"}],
    }  # fmt: skip
    kubectl.apply(
        _policy("ingress", {"podSelector": {"matchLabels": {"app": "server"}},
                            "policyTypes": ["Ingress"], "ingress": [rule]})
    )  # fmt: skip
    _reaches(kubectl, "server", 80, open_=True)


def _reaches(kubectl: Kubectl, host: str, port: int, *, open_: bool) -> None:
    """Policies take effect shortly after they are written, so ask until the answer is right."""

    def missing() -> str | None:
        state = kubectl.python("client", _CONNECT, host, str(port))
        return None if state.startswith("open") == open_ else f"{host}:{port} is {state}"

    wait_until(f"a pod's connection to be {'open' if open_ else 'closed'}", missing, limit_seconds=10)


def _audit(kubectl: Kubectl) -> None:
    log = Path(kubectl.connection.audit_log).read_text()
    events = [json.loads(line) for line in log.splitlines()]
    writers = {
        event["user"]["username"]
        for event in events
        if event["verb"] == "create"
        and event.get("objectRef", {}).get("resource") == "networkpolicies"
        and event["objectRef"].get("namespace") == _NAMESPACE
    }
    assert writers == {"e2e-admin"}, writers
