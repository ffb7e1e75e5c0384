"""What a task takes of its class: less, and never more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.api.agentclass import AgentClass, capability_fault, has_way_out
from axiom.api.agenttask import AgentTask
from axiom.api.loading import parse_class, parse_task
from axiom.planning.briefing import context_policy
from axiom_sandbox.protocol.channel import ContextAct, ContextPolicy


def class_with(*hosts: str, **rest: Any) -> AgentClass:
    spec = {
        "command": ["a", "$(AXIOM_PROMPT)"],
        "egress": {"destinations": [{"host": host} for host in hosts]},
        **rest,
    }
    return parse_class({"metadata": {"name": "c"}, "spec": spec})


def task_with(**capabilities: Any) -> AgentTask:
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


SPEAKING = {"driver": "Claude", "command": ["claude"]}
FILLING = {**SPEAKING, "context": {"atPercent": 80, "then": "Summarise", "window": 9000}}


@pytest.mark.parametrize(
    ("given_class", "wanted", "fault"),
    [
        (FILLING, {"atPercent": 80}, ""),
        (FILLING, {"atPercent": 60, "then": "Stop"}, ""),
        (FILLING, {}, ""),
        (SPEAKING, {"atPercent": 60, "then": "Stop"}, ""),
        (
            FILLING,
            {"atPercent": 81},
            "is 81, and AgentClass 'c' acts from 80 on; a task has less than its class",
        ),
        (SPEAKING, {"atPercent": 60}, "write both atPercent and then: Stop, or add context to the class"),
        (SPEAKING, {"then": "Stop"}, "write both atPercent and then: Stop"),
        ({}, {"atPercent": 60, "then": "Stop"}, "and driver Generic of AgentClass 'c' does not"),
    ],
)
def test_a_task_may_have_its_context_looked_after_more_strictly_and_not_less(
    given_class: dict[str, Any], wanted: dict[str, Any], fault: str
) -> None:
    found = capability_fault(class_with(**given_class), task_with(context=wanted).spec)
    assert fault in found
    assert bool(fault) == bool(found)


def test_the_smaller_share_and_the_stricter_act_hold() -> None:
    settings = class_with(**FILLING).spec.context
    assert context_policy(settings, None) == ContextPolicy(percent=80, act=ContextAct.SUMMARISE, window=9000)
    own = task_with(context={"atPercent": 60}).spec.capabilities.context
    assert context_policy(settings, own) == ContextPolicy(percent=60, act=ContextAct.SUMMARISE, window=9000)
    stopping = task_with(context={"atPercent": 60, "then": "Stop"}).spec.capabilities.context
    assert context_policy(settings, stopping) == ContextPolicy(percent=60, act=ContextAct.STOP, window=9000)
    assert context_policy(None, stopping) == ContextPolicy(percent=60, act=ContextAct.STOP)
    assert context_policy(None, own) is None
    assert context_policy(None, None) is None


@given(st.integers(10, 99), st.none() | st.integers(10, 99), st.booleans())
def test_whatever_a_task_asks_for_it_never_gets_more_than_its_class(
    share: int, own: int | None, stops: bool
) -> None:
    made = class_with(**SPEAKING, context={"atPercent": share, "then": "Compact"})
    wanted = {"atPercent": own, "then": "Stop" if stops else None}
    found = context_policy(made.spec.context, task_with(context=wanted).spec.capabilities.context)
    assert found is not None
    assert found.percent <= share
