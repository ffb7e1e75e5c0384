"""kubectl in one namespace, and waiting for what becomes of an object."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from e2e.cluster.api import Api, from_kubeconfig
from e2e.cluster.connection import Connection
from e2e.cluster.errors import ClusterError
from e2e.cluster.waiting import wait_until

Object = dict[str, Any]

_TIMED_OUT = 124
"""The exit code of timeout(1)."""


class KubectlError(AssertionError):
    """kubectl refused; the message is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl, as the cluster's administrator, in a namespace."""

    connection: Connection
    namespace: str = "default"

    def run(
        self, *arguments: str, document: Object | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl; `document` is its standard input as JSON. Never raises: not for what kubectl says, nor where it takes
        longer than `timeout`, which is a failure like others, so that whoever cleans up goes on."""
        command = [
            f"{self.connection.bin_dir}/kubectl",
            "--kubeconfig",
            self.connection.kubeconfig,
            "--namespace",
            self.namespace,
            *arguments,
        ]
        try:
            return subprocess.run(
                command,
                input=json.dumps(document) if document is not None else None,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return subprocess.CompletedProcess(command, _TIMED_OUT, "", str(error))

    def __call__(self, *arguments: str, document: Object | None = None, timeout: float = 120) -> str:
        """kubectl's standard output. Raises KubectlError."""
        ended = self.run(*arguments, document=document, timeout=timeout)
        if ended.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout

    def create_namespace(self) -> None:
        """Creates the namespace; returns when pods can be made in it: their ServiceAccount comes a moment later.

        Raises KubectlError, ClusterError.
        """
        self("create", "namespace", self.namespace)
        api, path = self.api(), f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default"

        def missing() -> str | None:
            try:
                api.get(path)
            except ClusterError as error:
                return str(error)
            return None

        wait_until(f"the ServiceAccount of {self.namespace}", missing, limit_seconds=120)

    def create(self, document: Object) -> Object:
        """Creates an object; as the server stored it. Raises KubectlError."""
        return _object(self("create", "--filename", "-", "--output", "json", document=document))

    def apply(self, document: Object) -> Object:
        """Applies an object server-side; as the server stored it. Raises KubectlError."""
        return _object(
            self("apply", "--server-side", "--filename", "-", "--output", "json", document=document)
        )

    def get(self, kind: str, name: str) -> Object | None:
        """An object; None if there is none. Raises KubectlError."""
        text = self("get", kind, name, "--output", "json", "--ignore-not-found")
        return _object(text) if text.strip() else None

    def delete(self, kind: str, name: str, *options: str) -> None:
        """Deletes an object and waits until it is gone. Raises KubectlError."""
        self("delete", kind, name, "--ignore-not-found", *options)

    def execute(self, pod: str, container: str, *command: str) -> str:
        """Standard output of a command in a container. Raises KubectlError."""
        return self("exec", pod, "--container", container, "--", *command)

    def logs(self, pod: str, container: str, *options: str) -> str:
        """A container's log; what kubectl says where there is none."""
        ended = self.run("logs", pod, "--container", container, *options)
        return ended.stdout if ended.returncode == 0 else ended.stderr

    def wait_for(
        self, kind: str, name: str, ready: Callable[[Object], bool], limit_seconds: float = 120
    ) -> Object:
        """Asks the API server until `ready` holds for the object. Raises ClusterError, with the object's status."""
        api, path, found = self.api(), self._path(kind, name), dict[str, Any]()

        def missing() -> str | None:
            found.clear()
            try:
                found.update(json.loads(api.get(path)))
            except ClusterError as error:
                return str(error)
            return None if ready(found) else "not yet"

        def diagnose() -> str:
            status = json.dumps(found.get("status"), indent=1)
            return f"{status}\n{self.run('describe', kind, name).stdout[-3000:]}"

        wait_until(
            f"{kind}/{name}",
            missing,
            limit_seconds=limit_seconds,
            diagnose=diagnose,
            interval_seconds=0.05,
        )
        return dict(found)

    def ready_pod(self, component: str) -> Object:
        """A pod of a component of the installation in this namespace: a former one may be there for a while. Raises ClusterError."""
        api, selector = self.api(), quote(f"app.kubernetes.io/component={component}")
        path, found = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}", list[Object]()

        def missing() -> str | None:
            found[:] = filter(_is_ready, api.list(path)[0])
            return None if found else "none is ready"

        wait_until(f"a pod of {component}", missing, limit_seconds=120)
        return found[0]

    def address_of(self, component: str) -> str:
        """Of `ready_pod`."""
        return str(self.ready_pod(component)["status"]["podIP"])

    def api(self) -> Api:
        """A client without kubectl's start time."""
        return from_kubeconfig(Path(self.connection.kubeconfig))

    def _path(self, kind: str, name: str) -> str:
        roots = {"agenttasks": "/apis/axiom.dev/v1alpha1"}
        plural = kind if kind.endswith("s") else f"{kind}s"
        return f"{roots.get(plural, '/api/v1')}/namespaces/{self.namespace}/{plural}/{name}"


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return is_ready and "deletionTimestamp" not in pod["metadata"]


def _object(text: str) -> Object:
    parsed: Object = json.loads(text)
    return parsed
