"""What `axiom doctor` says of a task, from what a cluster shows of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from axiom.api.conditions import Reason
from axiom.diagnosing.findings import Fault, Level
from axiom.diagnosing.tasks import diagnose_task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def task(*conditions: tuple[str, str, str, str], age: float = 60, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "leap",
            "namespace": "team",
            "uid": "u",
            "creationTimestamp": (NOW - timedelta(seconds=age)).isoformat().replace("+00:00", "Z"),
        },
        "status": {
            **status,
            "conditions": [
                {
                    "type": kind,
                    "status": value,
                    "reason": reason,
                    "message": message,
                    "lastTransitionTime": f"2026-01-02T03:0{number}:00Z",
                }
                for number, (kind, value, reason, message) in enumerate(conditions)
            ],
        },
    }


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "axiom-leap-1", "namespace": "team", "uid": "p"}, "status": status}


def test_a_task_that_nobody_looks_at_points_to_the_operator() -> None:
    [found] = diagnose_task(task(age=40), (), (), NOW)
    assert (found.level, found.entry) == (Level.PROBLEM, Fault.OPERATOR_AWAY)
    assert "40 s" in found.what


def test_a_task_that_has_just_been_created_is_no_problem() -> None:
    [found] = diagnose_task(task(age=5), (), (), NOW)
    assert found.level is Level.NOTE


@pytest.mark.parametrize("reason", [Reason.IMAGE_PULL_FAILED, Reason.UNSCHEDULABLE, Reason.WORKSPACE_FAILED])
def test_what_holds_a_task_up_is_named_with_its_meaning(reason: Reason) -> None:
    held = task(("Accepted", "True", "Accepted", ""), ("SandboxReady", "False", reason.value, "because"))
    [found] = diagnose_task(held, (), (), NOW)
    assert (found.level, found.entry) == (Level.PROBLEM, reason)
    assert "SandboxReady is False" in found.what
    assert "because" in found.what
    assert found.meaning
    assert not found.meaning.startswith("SandboxReady")
    assert found.page == f"docs/troubleshooting.md#{reason.value.lower()}"


def test_a_task_on_its_way_is_good() -> None:
    running = task(
        ("Accepted", "True", "Accepted", ""),
        ("SandboxReady", "True", "Ready", ""),
        ("Running", "True", "AgentRunning", "round 1"),
        state="Running",
        round=1,
        attempt=1,
    )
    [found] = diagnose_task(running, (), (), NOW)
    assert found.level is Level.GOOD
    assert "AgentRunning since 2026-01-02T03:02:00Z" in found.what


def test_a_failed_task_names_each_criterion_that_did_not_pass() -> None:
    ended = task(("Complete", "True", "Failed", "tests failed"), verdict="Fail", round=1)
    ended["status"]["rounds"] = [
        {
            "number": 1,
            "attempt": 1,
            "criteria": [
                {"name": "a", "type": "Files", "enforcement": "Hard", "verdict": "Pass", "message": "there"},
                {
                    "name": "b",
                    "type": "Files",
                    "enforcement": "Hard",
                    "verdict": "Fail",
                    "message": "x is missing",
                },
            ],
        }
    ]
    first, second = diagnose_task(ended, (), (), NOW)
    assert (first.level, first.entry) == (Level.PROBLEM, Reason.FAILED)
    assert (second.subject, second.what) == ("criterion b", "Fail: x is missing")


def test_a_passed_task_is_good() -> None:
    [found] = diagnose_task(task(("Complete", "True", "Passed", ""), verdict="Pass", round=2), (), (), NOW)
    assert (found.level, found.what) == (Level.GOOD, "is over: Pass in round 2")


def test_pods_tell_what_the_task_does_not() -> None:
    running = task(("Running", "True", "AgentRunning", ""))
    waiting = {
        "name": "agent",
        "image": "x:1",
        "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}},
    }
    killed = {"name": "supervisor", "state": {}, "lastState": {"terminated": {"reason": "OOMKilled"}}}
    found = list(diagnose_task(running, [pod(containerStatuses=[waiting, killed])], (), NOW))
    assert [(item.level, item.entry) for item in found[1:]] == [
        (Level.PROBLEM, Reason.IMAGE_PULL_FAILED),
        (Level.PROBLEM, Fault.POD_IN_TROUBLE),
    ]
    assert "more memory than its limit" in found[2].what


def test_an_evicted_pod_says_so() -> None:
    found = list(
        diagnose_task(task(), [pod(phase="Failed", reason="Evicted", message="low on memory")], (), NOW)
    )
    assert found[-1].what == "Evicted: low on memory"


def test_warnings_about_its_pods_are_shown_newest_first_and_not_all() -> None:
    events = [
        {
            "type": kind,
            "reason": f"R{number}",
            "message": "m",
            "involvedObject": {"uid": uid},
            "lastTimestamp": f"2026-01-02T03:00:0{number}Z",
        }
        for number, (kind, uid) in enumerate([("Warning", "p")] * 7 + [("Normal", "p"), ("Warning", "other")])
    ]
    found = [item.what for item in diagnose_task(task(), [pod()], events, NOW)][1:]
    assert found == [f"Event R{number}: m" for number in (6, 5, 4, 3, 2)]


def test_a_status_of_another_version_is_no_crash() -> None:
    strange = task()
    strange["status"] = {"conditions": [{"type": "Unheard", "status": "True", "reason": "X"}]}
    [found] = diagnose_task(strange, (), (), NOW)
    assert "another version" in found.what
