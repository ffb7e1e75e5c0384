"""Why a pod that was there has ended: by what the API server, the kubelet and the scheduler left in its status. Pure.

Three things take a pod away without its doing: its node ran short of something (`Evicted`), a pod of higher priority needed
the place (`Preempted`), or the node itself went (`NodeLost`). Whatever else ends it is `Lost`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from axiom.api.conditions import Reason
from axiom.cluster.resources import Object
from axiom.manifests.pods import TELLER
from axiom.planning.observed import Trouble

_DISRUPTIONS = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "TerminationByKubelet": Reason.EVICTED,
}
"""Reasons of the condition DisruptionTarget."""
_POD_REASONS = {
    "Evicted": Reason.EVICTED,
    "Preempting": Reason.PREEMPTED,
    "NodeLost": Reason.NODE_LOST,
    "NodeShutdown": Reason.NODE_LOST,
    "Terminated": Reason.NODE_LOST,
}
"""Reasons of a pod's status; `Terminated` is the kubelet's word for a node that shuts down in order."""
_UNKNOWN_END = frozenset({"ContainerStatusUnknown", "Unknown"})
"""What the kubelet says of containers that were gone when it came back."""
_KILLED = 137
"""128 + SIGKILL."""


def loss_of(pod: Object) -> Trouble | None:
    """Why this pod has ended or is ending; None for a pod that goes on, and where nothing tells."""
    status = pod.get("status") or {}
    ended, deleted = status.get("phase") in ("Succeeded", "Failed"), "deletionTimestamp" in pod["metadata"]
    if not (ended or deleted):
        return None
    said, why = str(status.get("message") or ""), str(status.get("reason") or "")
    disruption = _disruption(status)
    if why in _POD_REASONS:
        return Trouble(_POD_REASONS[why], _text(why, said))
    if disruption is not None:
        reason = _DISRUPTIONS.get(str(disruption.get("reason")), Reason.LOST)
        return Trouble(reason, _text(str(disruption.get("reason")), str(disruption.get("message") or said)))
    if why:
        return Trouble(Reason.LOST, _text(why, said))
    return _by_containers(status) if ended else Trouble(Reason.LOST, "somebody deleted the pod")


def _disruption(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            found: Mapping[str, Any] = condition
            return found
    return None


def _by_containers(status: Mapping[str, Any]) -> Trouble | None:
    """All containers ended together without anybody's word: the node went down under them."""
    ends = [f"{name} ended by {_how(end)}" for name, end in _ended(status)]
    if not ends:
        return None
    known = dict(_ended(status))
    if all(_is_of_the_node(end) for end in known.values()):
        return Trouble(Reason.NODE_LOST, f"the node killed every container at once: {', '.join(ends)}")
    return Trouble(Reason.LOST, f"its containers ended: {', '.join(ends)}")


def _is_of_the_node(end: Mapping[str, Any]) -> bool:
    return end.get("reason") in _UNKNOWN_END or (
        end.get("exitCode") in (_KILLED, 255) and end.get("reason") != "OOMKilled"
    )


def _ended(status: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            end = (container.get("state") or {}).get("terminated")
            is_to_end = kind == "initContainerStatuses" or container["name"] == TELLER
            if end and not (is_to_end and end.get("exitCode") == 0):
                yield str(container["name"]), end


def _how(end: Mapping[str, Any]) -> str:
    reason, code = str(end.get("reason") or ""), end.get("exitCode")
    return (
        f"{reason} (exit code {code})"
        if reason and reason not in ("Error", "Completed")
        else f"exit code {code}"
    )


def _text(reason: str, said: str) -> str:
    return f"{reason}: {' '.join(said.split())}" if said else reason
