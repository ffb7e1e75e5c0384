"""A task that is suspended, rolled back, forked, or moved to another place, played against a simulated world."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.axiom.planning.test_planner import CLASS, task
from tests.fakes.simulated_world import DIGEST, SimulatedSandbox, World

from axiom.api.agenttask import AgentTask
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Send, Wait, WriteStatus
from axiom.planning.checkpoints import starting_point
from axiom.planning.observed import Presence, SandboxView, Trouble
from axiom.planning.planner import plan
from axiom.planning.statuses import condition
from axiom_sandbox.protocol.channel import Failure, FailureReason, Phase, Stop
from axiom_sandbox.protocol.checkpoints import Why
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Verdict


def failing_once(number: int, _: int) -> Verdict:
    return Verdict.PASS if number == 2 else Verdict.FAIL


def world(judge: Callable[[int, int], Verdict] = failing_once, **spec: Any) -> World:
    made = World(task(**spec), CLASS)
    made.judge = judge
    return made


def change(played: World, **spec: Any) -> None:
    updated = played.task.spec.model_copy(update=spec)
    played.task = played.task.model_copy(update={"spec": updated})


def agent(played: World) -> SimulatedSandbox:
    return next(
        box
        for box in reversed(played.sandboxes.values())
        if box.identity.role is Role.AGENT and box.presence is Presence.RUNNING
    )


def until(played: World, wanted: Callable[[World], bool]) -> None:
    for _ in range(60):
        if wanted(played):
            return
        played.step()
        if wanted(played):
            return
        played.progress()
    pytest.fail(f"it did not come to that: {played.task.status}")


def works_on(number: int) -> Callable[[World], bool]:
    def is_so(played: World) -> bool:
        return any(
            box.identity.role is Role.AGENT
            and box.presence is Presence.RUNNING
            and (box.state.phase, box.state.round) == (Phase.RUNNING, number)
            for box in played.sandboxes.values()
        )

    return is_so


def is_suspended(played: World) -> bool:
    gone = all(box.presence is Presence.GONE for box in played.sandboxes.values())
    return played.task.status.state == "Suspended" and gone


def reason_of(played: World, kind: ConditionType) -> tuple[Reason, str]:
    found = condition(played.task.status, kind)
    assert found is not None
    return found.reason, found.message


def test_a_suspended_task_goes_on_from_the_checkpoint_that_its_suspension_left() -> None:
    played = world()
    until(played, works_on(2))
    change(played, suspend=True)
    played.step()  # its deadline stands before anything else
    until(played, is_suspended)
    kept = played.task.status.checkpoints
    assert [(one.number, one.reason, one.round) for one in kept] == [(1, Why.TURN, 1), (2, Why.SUSPEND, 2)]
    assert "checkpoint 2 of attempt 1 is kept" in reason_of(played, ConditionType.RUNNING)[1]
    change(played, suspend=False)
    until(played, works_on(2))
    assert played.task.status.restored is not None
    assert played.restores[2] == kept[1].digest == played.task.status.restored.digest
    assert (played.starts[-1].round, played.starts[-1].going_on) == (2, "")
    assert played.starts[-1].next_checkpoint == 3
    assert "goes on from checkpoint 2" in reason_of(played, ConditionType.SANDBOX_READY)[1]
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 0)
    assert [record.number for record in status.rounds] == [1, 2], "no round is counted twice"


def test_the_checkpoint_is_stored_before_the_pod_goes() -> None:
    played = world()
    until(played, works_on(1))
    change(played, suspend=True)
    played.step()
    assert played.task.status.suspension, "its deadline stands first"
    actions = played.step()
    commands = [one.envelope.command for one in actions if isinstance(one, Send)]
    [stop] = [command for command in commands if isinstance(command, Stop)]
    assert stop.checkpoint
    played.step()
    assert agent(played).presence is Presence.RUNNING, "its checkpoint is not stored yet"
    played.progress()
    played.step()
    assert [one.reason for one in played.task.status.checkpoints] == [Why.SUSPEND]
    assert agent(played).presence is Presence.RUNNING, "the status is written first"
    until(played, is_suspended)


def test_a_round_that_was_captured_before_a_suspension_is_judged_after_it_and_not_played_again() -> None:
    played = world()
    until(
        played, lambda world: bool(world.task.status.rounds) and agent(world).view().has_sealed("changes-1")
    )
    change(played, suspend=True)
    until(played, is_suspended)
    assert [record.verdict for record in played.task.status.rounds] in ([None], [Verdict.FAIL])
    change(played, suspend=False)
    status = played.play().status
    assert (status.verdict, status.lost_attempts) == (Verdict.PASS, 0)
    assert [start.round for start in played.starts] == [1, 2]
    assert (
        played.starts[1].going_on.startswith("Your work was verified")
        or "round 1" in played.starts[1].going_on
    )


def test_a_lost_sandbox_is_followed_by_one_that_goes_on_from_its_last_checkpoint() -> None:
    played = world()
    until(played, works_on(2))
    [first] = agent(played).state.checkpoints
    played.lose(agent(played))
    until(played, works_on(2))
    assert played.restores == {2: first.digest}
    assert "round 1" in played.starts[-1].going_on, "it is told the evidence, in its own session"
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 1)


def test_a_pod_that_is_told_to_end_is_waited_for_until_its_checkpoint_is_stored() -> None:
    played = world()
    until(played, works_on(1))
    box = agent(played)
    view = SandboxView(
        box.identity, Presence.GONE, "u", Trouble(Reason.EVICTED, "drained"), box.state, leaving_seconds=1.0
    )
    observed = played.observe()

    def planned(seen: SandboxView) -> tuple[Any, ...]:
        return plan(observed.__class__(task=played.task, agent_class=CLASS, sandboxes=(seen,)), played.now)

    assert [type(one) for one in planned(view)] == [Wait]
    played.keep(box, Why.LEAVING)
    played.close(box, None)
    played.seal(box)
    kept = box.state.checkpoints[-1]
    from dataclasses import replace

    [written] = planned(replace(view, state=box.state, leaving_seconds=9.0))
    assert isinstance(written, WriteStatus)
    assert written.status.restored is not None
    assert (written.status.restored.digest, written.status.attempt) == (kept.digest, 2)
    ready = condition(written.status, ConditionType.SANDBOX_READY)
    assert ready is not None
    assert ready.reason is Reason.EVICTED
    assert "from checkpoint 1 of attempt 1" in ready.message
    [late] = planned(replace(view, leaving_seconds=76.0))
    assert isinstance(late, WriteStatus), "a pod that never ends is not waited for"
    lost = replace(view, trouble=Trouble(Reason.NODE_LOST, "gone"))
    [at_once] = planned(lost)
    assert isinstance(at_once, WriteStatus)


def test_where_a_checkpoint_does_not_hold_the_one_before_it_is_used() -> None:
    played = world()
    until(played, works_on(2))
    change(played, suspend=True)
    until(played, is_suspended)
    first, second = played.task.status.checkpoints
    played.broken.add(second.digest)
    change(played, suspend=False)
    until(played, works_on(2))
    assert played.restores == {2: second.digest, 3: first.digest}
    assert [one.fault for one in played.task.status.checkpoints] == ["", "damaged"]
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 3, 0)


def test_where_no_checkpoint_holds_the_task_begins_from_its_base() -> None:
    played = world()
    until(played, works_on(1))
    change(played, suspend=True)
    until(played, is_suspended)
    played.broken.update(one.digest for one in played.task.status.checkpoints)
    change(played, suspend=False)
    until(played, works_on(1))
    assert played.task.status.restored is None
    assert played.task.status.attempt == 3


def test_a_session_that_is_not_gone_on_with_is_no_checkpoint_either() -> None:
    played = world()
    until(played, works_on(1))
    change(played, suspend=True)
    until(played, is_suspended)
    change(played, suspend=False)
    played.failures[2] = Failure(reason=FailureReason.RESTORE_FAILED, message="another session")
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 3, 0)
    assert status.checkpoints[0].fault == "another session"


def test_a_rollback_goes_back_and_stays_on_its_own_line() -> None:
    played = world(lambda *_: Verdict.FAIL, limits={"maxRounds": 6})
    until(played, works_on(3))
    change(played, rollback_to=1)
    until(played, lambda world: world.task.status.attempt == 2 and works_on(3)(world))
    status = played.task.status
    assert status.restored is not None
    assert (status.restored.number, status.rolled_back_to) == (1, 1)
    assert [one.number for one in status.checkpoints] == [1, 2, 3], "what was left is kept, too"
    assert played.starts[-1].round == 3, "rounds that were used up stay used up"
    assert "round 1" in played.starts[-1].going_on
    assert status.lost_attempts == 0
    point = starting_point(status)
    assert point is not None
    assert point.number == 1, "another loss leads back here, not to what was taken later"
    actions = [type(action) for action in played.step()]
    assert WriteStatus not in actions, "it is carried out once"


def test_a_rollback_to_what_is_not_there_says_so_and_changes_nothing() -> None:
    played = world()
    until(played, works_on(1))
    change(played, rollback_to=7)
    until(played, lambda world: world.task.status.rolled_back_to == 7)
    assert "there is no checkpoint 7" in played.task.status.message
    assert agent(played).state.phase is Phase.RUNNING
    assert played.play().status.attempt == 1


def test_a_checkpoint_that_was_asked_for_stands_in_the_status_at_once_and_is_taken_once() -> None:
    played = world()
    until(played, works_on(1))
    played.request = "now"
    played.step()
    box = agent(played)
    played.seal(box)
    played.step()
    assert [one.reason for one in played.task.status.checkpoints] == [Why.DEMAND]
    assert not [one for one in played.step() if isinstance(one, Send)]


def test_the_ordinary_case_costs_no_write_more() -> None:
    played = world(lambda *_: Verdict.PASS)
    played.play()
    played.step()
    assert sum(played.writes.values()) <= 10, played.writes


def source_of_fork() -> AgentTask:
    played = World(task(), CLASS)
    played.judge = failing_once
    until(played, works_on(2))
    change(played, suspend=True)
    until(played, is_suspended)
    other = played.task
    return other.model_copy(update={"metadata": {**other.metadata, "name": "other", "uid": "u-2"}})


def test_a_fork_begins_from_another_tasks_checkpoint_with_that_tasks_base() -> None:
    played = world(lambda *_: Verdict.PASS, workspace={"checkpoint": {"task": "other", "number": 1}})
    played.step()
    assert reason_of(played, ConditionType.ACCEPTED)[0] is Reason.WAITING_FOR_TASK
    played.source = source_of_fork()
    until(played, works_on(1))
    status = played.task.status
    assert status.forked_from is not None
    assert (status.forked_from.task, status.forked_from.number) == ("other", 1)
    assert status.workspace.digest == played.source.status.workspace.digest
    assert played.restores[1] == played.source.status.checkpoints[0].digest
    assert played.starts[0].going_on.startswith("do it")
    assert played.play().status.verdict is Verdict.PASS


def test_a_fork_of_a_stored_checkpoint_needs_no_other_task_and_learns_its_base_from_the_sandbox() -> None:
    stored = {"uid": "u-9", "attempt": 2, "digest": "b" * 64}
    played = world(
        lambda *_: Verdict.PASS, workspace={"checkpoint": {"task": "gone", "number": 4, "stored": stored}}
    )
    until(played, works_on(1))
    status = played.task.status
    assert status.forked_from is not None
    assert (status.forked_from.task, status.forked_from.number, status.forked_from.attempt) == ("gone", 4, 2)
    assert played.restores[1] == "b" * 64
    assert status.workspace.digest == DIGEST
    assert "goes on from checkpoint 4 of task 'gone'" in reason_of(played, ConditionType.SANDBOX_READY)[1]
    assert played.play().status.verdict is Verdict.PASS


def test_a_fork_of_a_checkpoint_that_does_not_hold_ends_and_says_why() -> None:
    played = world(workspace={"checkpoint": {"task": "other"}})
    played.source = source_of_fork()
    played.broken.add(played.source.status.checkpoints[-1].digest)
    status = played.play().status
    assert reason_of(played, ConditionType.COMPLETE)[0] is Reason.WORKSPACE_FAILED
    assert "checkpoint 2 of task 'other' does not hold: damaged" in status.message


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_suspended_lost_and_rolled_back_no_round_is_counted_twice(seed: int) -> None:
    chance = random.Random(seed)
    played = world(lambda number, _: Verdict.PASS if number == 3 else Verdict.FAIL)
    for _ in range(5_000):
        if chance.random() < 0.02:
            change(played, suspend=not played.task.spec.suspend)
        if chance.random() < 0.01:
            change(played, rollback_to=chance.choice([None, 1, 2]))
        if chance.random() < 0.01:
            played.request = str(chance.random())
        played.random_step(chance, 0.0)
        if played.outcomes:
            break
    change(played, suspend=False)
    status = played.play(steps=3_000, chance=chance).status if not played.outcomes else played.task.status
    assert len(played.outcomes) == 1
    assert [record.number for record in status.rounds] == [1, 2, 3]
    assert (status.verdict, status.lost_attempts) == (Verdict.PASS, 0)
    digests = [one.digest for one in status.checkpoints]
    assert len(digests) == len(set(digests))
