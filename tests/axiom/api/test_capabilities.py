"""What a task takes of its class: less, and never more."""

from __future__ import annotations

from axiom.api.agentclass import AgentClass, capability_fault, has_way_out
from axiom.api.agenttask import AgentTask
from axiom.api.loading import parse_class, parse_task


def class_with(*hosts: str) -> AgentClass:
    spec = {
        "command": ["a", "$(AXIOM_PROMPT)"],
        "egress": {"destinations": [{"host": host} for host in hosts]},
    }
    return parse_class({"metadata": {"name": "c"}, "spec": spec})


def task_with(**capabilities: list[str]) -> AgentTask:
    spec = {"agentClassName": "c", "prompt": "p", "criteria": [{"name": "d", "diff": {}}]}
    return parse_task({"metadata": {"name": "t"}, "spec": {**spec, "capabilities": capabilities}})


def test_a_task_may_want_less() -> None:
    assert (
        capability_fault(class_with("pypi.org", "npm.example"), task_with(destinations=["pypi.org"]).spec)
        == ""
    )
    assert capability_fault(class_with(), task_with(destinations=[]).spec) == ""
    assert capability_fault(class_with(), task_with().spec) == ""


def test_a_task_that_wants_more_is_told_what_and_how_to_get_it() -> None:
    fault = capability_fault(
        class_with("pypi.org"), task_with(destinations=["evil.example", "pypi.org"]).spec
    )
    assert "names evil.example, which AgentClass 'c' does not open" in fault
    assert "egress.destinations" in fault


def test_destinations_alone_make_a_proxy_needed() -> None:
    assert has_way_out(class_with("pypi.org").spec)
    assert not has_way_out(class_with().spec)
