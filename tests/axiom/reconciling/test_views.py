"""Pods as the API server shows them → what the planner sees of a sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from axiom.api.conditions import Reason
from axiom.planning.observed import Presence
from axiom.reconciling.views import is_outdated, presence_of, trouble_of, view_of
from axiom_sandbox.protocol.channel import Phase, SandboxState
from axiom_sandbox.protocol.identity import Identity, Role

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
IDENTITY = Identity(namespace="ns", task="t", task_id="uid", attempt=1, role=Role.AGENT)
TOLD = {
    "name": "certificate",
    "state": {"terminated": {"exitCode": 0, "reason": "Completed", "message": CERTIFICATE}},
}


def pod(phase: str = "Running", *, deleted: bool = False, **status: Any) -> dict[str, Any]:
    metadata = {"uid": "pod-uid", "name": "p", "namespace": "ns"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-11-21T06:00:00Z"
    spec = {"containers": [{"name": "agent", "image": "agent:1"}]}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase, **status}}


def up(*others: dict[str, Any], **status: Any) -> dict[str, Any]:
    return pod(podIP="10.0.0.7", containerStatuses=[*others, TOLD], **status)


def waiting(name: str, reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": "agent:1",
        "state": {"waiting": {"reason": reason, "message": message}},
        **more,
    }


@pytest.mark.parametrize(
    ("shown", "presence"),
    [
        (pod("Pending"), Presence.PENDING),
        (pod(podIP="10.0.0.7"), Presence.PENDING),
        (pod(containerStatuses=[TOLD]), Presence.PENDING),
        (up(), Presence.RUNNING),
        (pod("Failed", podIP="10.0.0.7", containerStatuses=[TOLD]), Presence.GONE),
        (pod("Succeeded"), Presence.GONE),
        (pod(deleted=True, podIP="10.0.0.7", containerStatuses=[TOLD]), Presence.GONE),
    ],
    ids=["pending", "no-certificate", "no-address", "up", "failed", "succeeded", "being-deleted"],
)
def test_presence(shown: dict[str, Any], presence: Presence) -> None:
    assert presence_of(shown) is presence


UNSCHEDULABLE = {
    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient memory.",
}  # fmt: skip
PULL_ERROR = (
    'failed to pull and unpack image "registry.invalid/x:1": failed to resolve reference:'
    " dial tcp: lookup registry.invalid: no such host"
)


@pytest.mark.parametrize(
    ("shown", "reason", "said"),
    [
        (pod("Pending", conditions=[UNSCHEDULABLE]), Reason.UNSCHEDULABLE, "Insufficient memory"),
        (
            pod("Pending", containerStatuses=[waiting("agent", "ErrImagePull", PULL_ERROR)]),
            Reason.IMAGE_PULL_FAILED,
            "no such host",
        ),
        (
            pod(
                "Pending",
                initContainerStatuses=[waiting("supervisor", "InvalidImageName", "couldn't parse image")],
            ),
            Reason.IMAGE_PULL_FAILED,
            "container supervisor",
        ),
        (
            pod(
                "Pending",
                containerStatuses=[waiting("agent", "CreateContainerConfigError", "secret not found")],
            ),
            Reason.CONTAINER_FAILED,
            "CreateContainerConfigError: secret not found",
        ),
        (
            up(
                initContainerStatuses=[
                    waiting(
                        "supervisor",
                        "CrashLoopBackOff",
                        "back-off 40s restarting failed container",
                        lastState={"terminated": {"exitCode": 3}},
                    )
                ]
            ),
            Reason.CONTAINER_FAILED,
            "exit code 3",
        ),
        (
            pod(
                "Pending",
                initContainerStatuses=[
                    waiting("supervisor", "PostStartHookError", "no space left on device")
                ],
            ),
            Reason.CONTAINER_FAILED,
            "no space left",
        ),
        (
            pod(
                podIP="10.0.0.7",
                containerStatuses=[
                    {
                        "name": "certificate",
                        "state": {"terminated": {"exitCode": 128, "reason": "StartError"}},
                    }
                ],
            ),
            Reason.CONTAINER_FAILED,
            "exit code 128 (StartError)",
        ),
    ],
    ids=["unschedulable", "pull", "bad-name", "config", "crash-loop", "hook", "no-certificate"],
)
def test_trouble(shown: dict[str, Any], reason: Reason, said: str) -> None:
    trouble = trouble_of(shown)
    assert trouble is not None
    assert trouble.reason is reason
    assert said in trouble.message


def test_containers_on_their_way_are_no_trouble() -> None:
    assert trouble_of(pod("Pending", containerStatuses=[waiting("agent", "PodInitializing")])) is None
    scheduling = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    assert trouble_of(pod("Pending", conditions=[scheduling])) is None


def test_a_pull_error_and_its_back_off_read_the_same() -> None:
    error = trouble_of(pod("Pending", containerStatuses=[waiting("agent", "ErrImagePull", PULL_ERROR)]))
    back_off = f'Back-off pulling image "agent:1": ErrImagePull: {PULL_ERROR}'
    again = trouble_of(pod("Pending", containerStatuses=[waiting("agent", "ImagePullBackOff", back_off)]))
    assert error == again
    bare = trouble_of(
        pod(containerStatuses=[waiting("agent", "ImagePullBackOff", 'Back-off pulling "agent:1"')])
    )
    assert bare is not None
    assert "no detail" in bare.message


def test_silence_is_trouble_only_when_it_lasts() -> None:
    assert view_of(IDENTITY, up(), None, 14, "refused").trouble is None
    trouble = view_of(IDENTITY, up(), None, 15, "connection refused").trouble
    assert trouble is not None
    assert (trouble.reason, trouble.message) == (Reason.SUPERVISOR_UNREACHABLE, "connection refused")


def test_what_the_gateway_cannot_bring_is_the_workspaces_trouble() -> None:
    state = SandboxState(
        revision=1, identity=IDENTITY, phase=Phase.WAITING_FOR_WORKSPACE, trouble="no ConfigMap"
    )
    trouble = view_of(IDENTITY, up(), state).trouble
    assert trouble is not None
    assert (trouble.reason, trouble.message) == (Reason.WORKSPACE_FAILED, "no ConfigMap")


def test_the_last_state_outlives_the_pod() -> None:
    state = SandboxState(revision=1, identity=IDENTITY, phase=Phase.RUNNING)
    view = view_of(IDENTITY, None, state, 99, "gone")
    assert (view.presence, view.state, view.trouble, view.uid) == (Presence.GONE, state, None, "")


def test_an_agents_pod_is_outdated_when_its_class_names_another_image() -> None:
    assert is_outdated(up(), {"agent": "agent:2"})
    assert not is_outdated(up(), {"agent": "agent:1", "supervisor": "sandbox:2"})


def test_a_pod_is_outdated_when_the_installation_names_another_image_for_its_trusted_side() -> None:
    shown = up()
    shown["spec"]["initContainers"] = [{"name": "supervisor", "image": "sandbox:1"}]
    assert is_outdated(shown, {"agent": "agent:1", "supervisor": "sandbox:2"})


@pytest.mark.parametrize(
    ("shown", "remains"),
    [
        (up(), False),
        (pod("Failed"), True),
        (pod("Failed", deleted=True), False),
        (pod("Running", deleted=True), False),
        (None, False),
    ],
)
def test_only_a_pod_that_ended_by_itself_remains_to_be_deleted(
    shown: dict[str, Any] | None, remains: bool
) -> None:
    assert view_of(IDENTITY, shown, None).remains is remains


def test_a_pod_that_was_told_to_end_is_leaving_until_its_containers_have_ended() -> None:
    leaving = view_of(IDENTITY, pod("Running", deleted=True), None, leaving_seconds=3.0)
    assert (leaving.presence, leaving.leaving_seconds) == (Presence.GONE, 3.0)
    for over in (pod("Failed", deleted=True), pod("Succeeded"), up(), None):
        assert view_of(IDENTITY, over, None, leaving_seconds=3.0).leaving_seconds is None


def test_why_a_pod_ended_outlives_it() -> None:
    evicted = pod("Failed", reason="Evicted", message="The node was low on resource: memory.")
    seen = view_of(IDENTITY, evicted, None)
    assert seen.trouble is not None
    assert (seen.presence, seen.trouble.reason) == (Presence.GONE, Reason.EVICTED)
    assert view_of(IDENTITY, None, None, loss=seen.trouble).trouble == seen.trouble


@pytest.mark.parametrize(
    ("container", "cure"),
    [("agent", "spec.image"), ("candidate", "spec.verification.image"), ("supervisor", "sandbox image")],
)
def test_a_pull_that_fails_says_who_names_the_image(container: str, cure: str) -> None:
    trouble = trouble_of(pod("Pending", containerStatuses=[waiting(container, "ErrImagePull", PULL_ERROR)]))
    assert trouble is not None
    assert cure in trouble.message
