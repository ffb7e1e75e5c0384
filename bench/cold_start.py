"""How long a task takes to its agent's first byte and from there to its verdict, phase by phase, beside a bare pod."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from statistics import median

from e2e.cluster.errors import ClusterError
from e2e.support.kubernetes import Kubectl, Object

from axiom.manifests.pods import certificate_of
from bench.figures import Figure, Part, Phase, milliseconds
from bench.installation import LIMIT_SECONDS, Installation

_TIMES = 20

Marks = dict[str, float]
"""When something happened, in seconds since the epoch."""

START = (
    ("asked", "accepted", "operator hears of the task, checks it, writes Accepted"),
    ("accepted", "created", "operator looks at the network policies, creates the pod"),
    ("created", "scheduled", "scheduler"),
    ("scheduled", "sandboxed", "kubelet: volumes (which it looks at every 300 ms), network, the pod's own sandbox"),
    ("sandboxed", "told", "three containers and the installer's hook, until certificate and address are in the status"),
    ("told", "based", "control plane connects; probe, if it still runs; workspace goes in"),
    ("based", "running", "operator hears of it, writes Running"),
    ("running", "started", "start ordered, made durable; agent's process starts"),
    ("started", "first byte", "agent's first byte"),
)  # fmt: skip
END = (
    ("exited", "captured", "everything frozen, workspace captured, diff made"),
    ("captured", "verifying", "evidence stored; operator writes Verifying"),
    ("verifying", "verifier created", "verifier's pod created"),
    ("verifier created", "verifier told", "verifier's pod: scheduler, kubelet, certificate and address in the status"),
    ("verifier told", "verifier based", "control plane connects; base goes in"),
    ("verifier based", "checked", "changes go in, criteria ordered and decided (a Files criterion: nothing runs)"),
    ("checked", "complete", "verifier sealed, agent stopped and sealed; outcome written"),
)  # fmt: skip


class PodWatch:
    """When pods of a namespace first showed something, as a watch heard of it."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl, self._ended = kubectl, threading.Event()
        self._marks: dict[tuple[str, str], float] = {}

    def of(self, pod: str) -> Marks:
        """`sandboxed` and `told` of a pod."""
        return {what: when for (name, what), when in self._marks.items() if name == pod}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches in a thread."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()

    def _watch(self) -> None:
        path = f"/api/v1/namespaces/{self._kubectl.namespace}/pods"
        while not self._ended.is_set():
            try:
                version = self._kubectl.api().list(path)[1]
                for kind, pod in self._kubectl.api().watch(path, version):
                    if kind != "BOOKMARK":
                        self._see(pod, time.time())
            except ClusterError:
                continue

    def _see(self, pod: Object, now: float) -> None:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        for item in status.get("conditions") or ():
            if item["type"] == "PodReadyToStartContainers" and item["status"] == "True":
                self._marks.setdefault((name, "sandboxed"), now)
        if certificate_of(pod) and status.get("podIP"):
            self._marks.setdefault((name, "told"), now)


def cold_starts(installation: Installation) -> Part:
    """20 bare pods and 20 tasks, in turns, each begun when the one before is over."""
    load = f"{os.getloadavg()[0]:.1f}"
    kubectl = installation.kubectl
    installation.make_class("bench", installation.agent_image, ["/agent", "$(AXIOM_PROMPT)"])
    watch, began = PodWatch(kubectl), installation.audit_size()
    bare, tasks = [], []
    with watch.watching():
        for number in range(_TIMES):
            bare.append(_bare_pod(installation, f"bare-{number}"))
            tasks.append(_task(installation, watch, f"cold-{number}"))
    writes = written(installation.audit(began))
    starts = [marks["first byte"] - marks["asked"] for marks in tasks]
    ends = [marks["complete"] - marks["exited"] for marks in tasks]
    whole = [marks["complete"] - marks["asked"] for marks in tasks]
    method = f"{_TIMES} in series, bare pods and tasks in turns, warm images; the agent prints its clock as its first byte"
    counts = ", ".join(f"{kind} {count / _TIMES:.1f}" for kind, count in writes.items())
    return Part(
        (
            Figure("bare pod created → its first byte", milliseconds(bare), "–", method),
            Figure(
                "task created → first byte of the agent, cold",
                f"{milliseconds(starts)}; {median(starts) / median(bare):.1f} times a bare pod",
                "p50 at most 1,500 ms",
                method,
            ),
            Figure(
                "end of the agent's turn → verdict in status",
                milliseconds(ends),
                "p50 at most 3,000 ms beyond the criteria's own commands",
                "the same tasks, a Files criterion: no command of its own; from the ledger's agent_exited to the audit log's status write",
            ),
            Figure("task created → verdict in status", milliseconds(whole), "–", "the same tasks"),
            Figure(
                "API writes a task",
                f"{sum(writes.values()) / _TIMES:.1f} ({counts})",
                "at most 10",
                "the API server's audit log: writes by operator, gateway and egress in the namespace; Leases and Events apart",
            ),
        ),
        (
            *phases(START, tasks),
            Phase("**task created → first byte**", tuple(starts)),
            *phases(END, tasks),
            Phase("**end of turn → verdict in status**", tuple(ends)),
        ),
        "Where the time of a task goes",
        load,
    )


