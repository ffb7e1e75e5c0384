"""A task that works on another's result: waits without counting, begins, or ends at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.axiom.planning.test_planner import CLASS, task
from tests.fakes.simulated_world import DIGEST, SimulatedSandbox, World

from axiom.api.agenttask import AgentTask, AgentTaskStatus, RoundStatus, TaskSource, WorkspaceStatus
from axiom.api.conditions import ConditionStatus, ConditionType, Reason
from axiom.planning.actions import CreateSandbox, Wait, WriteStatus
from axiom.planning.observed import Observed, Presence, Trouble
from axiom.planning.planner import plan
from axiom.planning.sources import Never, NotYet, Result, result_of
from axiom.planning.statuses import condition, with_condition
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.progress import Progress
from axiom_sandbox.protocol.verdicts import Verdict

NOW = World(task(), CLASS).now


def other(*verdicts: Verdict, complete: bool = True, base: str = "b" * 64) -> AgentTask:
    rounds = [
        RoundStatus(number=number, attempt=1, verdict=verdict, changes=f"{number}" * 64)
        for number, verdict in enumerate(verdicts, 1)
    ]
    status = AgentTaskStatus(rounds=rounds, workspace=WorkspaceStatus(digest=base), message="over", attempt=1)
    if complete:
        status = with_condition(status, NOW, ConditionType.COMPLETE, True, Reason.PASSED)
    return task().model_copy(update={"status": status})


def test_a_passed_task_gives_its_base_and_its_last_changes() -> None:
    found = result_of(TaskSource(name="t"), other(Verdict.FAIL, Verdict.PASS))
    assert found == Result("b" * 64, "2" * 64, "u-1/2")


@pytest.mark.parametrize(
    ("source", "task", "said"),
    [
        ({}, None, "there is no AgentTask 't' in this namespace; create it"),
        ({}, other(Verdict.PASS, complete=False), "'t' is not complete yet"),
    ],
)
def test_what_may_still_come_is_waited_for(source: dict[str, Any], task: AgentTask | None, said: str) -> None:
    found = result_of(TaskSource(name="t", **source), task)
    assert isinstance(found, NotYet)
    assert said in found.why


@pytest.mark.parametrize(
    ("source", "task", "said"),
    [
        (
            {},
            other(Verdict.FAIL),
            "the verdict on round 1 of 't' is Fail; mend that task, or set allowFailed",
        ),
        ({"round": 1}, other(Verdict.FAIL, Verdict.PASS), "the verdict on round 1 of 't' is Fail"),
        ({"round": 3}, other(Verdict.PASS), "nothing was captured of 't' in round 3; its message: over"),
        ({"allow_failed": True}, other(), "nothing was captured of 't' at all"),
    ],
)
def test_what_will_never_do_says_why(source: dict[str, Any], task: AgentTask, said: str) -> None:
    found = result_of(TaskSource(name="t", **source), task)
    assert isinstance(found, Never)
    assert said in found.why


def test_a_failed_result_will_do_where_the_task_says_so() -> None:
    assert isinstance(result_of(TaskSource(name="t", allow_failed=True), other(Verdict.FAIL)), Result)


FOLLOWER = {"workspace": {"task": {"name": "first"}}}


def test_waiting_for_a_task_is_one_write_and_neither_pod_nor_deadline() -> None:
    observed = Observed(task(**FOLLOWER), agent_class=CLASS, source=None)
    [write] = plan(observed, NOW)
    assert isinstance(write, WriteStatus)
    told = condition(write.status, ConditionType.ACCEPTED)
    assert told is not None
    assert (told.status, told.reason) == (ConditionStatus.FALSE, Reason.WAITING_FOR_TASK)
    assert (write.status.state, write.status.accepted_time, write.status.attempt) == ("Pending", None, 0)
    [wait] = plan(replace(observed, task=observed.task.model_copy(update={"status": write.status})), NOW)
    assert isinstance(wait, Wait)


def test_a_task_that_names_itself_ends_at_once() -> None:
    [write] = plan(Observed(task(workspace={"task": {"name": "t"}}), agent_class=CLASS, source=None), NOW)
    assert isinstance(write, WriteStatus)
    assert "cannot work on its own result" in write.status.message
    assert write.status.state == "Failed"


def test_a_task_whose_source_failed_ends_at_once_without_a_verdict() -> None:
    [write] = plan(Observed(task(**FOLLOWER), agent_class=CLASS, source=other(Verdict.FAIL)), NOW)
    assert isinstance(write, WriteStatus)
    complete = condition(write.status, ConditionType.COMPLETE)
    assert complete is not None
    assert (complete.reason, write.status.state) == (Reason.WORKSPACE_FAILED, "Failed")
    assert "allowFailed" in write.status.message


def test_a_copier_makes_the_workspace_of_base_and_changes() -> None:
    world = World(task(**FOLLOWER), CLASS, source=other(Verdict.PASS))
    world.step()
    [copier] = [action for action in world.step() if isinstance(action, CreateSandbox)]
    [agent] = [action for action in world.step() if isinstance(action, CreateSandbox)]
    assert (copier.identity.role, copier.base, copier.changes) == (Role.COPIER, "b" * 64, "1" * 64)
    assert (agent.identity.role, agent.base) == (Role.AGENT, "")
    status = world.play().status
    assert status.verdict is Verdict.PASS
    assert (status.workspace.digest, status.workspace.revision) == (DIGEST, "u-1/1")
    world.step()
    assert sum(world.writes.values()) <= 10, world.writes


@pytest.mark.parametrize(
    "workspace",
    [{"archive": {"key": "a.tar"}}, {"persistentVolumeClaim": {"claimName": "data"}}],
    ids=["archive", "volume"],
)
def test_an_archive_and_a_volume_come_by_a_copier_too(workspace: dict[str, Any]) -> None:
    world = World(task(workspace=workspace), CLASS)
    assert world.play().status.verdict is Verdict.PASS
    assert [identity.role for identity in world.created] == [Role.COPIER, Role.AGENT, Role.VERIFIER]


UNSCHEDULABLE = Trouble(Reason.UNSCHEDULABLE, "0/1 nodes are available: 1 Insufficient cpu")
FETCHED = {"workspace": {"git": {"url": "https://git.example/leap.git", "revision": "main"}}}


def supplier_of(world: World) -> SimulatedSandbox:
    [found] = [sandbox for sandbox in world.sandboxes.values() if sandbox.identity.role is Role.FETCHER]
    return found


def test_an_agent_takes_no_place_before_its_fetcher_has_one() -> None:
    world = World(task(**FETCHED), CLASS)
    for _ in range(2):
        world.step()
    fetcher = supplier_of(world)
    fetcher.placed, fetcher.presence, fetcher.trouble = False, Presence.PENDING, UNSCHEDULABLE
    [write] = world.step()
    assert isinstance(write, WriteStatus)
    told = condition(write.status, ConditionType.SANDBOX_READY)
    assert told is not None
    assert (told.reason, told.message) == (
        Reason.UNSCHEDULABLE,
        f"the fetcher's pod: {UNSCHEDULABLE.message}",
    )
    assert [identity.role for identity in world.created] == [Role.FETCHER]
    fetcher.placed, fetcher.presence, fetcher.trouble = True, Presence.RUNNING, None
    assert world.play().status.verdict is Verdict.PASS


def test_a_fetcher_that_has_done_its_work_leaves_while_its_agent_finds_no_place() -> None:
    world = World(task(**FETCHED), CLASS)
    for _ in range(3):
        world.step()
    fetcher = supplier_of(world)
    [agent] = [sandbox for sandbox in world.sandboxes.values() if sandbox.identity.role is Role.AGENT]
    agent.placed, agent.presence, agent.trouble = False, Presence.PENDING, UNSCHEDULABLE
    world.step()
    assert world.task.status.workspace.digest == ""
    assert fetcher.presence is Presence.RUNNING
    world.advance(fetcher)
    for _ in range(2):
        world.step()
    status = world.task.status
    assert (status.workspace.digest, status.workspace.revision) == (DIGEST, world.commit)
    assert fetcher.presence is Presence.GONE
    agent.placed, agent.presence, agent.trouble = True, Presence.RUNNING, None
    assert world.play().status.verdict is Verdict.PASS
    assert [identity.role for identity in world.created].count(Role.FETCHER) == 1


def test_progress_of_the_supplier_is_told_as_often_as_it_says() -> None:
    world = World(task(workspace={"archive": {"key": "a.tar"}}), CLASS)
    for _ in range(3):
        world.step()
    for sandbox in world.sandboxes.values():
        if sandbox.identity.role is Role.AGENT:
            world.advance(sandbox)
        else:
            sandbox.change(progress=Progress(stage="copying", bytes=34_500_000, files=1200))
    [write] = world.step()
    assert isinstance(write, WriteStatus)
    told = condition(write.status, ConditionType.SANDBOX_READY)
    assert told is not None
    assert (told.reason, told.message) == (
        Reason.WAITING_FOR_WORKSPACE,
        "copying: 1,200 files, 34.5 MB so far",
    )
    assert not any(isinstance(action, WriteStatus) for action in world.step())
