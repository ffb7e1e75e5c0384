"""A task whose vendor does not answer: nothing new begins, and its deadline stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.axiom.planning.test_going_on import change, is_suspended, until, works_on
from tests.axiom.planning.test_planner import world
from tests.fakes.simulated_world import SimulatedSandbox, World

from axiom.api.agenttask import Suspension, TaskState, VendorPause
from axiom.api.conditions import ConditionType, Reason
from axiom.api.usage import ProxyUsage
from axiom.planning.actions import Send
from axiom.planning.briefing import MOST_PAUSE_SECONDS
from axiom.planning.observed import Presence, VendorDown
from axiom.planning.present import Present
from axiom.planning.statuses import condition, is_true
from axiom_sandbox.protocol.channel import SetBudget, SetDeadline, SetVendor
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Verdict

SINCE = datetime(2026, 1, 1, 11, 59, tzinfo=UTC)
DOWN = VendorDown("api.example", SINCE, SINCE + timedelta(seconds=30))


def settled(played: World, most: int = 20) -> World:
    """As many steps as it takes until nothing is written or created any more."""
    for _ in range(most):
        writes = played.writes.copy()
        played.step()
        if played.writes == writes:
            return played
    raise AssertionError(played.task.status)


def at_work(**spec: object) -> tuple[World, SimulatedSandbox]:
    """A task whose agent works."""
    played = world(**spec)
    return played, played.until_the_agent_works()


def reason(played: World, kind: ConditionType) -> Reason:
    found = condition(played.task.status, kind)
    assert found is not None
    return found.reason


def message(played: World, kind: ConditionType) -> str:
    found = condition(played.task.status, kind)
    assert found is not None
    return found.message


def finished(played: World) -> World:
    for _ in range(60):
        if is_true(played.task.status, ConditionType.COMPLETE):
            return played
        played.step()
        played.progress()
    raise AssertionError(played.task.status)


def ends_in_five_minutes(played: World) -> None:
    played.now += timedelta(minutes=4)
    settled(played)
    assert not is_true(played.task.status, ConditionType.COMPLETE), "a minute is left"
    played.now += timedelta(minutes=2)
    for _ in range(10):
        played.step()
        played.progress()
    assert reason(played, ConditionType.COMPLETE) is Reason.DEADLINE_EXCEEDED


def test_no_sandbox_is_started_until_the_vendor_is_back_and_then_it_is() -> None:
    played = world()
    played.vendor = DOWN
    settled(played)
    assert played.created == []
    assert reason(played, ConditionType.SANDBOX_READY) is Reason.WAITING_FOR_VENDOR
    assert message(played, ConditionType.SANDBOX_READY) == (
        "api.example has not answered since 2026-01-01T11:59:00.000Z; one task tries next at 2026-01-01T11:59:30.000Z."
        " limits.deadline stands until it answers, for at most 4 h"
    )
    played.now += timedelta(hours=2)
    settled(played)
    assert played.created == []
    played.vendor = None
    assert finished(played).task.status.verdict is Verdict.PASS
    pause = played.task.status.vendor_pause
    assert pause is not None
    assert (pause.since, pause.seconds, pause.times, pause.host) == (None, 7200, 1, "api.example")


def test_the_deadline_stands_for_an_agent_that_runs_and_goes_on_afterwards() -> None:
    played, _ = at_work(limits={"deadline": "20m"})
    played.now += timedelta(minutes=15)
    played.vendor = DOWN
    settled(played)
    assert reason(played, ConditionType.RUNNING) is Reason.WAITING_FOR_VENDOR
    assert played.task.status.state is TaskState.RUNNING
    played.now += timedelta(minutes=50)
    settled(played)
    assert not is_true(played.task.status, ConditionType.COMPLETE)
    played.vendor = None
    settled(played)
    assert reason(played, ConditionType.RUNNING) is Reason.AGENT_RUNNING
    ends_in_five_minutes(played)


def test_each_try_is_told_once_by_those_who_wait_and_by_those_who_run() -> None:
    waiting, (running, _) = world(), at_work()
    for played, kind in ((waiting, ConditionType.SANDBOX_READY), (running, ConditionType.RUNNING)):
        played.vendor = DOWN
        settled(played)
        for number in range(1, 4):
            played.vendor = replace(DOWN, next_try=SINCE + timedelta(minutes=number))
            written = played.writes["status"]
            for _ in range(5):
                played.now += timedelta(seconds=10)
                played.step()
            assert f"next at 2026-01-01T12:0{number - 1}" in message(played, kind)
            assert played.writes["status"] == written + 1


def test_the_sandbox_is_told_once_each_time_and_its_deadline_runs_ahead_of_it() -> None:
    played, sandbox = at_work(limits={"deadline": "1h"})
    sent: list[object] = []

    def step() -> None:
        sent.extend(action.envelope.command for action in played.step() if isinstance(action, Send))

    for vendor in (DOWN, None, DOWN, None):
        played.vendor = vendor
        for _ in range(12):
            played.now += timedelta(minutes=1)
            step()
            step()
            assert sandbox.state.deadline_ms is not None
            left = sandbox.state.deadline_ms / 1000 - played.now.timestamp()
            assert left > 0, "the supervisor ends nothing that the operator lets go on"
    assert [command.down for command in sent if isinstance(command, SetVendor)] == [
        "api.example",
        "",
        "api.example",
        "",
    ]
    assert len([command for command in sent if isinstance(command, SetDeadline)]) <= 8
    assert sandbox.state.vendor_down == ""


def test_a_wait_that_is_too_long_counts_and_the_task_ends() -> None:
    played = world(limits={"deadline": "20m"})
    played.vendor = DOWN
    settled(played)
    played.now += timedelta(seconds=MOST_PAUSE_SECONDS + 60)
    settled(played)
    pause = played.task.status.vendor_pause
    assert pause is not None
    assert (pause.since, pause.seconds) == (None, MOST_PAUSE_SECONDS)
    assert not is_true(played.task.status, ConditionType.COMPLETE)
    played.now += timedelta(minutes=21)
    settled(played)
    assert reason(played, ConditionType.COMPLETE) is Reason.DEADLINE_EXCEEDED


def test_an_attempt_that_is_lost_while_the_vendor_is_away_is_followed_once_it_is_back() -> None:
    played, sandbox = at_work()
    played.vendor = DOWN
    settled(played)
    sandbox.presence = Presence.GONE
    settled(played)
    assert played.task.status.attempt == 2
    assert [one.attempt for one in played.created if one.role is Role.AGENT] == [1]
    assert reason(played, ConditionType.SANDBOX_READY) is Reason.WAITING_FOR_VENDOR
    played.vendor = None
    assert finished(played).task.status.verdict is Verdict.PASS


def test_a_sandbox_of_an_earlier_version_is_sent_nothing_that_it_would_refuse() -> None:
    played, sandbox = at_work(limits={"budget": {"usd": "2.00"}})
    sandbox.change(vendor_down=None, budget_micro_usd=None)
    played.vendor = DOWN
    sent = [action for _ in range(5) for action in played.step() if isinstance(action, Send)]
    assert not any(isinstance(one.envelope.command, SetVendor | SetBudget) for one in sent)


def suspended(played: World) -> World:
    """Suspends it, and waits until its pods are gone."""
    change(played, suspend=True)
    settled(played)
    until(played, is_suspended)
    return played


def test_the_deadline_stands_for_as_long_as_a_task_is_suspended() -> None:
    played, _ = at_work(limits={"deadline": "20m"})
    played.now += timedelta(minutes=15)
    suspended(played)
    found = condition(played.task.status, ConditionType.RUNNING)
    assert found is not None
    assert "limits.deadline stands" in found.message
    played.now += timedelta(days=3)
    assert settled(played).step() == (), "there is nothing to wait for"
    change(played, suspend=False)
    until(played, works_on(1))
    known = played.task.status.suspension
    assert known == Suspension(seconds=3 * 86400, times=1)
    assert (
        played.starts[-1].envelope.limits.deadline_ms
        == (played.now + timedelta(minutes=5)).timestamp() * 1000
    )
    ends_in_five_minutes(played)


def test_a_sandbox_that_keeps_its_last_checkpoint_is_told_that_the_deadline_stands() -> None:
    played, sandbox = at_work(limits={"deadline": "20m"})
    before = sandbox.state.deadline_ms
    assert before is not None
    suspended(played)
    assert sandbox.state.deadline_ms is not None
    assert sandbox.state.deadline_ms > before


def test_no_second_counts_twice_where_the_vendor_is_away_while_a_task_is_suspended() -> None:
    played, _ = at_work(limits={"deadline": "20m"})
    played.vendor = DOWN
    settled(played)
    played.now += timedelta(minutes=10)
    suspended(played)
    assert played.task.status.vendor_pause == VendorPause(host="api.example", seconds=600, times=1)
    played.now += timedelta(minutes=20)
    change(played, suspend=False)
    settled(played)
    assert played.task.status.suspension == Suspension(seconds=1200, times=1)
    assert reason(played, ConditionType.SANDBOX_READY) is Reason.WAITING_FOR_VENDOR
    played.now += timedelta(minutes=10)
    present = Present(played.observe(), played.now, played.task.status)
    assert (present.seconds_of_pause, present.seconds_of_suspension) == (1200, 1200)
    assert present.seconds_left == 20 * 60


def test_a_task_that_ends_while_it_is_suspended_is_not_suspended_any_more() -> None:
    played, _ = at_work(limits={"budget": {"usd": "1.00"}})
    suspended(played)
    played.now += timedelta(minutes=1)
    played.usage = (ProxyUsage(proxy="a", cost_micro_usd=2_000_000),)
    for _ in range(10):
        played.step()
    assert reason(played, ConditionType.COMPLETE) is Reason.BUDGET_EXCEEDED
    assert played.task.status.suspension == Suspension(seconds=60, times=1)