def phases(steps: Sequence[tuple[str, str, str]], cases: Sequence[Marks]) -> list[Phase]:
    """How long each step took. What happened before its predecessor costs nothing."""
    found = []
    for position, (_, end, name) in enumerate(steps):
        before = [steps[0][0], *(step[1] for step in steps[:position])]
        seconds = [max(0.0, marks[end] - max(marks[mark] for mark in before)) for marks in cases]
        found.append(Phase(name, tuple(seconds)))
    return found


def written(entries: Iterable[Object]) -> Counter[str]:
    """Writes of the control plane's service accounts, by verb and resource."""
    counted: Counter[str] = Counter()
    for entry in entries:
        reference = entry["objectRef"]
        verb, resource = entry.get("verb"), reference.get("resource", "")
        if verb not in {"create", "update", "patch", "delete", "deletecollection"}:
            continue
        if ":axiom-bench-" not in entry.get("user", {}).get("username", "") or resource in {
            "events",
            "leases",
        }:
            continue
        part = f"/{reference['subresource']}" if reference.get("subresource") else ""
        counted[f"{verb} {resource}{part}"] += 1
    return counted


def _bare_pod(installation: Installation, name: str) -> float:
    """Seconds from the request to the first byte."""
    kubectl = installation.kubectl
    container = {
        "name": "agent",
        "image": installation.agent_image,
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
    kubectl.api().post(f"/api/v1/namespaces/{kubectl.namespace}/pods", pod)
    kubectl.wait_for("pod", name, lambda found: found["status"].get("phase") == "Succeeded", LIMIT_SECONDS)
    first = clock(kubectl.logs(name, "agent"))
    kubectl.delete("pod", name, "--grace-period=0")
    return first - began


def _task(installation: Installation, watch: PodWatch, name: str) -> Marks:
    """One task from its creation to its verdict."""
    offset, asked = installation.audit_size(), time.time()
    created = installation.create_task(
        name,
        agentClassName="bench",
        prompt="clock\nwrite out.txt done",
        criteria=[{"name": "out", "files": {"expect": [{"path": "out.txt", "matches": "^done"}]}}],
    )
    found = installation.wait_task(name, lambda one: bool(one.get("status", {}).get("completionTime")))
    status = found["status"]
    if status.get("verdict") != "Pass":
        raise SystemExit(f"{name} came to {status.get('verdict')}: {status.get('message')}")
    marks = {"asked": asked, "first byte": clock(status["claim"]["text"])}
    marks |= _ledger_marks(installation, name)
    marks |= _audit_marks(installation.audit(offset), created["metadata"]["name"], watch)
    installation.kubectl.delete("agenttask", name)
    installation.wait_no_pods()
    return marks


def _ledger_marks(installation: Installation, name: str) -> Marks:
    agent = {record["event"]: record for record in reversed(installation.ledger(name))}
    verifier = {record["event"]: record for record in reversed(installation.ledger(name, "verifier-1-1"))}
    return {
        "based": _seconds(agent["workspace"]["time_utc"]),
        "started": _seconds(agent["agent_started"]["time_utc"]),
        "exited": _seconds(agent["agent_exited"]["time_utc"]),
        "captured": _seconds(agent["captured"]["time_utc"]),
        "verifier based": _seconds(verifier["workspace"]["time_utc"]),
        "checked": _seconds(verifier["verdict"]["time_utc"]),
    }


def _audit_marks(entries: Iterable[Object], task: str, watch: PodWatch) -> Marks:
    """The writes of one task, which is the only one at work."""
    marks, statuses = Marks(), ["accepted", "running", "verifying", "complete"]
    for entry in entries:
        reference, verb = entry["objectRef"], entry["verb"]
        resource, part = reference.get("resource"), reference.get("subresource", "")
        at, name = _seconds(entry["stageTimestamp"]), reference.get("name", "")
        if (verb, resource, part) == ("update", "agenttasks", "status") and name == task and statuses:
            marks[statuses.pop(0)] = at
        elif (verb, resource, part) == ("create", "pods", ""):
            prefix = "verifier " if "created" in marks else ""
            marks[f"{prefix}created"] = at
            marks |= {f"{prefix}{what}": when for what, when in watch.of(name).items()}
        elif (verb, resource, part) == ("create", "pods", "binding"):
            marks.setdefault("verifier scheduled" if "scheduled" in marks else "scheduled", at)
    return marks


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def clock(text: str) -> float:
    """Seconds since the epoch that an agent printed first."""
    return int(text.split("clock ", 1)[1].split()[0]) / 1000
