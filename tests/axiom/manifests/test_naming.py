"""A pod's name and labels say whom it serves, and nothing is lost on the way back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.manifests.naming import (
    NotASandboxPodError,
    annotations_of,
    identity_of,
    labels_of,
    pod_name,
)
from axiom_sandbox.protocol.identity import Identity, Role

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")

task_names = st.from_regex(re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", re.ASCII), fullmatch=True)


@st.composite
def identities(draw: st.DrawFn, task: str | None = None, uid: str | None = None) -> Identity:
    role = draw(st.sampled_from(Role))
    verifies = role is Role.VERIFIER
    return Identity(
        namespace=draw(st.from_regex(re.compile(r"[a-z][a-z0-9]{0,62}", re.ASCII), fullmatch=True)),
        task=task or draw(task_names),
        task_id=uid or str(draw(st.uuids())),
        attempt=draw(st.integers(1, 99_999)),
        role=role,
        round=draw(st.integers(1, 20)) if verifies else 0,
        trial=draw(st.integers(1, 2)) if verifies else 0,
    )


def pod_of(identity: Identity) -> dict[str, Any]:
    return {
        "metadata": {
            "name": pod_name(identity),
            "namespace": identity.namespace,
            "labels": labels_of(identity),
            "annotations": annotations_of(identity),
        }
    }


@given(identities())
def test_a_name_is_a_dns_label_of_at_most_63_characters(identity: Identity) -> None:
    name = pod_name(identity)
    assert len(name) <= 63
    assert DNS_LABEL.fullmatch(name)
    assert name == pod_name(identity)


@given(st.data(), task_names, st.uuids())
def test_slots_of_one_task_never_share_a_name(data: st.DataObject, task: str, uid: object) -> None:
    one, other = (data.draw(identities(task, str(uid))) for _ in range(2))
    assert (pod_name(one) == pod_name(other)) == ((one.attempt, one.slot) == (other.attempt, other.slot))


@given(identities())
def test_labels_are_valid(identity: Identity) -> None:
    for value in labels_of(identity).values():
        assert len(value) <= 63
        assert LABEL_VALUE.fullmatch(value)


@given(identities())
def test_a_pod_leads_back_to_its_identity(identity: Identity) -> None:
    assert identity_of(pod_of(identity)) == identity


@pytest.mark.parametrize("broken", ["axiom.dev/role", "axiom.dev/attempt", "app.kubernetes.io/managed-by"])
def test_a_pod_without_our_labels_is_nobodys(broken: str) -> None:
    pod = pod_of(Identity(namespace="a", task="b", task_id="0" * 36, attempt=1, role=Role.AGENT))
    del pod["metadata"]["labels"][broken]
    with pytest.raises(NotASandboxPodError, match=broken):
        identity_of(pod)


def test_a_label_that_somebody_changed_is_refused() -> None:
    pod = pod_of(Identity(namespace="a", task="b", task_id="0" * 36, attempt=1, role=Role.AGENT))
    pod["metadata"]["labels"]["axiom.dev/role"] = "root"
    with pytest.raises(NotASandboxPodError, match="root"):
        identity_of(pod)


def test_a_name_needs_the_tasks_uid() -> None:
    with pytest.raises(ValueError, match="no UUID"):
        pod_name(Identity(namespace="a", task="b", task_id="none", attempt=1, role=Role.AGENT))
