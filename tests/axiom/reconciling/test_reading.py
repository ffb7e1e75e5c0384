"""Raw objects → the planner's task, class, and why they cannot be carried out."""

from __future__ import annotations

from typing import Any

from axiom.api.conditions import Reason
from axiom.reconciling.reading import read_class, read_task

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
