"""Names, labels and annotations of sandbox pods, and the way back from a pod to whom it serves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from axiom_sandbox.protocol.identity import Identity, Role

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "axiom"
TASK_UID_LABEL = "axiom.dev/task-uid"
TASK_LABEL = "axiom.dev/task"
"""The task's name, as label only where it can be one, always as annotation."""
ATTEMPT_LABEL = "axiom.dev/attempt"
ROLE_LABEL = "axiom.dev/role"
ROUND_LABEL = "axiom.dev/round"
TRIAL_LABEL = "axiom.dev/trial"
BASE_ANNOTATION = "axiom.dev/base"
"""Digest of the base archive that the gateway pushes into the pod."""
CHANGES_ANNOTATION = "axiom.dev/changes"
CONDUCT_ANNOTATION = "axiom.dev/conduct"
"""Verifiers: digest of the changes archive that the gateway pushes into the pod."""
CHECKPOINT_ANNOTATION = "axiom.dev/checkpoint"
"""AgentTasks: a request for a checkpoint; another value is another request."""
ALL_PODS_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY},{ROLE_LABEL}"
"""Selects every sandbox pod, and nothing else."""

NAME_PREFIX = "axiom-"
MAX_NAME = 63
MAX_LABEL = 63
_TASK_CHARACTERS = 40
_UID_CHARACTERS = 8


class NotASandboxPodError(ValueError):
    """The pod does not carry the labels of a sandbox pod, or somebody changed them."""


def pod_name(identity: Identity) -> str:
    """`axiom-<task>-<attempt>-<slot>-<start of the task's uid>`: a DNS label, the same each time it is asked.

    A long task name is cut; the uid keeps names apart. Raises ValueError when the task's uid is no UUID.
    """
    start = identity.task_id[:_UID_CHARACTERS].lower()
    if not re.fullmatch(r"[0-9a-f]{8}", start):
        raise ValueError(f"the task's uid {identity.task_id!r} is no UUID")
    tail = f"-{identity.attempt}-{identity.slot}-{start}"
    room = min(_TASK_CHARACTERS, MAX_NAME - len(NAME_PREFIX) - len(tail))
    if room < 1:
        raise ValueError(f"no pod name can be made of attempt {identity.attempt} and slot {identity.slot}")
    task = identity.task.replace(".", "-")[:room].rstrip("-")
    return f"{NAME_PREFIX}{task}{tail}"


def labels_of(identity: Identity) -> dict[str, str]:
    """Labels by which pods are selected and recognised."""
    labels = {
        MANAGED_BY_LABEL: MANAGED_BY,
        TASK_UID_LABEL: identity.task_id,
        ATTEMPT_LABEL: str(identity.attempt),
        ROLE_LABEL: identity.role.value,
        ROUND_LABEL: str(identity.round),
        TRIAL_LABEL: str(identity.trial),
    }
    if len(identity.task) <= MAX_LABEL:
        labels[TASK_LABEL] = identity.task
    return labels


DESTINATIONS_ANNOTATION = "axiom.dev/destinations"
"""Hosts, separated by commas, that the egress proxy lets this agent reach of those of its class; absent: all."""


def annotations_of(
    identity: Identity, base: str = "", changes: str = "", conduct: str = ""
) -> dict[str, str]:
    """The task's whole name, and what is to be pushed into the pod (digests, hexadecimal)."""
    annotations = {TASK_LABEL: identity.task}
    if base:
        annotations[BASE_ANNOTATION] = base
    if changes:
        annotations[CHANGES_ANNOTATION] = changes
    if conduct:
        annotations[CONDUCT_ANNOTATION] = conduct
    return annotations


def identity_of(pod: Mapping[str, Any]) -> Identity:
    """Whom a pod serves: the inverse of its labels and annotations. Raises NotASandboxPodError."""
    metadata = pod.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    name = metadata.get("name", "")
    if labels.get(MANAGED_BY_LABEL) != MANAGED_BY:
        raise NotASandboxPodError(f"pod {name!r} has no label {MANAGED_BY_LABEL}={MANAGED_BY}")
    try:
        return Identity(
            namespace=metadata["namespace"],
            task=annotations[TASK_LABEL],
            task_id=labels[TASK_UID_LABEL],
            attempt=int(labels[ATTEMPT_LABEL]),
            role=Role(labels[ROLE_LABEL]),
            round=int(labels[ROUND_LABEL]),
            trial=int(labels[TRIAL_LABEL]),
        )
    except (KeyError, ValueError) as error:
        raise NotASandboxPodError(f"pod {name!r} cannot be told apart by its labels: {error}") from error
