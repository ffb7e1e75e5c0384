"""Why a pod ended, as Kubernetes leaves it in the pod's status."""

from __future__ import annotations

from typing import Any

import pytest

from axiom.api.conditions import Reason
from axiom.manifests.losses import loss_of
from axiom.planning.observed import LOSSES

LOW = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi."


def pod(phase: str = "Failed", *, deleted: bool = False, **status: Any) -> dict[str, Any]:
    metadata = {"deletionTimestamp": "2026-11-21T06:00:00Z"} if deleted else {}
    return {"metadata": metadata, "status": {"phase": phase, **status}}


def disrupted(reason: str, message: str = "") -> list[dict[str, str]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]


def ended(name: str, code: int, reason: str = "Error") -> dict[str, Any]:
    return {"name": name, "state": {"terminated": {"exitCode": code, "reason": reason}}}


@pytest.mark.parametrize(
    ("shown", "reason", "said"),
    [
        (pod(reason="Evicted", message=LOW), Reason.EVICTED, LOW),
        (
            pod(reason="Evicted", message=LOW, conditions=disrupted("TerminationByKubelet", LOW)),
            Reason.EVICTED,
            "Evicted: The node was low",
        ),
        (
            pod(
                "Running",
                deleted=True,
                conditions=disrupted("EvictionByEvictionAPI", "Eviction API: evicting"),
            ),
            Reason.EVICTED,
            "EvictionByEvictionAPI: Eviction API: evicting",
        ),
        (
            pod(
                "Running", deleted=True, conditions=disrupted("PreemptionByScheduler", "a pod of priority 9")
            ),
            Reason.PREEMPTED,
            "a pod of priority 9",
        ),
        (
            pod("Running", deleted=True, conditions=disrupted("DeletionByTaintManager")),
            Reason.NODE_LOST,
            "DeletionByTaintManager",
        ),
        (pod(reason="Terminated", message="node shutdown"), Reason.NODE_LOST, "node shutdown"),
        (pod(reason="UnexpectedAdmissionError", message="no device"), Reason.LOST, "no device"),
        (pod("Running", deleted=True), Reason.LOST, "somebody deleted the pod"),
        (
            pod(
                initContainerStatuses=[ended("supervisor", 137)],
                containerStatuses=[ended("certificate", 0, "Completed"), ended("agent", 255, "Unknown")],
            ),
            Reason.NODE_LOST,
            "supervisor ended by exit code 137, agent ended by Unknown (exit code 255)",
        ),
        (
            pod(containerStatuses=[ended("agent", 137, "OOMKilled")]),
            Reason.LOST,
            "agent ended by OOMKilled (exit code 137)",
        ),
    ],
)
def test_loss(shown: dict[str, Any], reason: Reason, said: str) -> None:
    loss = loss_of(shown)
    assert loss is not None
    assert loss.reason is reason
    assert loss.reason in LOSSES
    assert said in loss.message


def test_a_pod_that_goes_on_is_no_loss_whatever_its_containers_did() -> None:
    assert loss_of(pod("Running", containerStatuses=[ended("agent", 137)])) is None
    assert loss_of(pod("Pending", reason="SchedulingGated")) is None


def test_a_pod_that_ended_without_a_word_says_nothing() -> None:
    assert loss_of(pod("Succeeded")) is None
