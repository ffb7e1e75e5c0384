"""Whether an installation can work. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from axiom.cluster.resources import Object, name_of, namespace_of
from axiom.diagnosing.findings import Fault, Finding, good, note, problem
from axiom.planning.statuses import parse_time
from axiom.reconciling.views import trouble_of

COMPONENT_LABEL = "app.kubernetes.io/component"
INSTALLATION_SELECTOR = "app.kubernetes.io/name=axiom"
OPERATOR = "operator"
_FAULTS = {
    OPERATOR: Fault.OPERATOR_AWAY,
    "gateway": Fault.GATEWAY_AWAY,
    "egress": Fault.EGRESS_AWAY,
    "storage": Fault.STORAGE_AWAY,
}
_LATE = timedelta(seconds=60)
"""A Lease that was renewed longer ago is nobody's, even where clocks differ a little."""


@dataclass(frozen=True)
class Installation:
    """What was read of an installation."""

    unreachable: str = ""
    """What went wrong when the API server was asked anything at all."""
    is_served: bool = True
    """The cluster knows AgentTasks."""
    workloads: Sequence[Object] = ()
    """Deployments and StatefulSets of the chart, in every namespace."""
    pods: Sequence[Object] = ()
    """Their pods."""
    leases: Sequence[Object] = ()
    """Leases in the installation's namespaces."""
    classes: Sequence[Object] = ()
    """Every AgentClass."""
    refused: dict[str, str] = field(default_factory=dict)
    """What may not be read → what the API server said."""


def diagnose_installation(seen: Installation, now: datetime) -> Iterator[Finding]:
    """Findings about the installation, in the order in which a task needs its parts."""
    if seen.unreachable:
        yield problem("API server", seen.unreachable, Fault.API_SERVER_AWAY)
        return
    if not seen.is_served:
        yield problem(
            "API server", "there is no resource agenttasks in the group axiom.dev", Fault.NOT_INSTALLED
        )
        return
    yield good("API server", "answers, and knows AgentTasks")
    for what, said in seen.refused.items():
        yield note(what, said, Fault.NOT_ALLOWED)
    if not seen.workloads and not seen.refused:
        told = f"no Deployment with the label {INSTALLATION_SELECTOR} exists in any namespace"
        yield problem("installation", told, Fault.NOT_INSTALLED)
    for workload in seen.workloads:
        yield from _workload(workload, seen.pods)
    if not seen.refused:
        yield from _leases(seen, now)
    yield (
        good("classes", f"{len(seen.classes)}: {', '.join(sorted(map(name_of, seen.classes)))}")
        if seen.classes
        else problem("classes", "there is none", Fault.NO_CLASSES)
    )


def _workload(workload: Object, pods: Sequence[Object]) -> Iterator[Finding]:
    component = (workload["metadata"].get("labels") or {}).get(COMPONENT_LABEL, "")
    status = workload.get("status") or {}
    subject = f"{component or name_of(workload)} in {namespace_of(workload)}"
    ready, wanted = int(status.get("readyReplicas") or 0), int(workload["spec"].get("replicas", 1))
    if ready:
        yield good(subject, f"{ready} of {wanted} ready")
        return
    yield problem(subject, f"0 of {wanted} ready", _FAULTS.get(component, Fault.POD_IN_TROUBLE))
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        same = labels.get(COMPONENT_LABEL) == component and namespace_of(pod) == namespace_of(workload)
        if same and (trouble := trouble_of(pod)):
            yield problem(f"pod {name_of(pod)}", trouble.message, Fault.POD_IN_TROUBLE)


def _leases(seen: Installation, now: datetime) -> Iterator[Finding]:
    for workload in seen.workloads:
        if (workload["metadata"].get("labels") or {}).get(COMPONENT_LABEL) != OPERATOR:
            continue
        namespace = namespace_of(workload)
        lease = next(
            (
                item
                for item in seen.leases
                if namespace_of(item) == namespace and name_of(item) == name_of(workload)
            ),
            None,
        )
        spec = (lease or {}).get("spec") or {}
        holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
        subject = f"operator's Lease in {namespace}"
        if not holder or not renewed:
            yield problem(subject, "nobody holds it", Fault.OPERATOR_AWAY)
        elif now - parse_time(str(renewed)) > _LATE:
            yield problem(subject, f"{holder} held it, and renewed it last at {renewed}", Fault.OPERATOR_AWAY)
        else:
            yield good(subject, f"held by {holder}")
