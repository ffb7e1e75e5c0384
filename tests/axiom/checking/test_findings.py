"""What is said of an installation."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from axiom.api.definitions import agent_classes, agent_tasks
from axiom.checking import findings
from axiom.checking.findings import Finding, report

Object = dict[str, Any]

SERVED = {"conditions": [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]}


def served(definition: Object) -> Object:
    """As an API server has it."""
    return {**deepcopy(definition), "status": deepcopy(SERVED)}


def fields(definition: Object, *path: str) -> Object:
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path:
        schema = schema["properties"][name]
    properties: Object = schema["properties"]
    return properties


def test_a_definition_that_is_served_and_complete_passes() -> None:
    for wanted in (agent_tasks(), agent_classes()):
        assert findings.definition(served(wanted), wanted).passed


def test_a_definition_that_has_more_than_this_version_knows_passes() -> None:
    newer = served(agent_tasks())
    fields(newer, "spec")["fromTheFuture"] = {"type": "string"}

    assert findings.definition(newer, agent_tasks()).passed


def test_fields_that_an_older_definition_lacks_are_named_with_the_cure() -> None:
    older = served(agent_tasks())
    del fields(older, "spec", "limits")["deadline"]
    del fields(older, "status")["verdict"]

    finding = findings.definition(older, agent_tasks())

    assert not finding.passed
    assert ".spec.limits.deadline, .status.verdict" in finding.found
    assert "kubectl apply --server-side" in finding.cure


def test_fields_inside_lists_and_maps_and_allowed_values_are_compared() -> None:
    wanted = {
        "properties": {
            "list": {"items": {"properties": {"a": {}, "b": {}}}},
            "map": {"additionalProperties": {"properties": {"c": {}}}},
            "word": {"enum": ["x", "y"]},
        }
    }
    present = {
        "properties": {
            "list": {"items": {"properties": {"a": {}}}},
            "map": {"additionalProperties": True},
            "word": {"enum": ["x"]},
        }
    }

    assert list(findings.missing_fields(wanted, present)) == [".list[].b", ".map[].c", ".word=y"]


def test_a_definition_whose_version_is_not_served_or_not_established_fails() -> None:
    unserved, new = served(agent_tasks()), deepcopy(agent_tasks())
    unserved["spec"]["versions"][0]["served"] = False

    assert "lacks version v1alpha1" in findings.definition(unserved, agent_tasks()).found
    assert "NamesAccepted is not True" in findings.definition(new, agent_tasks()).found


def deployment(ready: int, *, updated: int = 2, generation: int = 1) -> Object:
    return {
        "metadata": {"name": "axiom-gateway", "namespace": "axiom-system", "generation": generation},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": updated},
    }


def test_a_deployment_is_up_when_all_its_pods_of_this_version_are_ready() -> None:
    assert findings.deployment(deployment(2)).passed
    assert "1 of 2 pods ready" in findings.deployment(deployment(1)).found
    assert "1 of this version" in findings.deployment(deployment(2, updated=1)).found
    assert not findings.deployment(deployment(2, generation=2)).passed
    assert not findings.deployment({**deployment(0), "spec": {"replicas": 0}}).passed


def lease(version: str, holder: str = "operator-1") -> Object:
    metadata = {"name": "axiom-operator", "namespace": "axiom-system", "resourceVersion": version}
    return {"metadata": metadata, "spec": {"holderIdentity": holder}}


def test_an_operator_works_when_it_renews_its_lease() -> None:
    assert findings.lease(lease("1"), lease("2")).passed
    assert "does not renew" in findings.lease(lease("1"), lease("1")).found
    assert "nobody holds" in findings.lease(lease("1", ""), lease("2", "")).found


def test_a_gateway_refuses_whoever_has_no_token() -> None:
    assert findings.gateway("http://gateway", 401).passed
    assert not findings.gateway("http://gateway", 200).passed
    assert not findings.gateway("http://gateway", 404).passed


def task(verdict: str | None) -> Object:
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Accepted"},
        {"type": "Isolated", "status": "False", "reason": "ProbeFailed", "message": "network: open"},
        {"type": "Complete", "status": "True" if verdict else "False", "reason": "x"},
    ]
    status = {"conditions": conditions, "verdict": verdict, "message": "every hard criterion passed"}
    return {"metadata": {"name": "axiom-test", "namespace": "axiom-system"}, "status": status}


def test_a_task_is_judged_once_it_is_complete() -> None:
    passed, failed = findings.task(task("Pass")), findings.task(task("Fail"))

    assert findings.task(task(None)) is None
    assert passed
    assert passed.passed
    assert failed
    assert not failed.passed
    assert failed.found.startswith("Fail")


def test_a_task_that_does_not_end_is_told_with_what_holds_it_up() -> None:
    finding = findings.unfinished_task(task(None))

    assert not finding.passed
    assert "Isolated ProbeFailed: network: open" in finding.found
    bare = {"metadata": {"name": "t", "namespace": "n"}}
    assert "no operator has taken it up" in findings.unfinished_task(bare).found


def test_a_report_has_a_line_for_each_finding_and_the_cure_of_what_failed() -> None:
    good, bad = (
        Finding("gateway", True, "answers", "none needed"),
        Finding("storage", False, "refuses", "look"),
    )

    assert report([good]).splitlines() == ["ok      gateway: answers", "", "all 1 checks passed"]
    assert report([good, bad]).splitlines()[1:] == [
        "FAILED  storage: refuses",
        "        look",
        "",
        "1 of 2 checks failed",
    ]
