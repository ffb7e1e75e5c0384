"""A result that becomes a branch: after the verdict, before the outcome, and without changing either."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.axiom.planning.test_planner import CLASS, task
from tests.fakes.simulated_world import DIGEST, SimulatedSandbox, World

from axiom.api.agenttask import AgentTaskStatus, Decision, Review
from axiom.api.conditions import ConditionStatus, ConditionType, Reason
from axiom.planning.observed import Presence
from axiom.planning.pushing import PUSH_TIMEOUT
from axiom.planning.statuses import condition
from axiom_sandbox.protocol.channel import Failure, FailureReason
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Verdict

AGAIN = "once that is mended, `axiom review t --accept` has it tried again"
THERE_ALREADY = f"the branch 'b' is there already; {AGAIN}"
GIT = {"git": {"url": "https://git.example/x.git", "revision": "main"}}


def world(verdict: Verdict = Verdict.PASS, **push: Any) -> World:
    spec = {"workspace": GIT, "result": {"push": {"branch": "b", **push}}, "limits": {"maxRounds": 1}}
    return World(task(**spec), CLASS, judge=lambda _round, _trial: verdict)


def pushed(status: AgentTaskStatus) -> tuple[ConditionStatus, Reason, str]:
    found = condition(status, ConditionType.PUSHED)
    assert found is not None
    return found.status, found.reason, found.message


def until_pushing(played: World) -> SimulatedSandbox:
    """The pusher's sandbox, just made."""
    while True:
        played.step()
        for sandbox in played.sandboxes.values():
            if sandbox.identity.role is Role.PUSHER:
                return sandbox
        played.progress()


def test_a_passed_result_becomes_a_branch_before_the_task_is_complete() -> None:
    played = world()
    status = played.play().status
    assert [identity.role for identity in played.created][-1] is Role.PUSHER
    assert pushed(status) == (ConditionStatus.TRUE, Reason.BRANCH_PUSHED, f"b is at {'c' * 40}")
    assert status.result is not None
    assert (status.result.branch, status.result.commit) == ("b", "c" * 40)
    assert status.verdict is Verdict.PASS
    played.step()
    assert not any(sandbox.presence == "Running" for sandbox in played.sandboxes.values())


@pytest.mark.parametrize(("when", "pushes"), [("Pass", False), ("Always", True)])
def test_another_verdict_is_pushed_only_where_the_task_says_so(when: str, pushes: bool) -> None:
    played = world(Verdict.FAIL, when=when)
    status = played.play().status
    assert (Role.PUSHER in {identity.role for identity in played.created}) is pushes
    assert status.verdict is Verdict.FAIL
    if not pushes:
        assert pushed(status)[1:] == (Reason.NOT_PUSHED, "the verdict is Fail, and result.push.when is Pass")


def test_a_push_that_fails_leaves_the_verdict_and_says_why() -> None:
    played = world()
    played.push_failure = Failure(reason=FailureReason.PUSH_FAILED, message="the branch 'b' is there already")
    status = played.play().status
    assert (status.verdict, status.state) == (Verdict.PASS, "Complete")
    assert pushed(status) == (ConditionStatus.FALSE, Reason.PUSH_FAILED, THERE_ALREADY)
    assert status.result is not None
    assert (status.result.branch, bool(status.result.patch)) == ("", True)


def test_a_result_without_changes_is_no_branch() -> None:
    played = world()
    played.pushed_commit = ""
    assert pushed(played.play().status)[1:] == (Reason.NOT_PUSHED, "the agent changed nothing")


def test_a_pusher_that_is_lost_is_told() -> None:
    played = world()
    played.lose(until_pushing(played))
    assert pushed(played.play().status)[1:] == (
        Reason.PUSH_FAILED,
        f"the pusher's pod was lost; {AGAIN}",
    )


def test_a_push_that_never_ends_is_given_up() -> None:
    played = world()
    until_pushing(played).presence = Presence.PENDING
    played.now += PUSH_TIMEOUT + timedelta(seconds=1)
    status = played.play().status
    assert status.verdict is Verdict.PASS
    assert pushed(status)[1] is Reason.PUSH_FAILED
    assert "not pushed within 0:30:00" in pushed(status)[2]


def test_without_the_commit_that_was_fetched_nothing_is_pushed() -> None:
    played = world()
    played.commit = ""
    status = played.play().status
    assert Role.PUSHER not in {identity.role for identity in played.created}
    assert status.verdict is Verdict.PASS
    assert pushed(status)[1] is Reason.PUSH_FAILED
    assert "was lost with the fetcher's pod" in pushed(status)[2]


