"""Raw objects → the planner's task, class, and why they cannot be carried out."""

from __future__ import annotations

from typing import Any

import pytest

from axiom.api.conditions import Reason
from axiom.api.envelopes import envelope_of
from axiom.reconciling.reading import read_class, read_task, read_twin

TASK: dict[str, Any] = {
    "apiVersion": "axiom.dev/v1alpha1",
    "kind": "AgentTask",
    "metadata": {"name": "t", "namespace": "ns", "uid": "u", "managedFields": []},
    "spec": {
        "agentClassName": "c",
        "prompt": "do",
        "criteria": [{"name": "f", "files": {"expect": [{"path": "x"}]}}],
    },
}
CLASS: dict[str, Any] = {
    "apiVersion": "axiom.dev/v1alpha1",
    "kind": "AgentClass",
    "metadata": {"name": "c"},
    "spec": {"image": "agent:1", "command": ["/agent", "$(AXIOM_PROMPT)"]},
}


def test_a_good_task_is_read_with_its_status() -> None:
    task, refusal = read_task({**TASK, "status": {"attempt": 2, "state": "Running"}})
    assert (task.status.attempt, refusal) == (2, None)


def test_a_spec_that_does_not_parse_is_refused_with_its_field_and_keeps_its_status() -> None:
    bad = {**TASK, "spec": {**TASK["spec"], "prompt": ""}, "status": {"attempt": 1}}
    task, refusal = read_task(bad)
    assert refusal is not None
    assert refusal.reason is Reason.INVALID_SPEC
    assert "spec.prompt" in refusal.message
    assert (task.name, task.status.attempt) == ("t", 1)


def test_a_class_that_is_missing_is_named() -> None:
    found, refusal = read_class("c", None)
    assert found is None
    assert refusal is not None
    assert (refusal.reason, "'c'" in refusal.message) == (Reason.CLASS_NOT_FOUND, True)


def test_a_class_without_an_image_or_that_does_not_parse_is_invalid() -> None:
    for spec in ({"command": ["/agent", "$(AXIOM_PROMPT)"]}, {"image": "x", "command": []}):
        found, refusal = read_class("c", {**CLASS, "spec": spec})
        assert found is None
        assert refusal is not None
        assert refusal.reason is Reason.CLASS_INVALID


def test_a_good_class_is_read() -> None:
    found, refusal = read_class("c", CLASS)
    assert found is not None
    assert (found.spec.image, refusal) == ("agent:1", None)


def other(**status: Any) -> dict[str, Any]:
    """An earlier task that asked for the same."""
    envelope = envelope_of(read_task(TASK)[0].spec)
    metadata = {"name": "before", "namespace": "ns", "uid": "v"}
    return {**TASK, "metadata": metadata, "status": {"envelope": envelope, "verdict": "Fail", **status}}


def test_a_task_that_asks_for_what_failed_is_refused_with_the_cure() -> None:
    trouble = read_twin(read_task(TASK)[0], [TASK, other()])
    assert trouble is not None
    assert trouble.reason is Reason.SAME_AS_FAILED
    assert "'before'" in trouble.message
    assert "spec.force: true" in trouble.message


@pytest.mark.parametrize(
    "item",
    [
        other(verdict="Pass"),
        other(verdict="Inconclusive"),
        other(verdict=None),
        other(envelope="0" * 64),
        other(review={"decision": "Accept"}),
        {**other(), "metadata": {"name": "before", "namespace": "elsewhere", "uid": "v"}},
        {**other(), "metadata": {"name": "t", "namespace": "ns", "uid": "u"}},
    ],
    ids=["passed", "undecided", "running", "another", "accepted by a person", "another namespace", "itself"],
)
def test_a_task_that_is_no_repetition_is_taken(item: dict[str, Any]) -> None:
    assert read_twin(read_task(TASK)[0], [item]) is None


def test_a_repetition_is_taken_where_it_is_forced_or_has_begun() -> None:
    forced = {**TASK, "spec": {**TASK["spec"], "force": True}}
    assert read_twin(read_task(forced)[0], [other()]) is None
    assert read_twin(read_task({**TASK, "status": {"attempt": 1}})[0], [other()]) is None
