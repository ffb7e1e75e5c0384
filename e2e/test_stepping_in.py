"""A person steps into a task on a cluster: answers its agent, tells it something, and the status says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fakes import structured_agent

from e2e.cluster.waiting import wait_until
from e2e.support.command_line import Person
from e2e.support.kubernetes import Object
from e2e.support.world import World, condition, has_condition

pytestmark = pytest.mark.e2e

PLAN = [["tool", "echo hello > greeting.txt"], ["hear"], ["result", "Done."]]
IMAGE = "AXIOM_VERIFIER_IMAGE"
"""It has Python, which the agent of these tests is written in."""


def make_asking_class(world: World, *plan: list[str], within: str = "10m") -> None:
    world.make_class(
        world.control_plane.environment[IMAGE],
        driver="Claude",
        command=["python3", "$(AXIOM_HOME)/agent.py", json.dumps([list(plan or PLAN)])],
        homeFiles=[{"path": "agent.py", "content": Path(structured_agent.__file__).read_text()}],
        approvals={"default": "Ask", "answerWithin": within},
    )


def person(world: World, folder: Path, name: str, rule: str) -> Person:
    return Person(world.kubectl, world.control_plane.gateway_url, folder, name, rule)


def untold(world: World, name: str, reason: str) -> str | None:
    """Events are posted after the status is written."""
    reasons = [event["reason"] for event in world.told(name)]
    return None if reason in reasons else f"only {reasons}"


def payloads(records: list[Object], event: str) -> list[Object]:
    return [record["payload"] for record in records if record["event"] == event]


def test_a_person_answers_an_agent_and_tells_it_something(world: World, tmp_path: Path) -> None:
    make_asking_class(world)
    world.make_task("asks", "any")
    waiting = world.wait("asks", has_condition("Running", "WaitingForApproval"))
    assert waiting["status"]["state"] == "NeedsApproval"
    [question] = waiting["status"]["questions"]
    assert (question["tool"], question["summary"]) == ("Bash", "command: echo hello > greeting.txt")
    assert "axiom approve asks" in condition(waiting, "Running")["message"]
    wait_until(
        "an Event to tell of it", lambda: untold(world, "asks", "WaitingForApproval"), limit_seconds=30
    )

    onlooker = person(world, tmp_path, "onlooker", "get agenttasks.axiom.dev")
    code, _, said = onlooker.axiom("approve", "asks")
    assert (code, "may not create agenttasks/interventions" in said) == (3, True)

    helper = person(world, tmp_path, "helper", "create agenttasks.axiom.dev/interventions")
    code, _, said = helper.axiom("approve", "asks", "--message", "go on")
    assert code == 0, said
    assert helper.axiom("tell", "asks", "mind the leap years")[0] == 0

    status = world.wait_complete("asks")
    assert (status["verdict"], status["assisted"]) == ("Pass", True)
    assert status["rounds"][0]["assisted"]
    assert "a person stepped in" in status["message"]
    records = world.events("asks")
    user = f"system:serviceaccount:{world.kubectl.namespace}:helper"
    [given] = payloads(records, "approval_given")
    assert (given["permission"], given["by"], given["message"]) == ("Allow", user, "go on")
    assert {"by": user, "action": "tell", "detail": ""} in payloads(records, "intervention")
    assert "heard: mind the leap years" in str(payloads(records, "assistant_msg"))


def test_what_nobody_answers_is_denied_and_the_task_goes_on(world: World) -> None:
    make_asking_class(world, ["tool", "echo hello > greeting.txt"], ["result", "Not done."], within="2s")
    world.make_task("unanswered", "any")
    status = world.wait_complete("unanswered")
    assert (status["verdict"], status.get("assisted", False)) == ("Fail", False)
    [given] = payloads(world.events("unanswered"), "approval_given")
    assert (given["permission"], given["by"]) == ("Deny", "limit")
