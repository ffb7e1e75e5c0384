"""From a pod's JSON to what the planner sees of a sandbox. Pure.

A pod's trusted side is a native sidecar that runs for as long as the pod does. What may pass by itself within seconds
(a container between two states, a channel that is not open yet) is no trouble; only what lasts is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from axiom.api.conditions import Reason
from axiom.cluster.channels import address_of
from axiom.cluster.resources import Object, uid_of
from axiom.manifests.losses import loss_of
from axiom.manifests.pods import BROWSER, CANDIDATE, SUPERVISOR, TELLER, UNTRUSTED, certificate_of
from axiom.planning.observed import Presence, SandboxView, Trouble
from axiom_sandbox.protocol.channel import SandboxState
from axiom_sandbox.protocol.identity import Identity

SILENCE_SECONDS = 15.0
"""A running pod whose channel does not answer for longer is in trouble."""

_PULL_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_START_REASONS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PostStartHookError",
        "CrashLoopBackOff",
    }
)
_IMAGE_SOURCES = {
    UNTRUSTED: "the AgentClass's spec.image",
    CANDIDATE: "the image (a task's spec.verification.image cannot change, the installation's verifier image can)",
    TELLER: "the installation's sandbox image",
    SUPERVISOR: "the installation's sandbox image",
    BROWSER: "the installation's browser image",
}
"""Who names the image of a container."""
_LONGEST_DETAIL = 500


def presence_of(pod: Object) -> Presence:
    """Whether the sandbox in this pod is there."""
    if pod["metadata"].get("deletionTimestamp") or _phase(pod) in ("Succeeded", "Failed"):
        return Presence.GONE
    return Presence.RUNNING if certificate_of(pod) and address_of(pod) else Presence.PENDING


def is_leaving(pod: Object) -> bool:
    """Whether it was told to end, and its containers still run."""
    return bool(pod["metadata"].get("deletionTimestamp")) and _phase(pod) not in ("Succeeded", "Failed")


def trouble_of(pod: Object) -> Trouble | None:
    """Why the pod does not come up, in words that do not change while the cause is the same."""
    if condition := _unscheduled(pod):
        return Trouble(Reason.UNSCHEDULABLE, _clip(str(condition.get("message") or "no node takes the pod")))
    for status in _containers(pod):
        waiting = status.get("state", {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason in _PULL_REASONS:
            return Trouble(Reason.IMAGE_PULL_FAILED, _pull_message(status, str(waiting.get("message") or "")))
        if reason in _START_REASONS:
            return Trouble(Reason.CONTAINER_FAILED, _start_message(status, waiting))
        if status["name"] == TELLER and "terminated" in status.get("state", {}) and not certificate_of(pod):
            return Trouble(Reason.CONTAINER_FAILED, _mute_message(status["state"]["terminated"]))
    return None


def is_outdated(pod: Object, images: Mapping[str, str]) -> bool:
    """Whether a container of this pod has another image than the one it would be given now, by the container's name."""
    spec = pod.get("spec", {})
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return any(
        container.get("image") != images.get(container["name"], container.get("image"))
        for container in containers
    )


def view_of(
    identity: Identity,
    pod: Object | None,
    state: SandboxState | None,
    silent_seconds: float = 0.0,
    silence: str = "",
    loss: Trouble | None = None,
    quiet_seconds: float = 0.0,
    leaving_seconds: float = 0.0,
) -> SandboxView:
    """The planner's view. `pod` is None once it was deleted, `loss` is then why.

    `silent_seconds`: since when its channel does not answer; `quiet_seconds`: since when its state is the same;
    `leaving_seconds`: since when it is being deleted, if it is.
    """
    if pod is None:
        return SandboxView(identity, Presence.GONE, trouble=loss, state=state)
    presence = presence_of(pod)
    trouble = loss_of(pod) if presence is Presence.GONE else trouble_of(pod)
    if trouble is None and state is not None and state.trouble and presence is Presence.RUNNING:
        trouble = Trouble(Reason.WORKSPACE_FAILED, state.trouble)
    if trouble is None and presence is Presence.RUNNING and silent_seconds >= SILENCE_SECONDS:
        trouble = Trouble(Reason.SUPERVISOR_UNREACHABLE, _clip(silence))
    return SandboxView(
        identity,
        presence,
        uid=uid_of(pod),
        placed=bool(pod.get("spec", {}).get("nodeName")),
        trouble=trouble,
        state=state,
        quiet_seconds=quiet_seconds,
        remains=presence is Presence.GONE and not pod["metadata"].get("deletionTimestamp"),
        leaving_seconds=leaving_seconds if is_leaving(pod) else None,
    )


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase") or "")


def _unscheduled(pod: Object) -> Mapping[str, Any] | None:
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition if condition.get("reason") == "Unschedulable" else None
    return None


def _containers(pod: Object) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _pull_message(status: Mapping[str, Any], said: str) -> str:
    """The kubelet repeats itself in turns as error and as back-off; what both have in common stays."""
    detail = said.rpartition("ErrImagePull: ")[2] or said
    if detail.startswith("Back-off"):
        detail = ""
    name, image = str(status["name"]), status.get("image", "")
    cure = f"correct {_IMAGE_SOURCES.get(name, 'the image')} or the registry, and it goes on"
    return _clip(f"container {name}: the image {image!r} cannot be pulled ({detail or 'no detail'}); {cure}")


def _start_message(status: Mapping[str, Any], waiting: Mapping[str, Any]) -> str:
    """A crash loop says why by how the container ended last; its own message counts the seconds."""
    ended = status.get("lastState", {}).get("terminated") or {}
    if waiting["reason"] != "CrashLoopBackOff":
        detail = str(waiting.get("message") or "")
    elif message := str(ended.get("message") or ""):
        detail = message
    else:
        detail = f"it ends with exit code {ended.get('exitCode', 'unknown')}, see its log"
    return _clip(f"container {status['name']}: {waiting['reason']}: {detail}")


def _mute_message(ended: Mapping[str, Any]) -> str:
    detail = str(ended.get("message") or ended.get("reason") or "no detail")
    return _clip(
        f"container {TELLER} ended with exit code {ended.get('exitCode')} ({detail}) and did not tell the channel's"
        " certificate, without which nobody speaks with the sandbox; delete the pod, and another attempt begins"
    )


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"