def decided(played: World, decision: Decision, why: str = "it will do") -> World:
    review = Review(decision=decision, by="jane", why=why)
    spec = played.task.spec.model_copy(update={"review": review})
    played.task = played.task.model_copy(update={"spec": spec})
    return played


def until_still(played: World) -> AgentTaskStatus:
    """Until nothing of it moves any more."""
    for _ in range(60):
        actions, moved = played.step(), played.progress()
        if not actions and not moved:
            return played.task.status
    pytest.fail(f"it does not come to rest: {played.task.status}")


def test_a_result_that_a_person_accepts_becomes_a_branch_and_the_verdict_stays() -> None:
    played = world(Verdict.FAIL)
    failed = played.play().status
    status = until_still(decided(played, Decision.ACCEPT))
    assert pushed(status) == (ConditionStatus.TRUE, Reason.BRANCH_PUSHED, f"b is at {'c' * 40}")
    assert status.result is not None
    assert (status.result.branch, status.result.commit) == ("b", "c" * 40)
    assert (status.verdict, status.completion_time) == (Verdict.FAIL, failed.completion_time)
    assert [identity.role for identity in played.created].count(Role.PUSHER) == 1
    assert not any(sandbox.presence == "Running" for sandbox in played.sandboxes.values())


def test_a_push_after_a_decision_is_tried_once_and_says_why_it_failed() -> None:
    played = world(Verdict.FAIL)
    played.push_failure = Failure(reason=FailureReason.PUSH_FAILED, message="the branch 'b' is there already")
    played.play()
    status = until_still(decided(played, Decision.ACCEPT))
    assert pushed(status) == (ConditionStatus.FALSE, Reason.PUSH_FAILED, THERE_ALREADY)
    assert [identity.role for identity in played.created].count(Role.PUSHER) == 1


@pytest.mark.parametrize(
    ("verdict", "decision", "pushes"),
    [
        (Verdict.FAIL, Decision.REJECT, 0),
        (Verdict.FAIL, Decision.AGAIN, 0),
        (Verdict.PASS, Decision.ACCEPT, 1),
    ],
)
def test_another_decision_pushes_nothing_and_a_result_that_passed_is_pushed_once(
    verdict: Verdict, decision: Decision, pushes: int
) -> None:
    played = world(verdict)
    played.play()
    before = pushed(played.task.status)
    assert pushed(until_still(decided(played, decision))) == before
    assert [identity.role for identity in played.created].count(Role.PUSHER) == pushes


def test_accepting_a_result_without_changes_comes_to_rest() -> None:
    played = world(Verdict.FAIL)
    played.pushed_commit = ""
    played.play()
    assert pushed(until_still(decided(played, Decision.ACCEPT)))[1:] == (
        Reason.NOT_PUSHED, "the agent changed nothing",
    )  # fmt: skip


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_a_push_that_failed_is_tried_again_once_a_person_accepts_the_result_after_that(
    verdict: Verdict,
) -> None:
    played = world(verdict)
    played.push_failure = Failure(reason=FailureReason.PUSH_FAILED, message="no such password")
    played.play()
    played.now += timedelta(minutes=1)
    decided(played, Decision.ACCEPT)
    status = until_still(played)
    assert pushed(status)[1] is Reason.PUSH_FAILED
    assert status.review is not None
    tried = [identity.slot for identity in played.created if identity.role is Role.PUSHER]
    assert tried == (["pusher", "pusher-1"] if verdict is Verdict.PASS else ["pusher"])
    played.push_failure = None
    played.now += timedelta(minutes=1)
    status = until_still(decided(played, Decision.ACCEPT, "the Secret is mended"))
    assert pushed(status)[1] is Reason.BRANCH_PUSHED
    assert status.result is not None
    assert (status.result.branch, status.result.digest) == ("b", DIGEST)
    assert (status.review and status.review.why, status.verdict) == ("the Secret is mended", verdict)
    assert [identity.role for identity in played.created].count(Role.PUSHER) == len(tried) + 1
    assert not any(sandbox.presence == "Running" for sandbox in played.sandboxes.values())


def test_a_rejection_after_a_push_that_failed_tries_nothing() -> None:
    played = world()
    played.push_failure = Failure(reason=FailureReason.PUSH_FAILED, message="no such password")
    played.play()
    played.now += timedelta(minutes=1)
    assert pushed(until_still(decided(played, Decision.REJECT)))[1] is Reason.PUSH_FAILED
    assert [identity.role for identity in played.created].count(Role.PUSHER) == 1
