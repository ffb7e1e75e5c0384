"""What a cluster is needed for: how long a task takes to its agent's first byte, beside a bare pod's, and its API writes."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e.cluster import connection
from e2e.support.chart import CHART, Release, build_storage_image, image_values
from e2e.support.images import build_agent_image, build_product_images
from e2e.support.kubernetes import Kubectl, Object

from bench.figures import Figure, milliseconds

_TIMES = 20
_LIMIT_SECONDS = 90.0


def cold_starts() -> list[Figure]:
    """20 bare pods and 20 tasks, in turns, each begun when the one before is over."""
    facts = connection.load()
    image = build_agent_image(facts, "plain")
    with _installed(facts), _namespace(facts) as kubectl:
        kubectl.apply(_class(image))
        began = Path(facts.audit_log).stat().st_size
        bare, tasks, whole, uids = [], [], [], set[str]()
        for number in range(_TIMES):
            bare.append(_bare_pod(kubectl, image, f"bare-{number}"))
            first_byte, verdict_after, uid = _task(kubectl, f"cold-{number}")
            tasks.append(first_byte)
            whole.append(verdict_after)
            uids.add(uid)
        writes = _writes(Path(facts.audit_log), began, kubectl.namespace)
    ratio = sorted(tasks)[_TIMES // 2] / sorted(bare)[_TIMES // 2]
    method = f"{_TIMES} in series, bare pods and tasks in turns, warm images; the agent prints its clock as its first byte"
    return [
        Figure("bare pod created → its first byte", milliseconds(bare), "–", method),
        Figure(
            "task created → first byte of the agent, cold",
            f"{milliseconds(tasks)}; {ratio:.1f} times a bare pod",
            "p50 at most 2,500 ms where a bare pod takes 600 ms",
            method,
        ),
        Figure(
            "task created → verdict in status", milliseconds(whole), "–", "the same tasks, a Files criterion"
        ),
        Figure(
            "API writes a task",
            f"{sum(writes.values()) / _TIMES:.1f} ({', '.join(f'{k} {v / _TIMES:.1f}' for k, v in writes.items())})",
            "at most 10",
            "the API server's audit log: writes by operator, gateway and egress in the namespace; Leases and Events apart",
        ),
    ]


@contextmanager
def _installed(facts: connection.Connection) -> Iterator[None]:
    release = Release(facts, f"axiom-bench-{uuid.uuid4().hex[:6]}")
    definitions = (
        "--server-side",
        "--force-conflicts",
        "--field-manager=helm",
        "--filename",
        str(CHART / "crds"),
    )
    Kubectl(facts)("apply", *definitions)  # somebody else may have made them before
    release.install(image_values(build_product_images(facts), build_storage_image()))
    try:
        yield
    finally:
        release.uninstall()
        Kubectl(facts)("delete", "namespace", release.namespace, "--wait=false")


@contextmanager
def _namespace(facts: connection.Connection) -> Iterator[Kubectl]:
    kubectl = Kubectl(facts, f"bench-{uuid.uuid4().hex[:6]}")
    kubectl("create", "namespace", kubectl.namespace)
    try:
        yield kubectl
    finally:
        kubectl("delete", "namespace", kubectl.namespace, "--wait=true", timeout=180)
        kubectl.run("delete", "agentclass", "bench", "--ignore-not-found")


def _class(image: str) -> Object:
    return {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": "bench"},
        "spec": {"image": image, "command": ["/agent", "$(AXIOM_PROMPT)"], "showCriteria": False},
    }


def _bare_pod(kubectl: Kubectl, image: str, name: str) -> float:
    """Seconds from the request to the first byte."""
    container = {
        "name": "agent",
        "image": image,
        "command": ["/agent", "clock"],
        "imagePullPolicy": "IfNotPresent",
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "restartPolicy": "Never", "automountServiceAccountToken": False},
    }
    began = time.time()
    _post(kubectl, f"/api/v1/namespaces/{kubectl.namespace}/pods", pod)
    kubectl.wait_for("pod", name, lambda found: found["status"].get("phase") == "Succeeded", _LIMIT_SECONDS)
    first = _clock(kubectl.logs(name, "agent"))
    kubectl.delete("pod", name, "--grace-period=0")
    return first - began


def _task(kubectl: Kubectl, name: str) -> tuple[float, float, str]:
    """Seconds from the request to the agent's first byte, and to the verdict; the task's UID."""
    task = {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": name},
        "spec": {
            "agentClassName": "bench",
            "prompt": "clock\nwrite out.txt done",
            "criteria": [{"name": "out", "files": {"expect": [{"path": "out.txt", "matches": "^done"}]}}],
        },
    }
    began = time.time()
    _post(kubectl, f"/apis/axiom.dev/v1alpha1/namespaces/{kubectl.namespace}/agenttasks", task)
    found = kubectl.wait_for(
        "agenttask", name, lambda one: bool(one.get("status", {}).get("completionTime")), _LIMIT_SECONDS
    )
    after = time.time() - began
    status = found["status"]
    if status.get("verdict") != "Pass":
        raise SystemExit(f"{name} came to {status.get('verdict')}: {status.get('message')}")
    first = _clock(status["claim"]["text"])
    kubectl.delete("agenttask", name)
    _gone(kubectl)
    return first - began, after, found["metadata"]["uid"]


def _gone(kubectl: Kubectl) -> None:
    """Waits until the task's pods are gone: the next start is not to share the node with their end."""
    until = time.monotonic() + _LIMIT_SECONDS
    while kubectl("get", "pods", "--output", "name").strip():
        if time.monotonic() > until:
            raise SystemExit(f"pods of a deleted task are still there:\n{kubectl('get', 'pods')}")
        time.sleep(0.2)


def _post(kubectl: Kubectl, path: str, document: Object) -> None:
    kubectl.api().post(path, document)


def _clock(text: str) -> float:
    """Seconds since the epoch that an agent printed first."""
    return int(text.split("clock ", 1)[1].split()[0]) / 1000


def _writes(log: Path, start: int, namespace: str) -> Counter[str]:
    """Writes of the control plane's service accounts in a namespace, by verb and resource."""
    counted: Counter[str] = Counter()
    with log.open("rb") as file:
        file.seek(start)
        for line in file:
            entry: dict[str, Any] = json.loads(line)
            reference = entry.get("objectRef", {})
            verb, resource = entry.get("verb"), reference.get("resource", "")
            ours = ":axiom-bench-" in entry.get("user", {}).get("username", "")
            if not ours or verb not in {"create", "update", "patch", "delete", "deletecollection"}:
                continue
            if reference.get("namespace") != namespace or resource in {"events", "leases"}:
                continue
            if entry.get("stage") == "ResponseComplete" or "stage" not in entry:
                part = f"/{reference['subresource']}" if reference.get("subresource") else ""
                counted[f"{verb} {resource}{part}"] += 1
    return counted
