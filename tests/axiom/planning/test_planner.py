"""A task's life, played against a simulated world."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.fakes.simulated_world import DIGEST, SimulatedSandbox, World

from axiom.api.agenttask import RoundStatus
from axiom.api.conditions import ConditionStatus, ConditionType, Reason
from axiom.api.loading import parse_class, parse_task
from axiom.planning.actions import CreateSandbox, DeleteSandbox, DeleteTask, Send, Wait, WriteStatus
from axiom.planning.observed import Observed, Presence, SandboxView, Trouble
from axiom.planning.outcomes import outcome_of_rounds
from axiom.planning.planner import plan
from axiom.planning.statuses import condition, has_reason
from axiom.storage.keys import blob_key
from axiom_sandbox.protocol.channel import SUPERSEDED, Blob, Failure, FailureReason, Phase, StartAgent
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Claim, ClaimAbout, ClaimDisagreement, Saying, Verdict

CLASS = parse_class(
    {"metadata": {"name": "any"}, "spec": {"image": "i", "command": ["agent", "$(AXIOM_PROMPT)"]}}
)


def task(**spec: Any) -> Any:
    body = {
        "agentClassName": "any",
        "prompt": "do it",
        "criteria": [{"name": "out", "files": {"expect": [{"path": "out.txt"}]}}],
        **spec,
    }
    return parse_task({"metadata": {"name": "t", "namespace": "n", "uid": "u-1"}, "spec": body})


def world(judge: Any = None, **spec: Any) -> World:
    made = World(task(**spec), CLASS)
    if judge:
        made.judge = judge
    return made


def test_honest_work_passes_in_one_round() -> None:
    played = world()
    status = played.play().status
    assert (status.verdict, status.state, status.round, status.attempt) == (Verdict.PASS, "Complete", 1, 1)
    assert [identity.role for identity in played.created] == [Role.AGENT, Role.VERIFIER]
    assert status.ledger is not None
    assert status.ledger.path == "tasks/n/u-1/attempts/1/agent/ledger/"
    assert {item.type for item in status.conditions} == set(ConditionType) - {ConditionType.PUSHED}
    assert status.result is not None
    assert status.result.digest == DIGEST
    assert (status.result.patch, status.result.archive) == (blob_key(DIGEST), blob_key(DIGEST))


def test_the_ordinary_case_stays_within_ten_writes() -> None:
    played = world()
    played.play()
    played.step()
    assert sum(played.writes.values()) <= 10, played.writes
    assert not any(sandbox.presence is not Presence.GONE for sandbox in played.sandboxes.values())


def test_a_git_workspace_is_fetched_by_a_sandbox_of_its_own() -> None:
    played = world(workspace={"git": {"url": "https://git.example/x.git", "revision": "main"}})
    assert played.play().status.verdict is Verdict.PASS
    assert [identity.role for identity in played.created] == [Role.FETCHER, Role.AGENT, Role.VERIFIER]
    played.step()
    assert sum(played.writes.values()) <= 10, played.writes


def test_a_failed_round_is_followed_by_another_in_the_same_sandbox() -> None:
    played = world(lambda number, _: Verdict.PASS if number == 2 else Verdict.FAIL)
    status = played.play().status
    assert (status.verdict, status.round, status.attempt) == (Verdict.PASS, 2, 1)
    assert [record.verdict for record in status.rounds] == [Verdict.FAIL, Verdict.PASS]
    assert sum(identity.role is Role.AGENT for identity in played.created) == 1


def test_rounds_end_at_the_maximum() -> None:
    status = world(lambda *_: Verdict.FAIL, limits={"maxRounds": 2}).play().status
    assert (status.verdict, status.round, status.claim_disagreement) == (Verdict.FAIL, 2, True)


def test_what_was_claimed_wrongly_stands_in_its_round_and_at_the_end_with_the_outcome_first() -> None:
    lie = ClaimDisagreement(about=ClaimAbout.TESTS_PASS, claimed="All tests pass.", found="they do not")
    played = world(lambda *_: Verdict.FAIL, limits={"maxRounds": 2})
    played.disagreements = lambda number: (lie,) if number == 2 else ()
    status = played.play().status
    assert [record.disagreements for record in status.rounds] == [[], [lie]]
    assert [record.rebuttal for record in status.rounds] == ["", "I see."]
    outcome, told = status.claim_disagreements
    assert (outcome.about, outcome.claimed, told) == (ClaimAbout.OUTCOME, "Success", lie)
    assert outcome.found.startswith("Fail: ")
    assert status.claim_disagreement


def test_an_agent_that_says_what_is_so_disagrees_with_nothing() -> None:
    status = world(lambda *_: Verdict.PASS).play().status
    assert (status.claim_disagreement, status.claim_disagreements) == (False, [])


def test_a_round_that_changes_nothing_goes_to_a_person() -> None:
    played = world(lambda *_: Verdict.FAIL, limits={"maxRounds": 5})
    played.fingerprint = lambda _: "same"
    status = played.play().status
    assert (status.verdict, status.state, status.round) == (Verdict.FAIL, "NeedsReview", 2)
    assert "changed nothing" in status.message


@pytest.mark.parametrize(("percent", "rounds"), [(4, 2), (5, 3), (None, 3)])
def test_a_round_that_changes_less_than_a_twentieth_goes_to_a_person(
    percent: int | None, rounds: int
) -> None:
    played = world(lambda *_: Verdict.FAIL, limits={"maxRounds": 3})
    played.changed_percent = lambda number: percent if number > 1 else None
    status = played.play().status
    assert (status.verdict, status.round) == (Verdict.FAIL, rounds)
    assert status.rounds[1].changed_percent == percent
    assert ("round 2 changed less than 5% of the work" in status.message) is (rounds == 2)


def test_a_decision_of_a_person_is_recorded_once_beside_the_verdict() -> None:
    played = world(lambda *_: Verdict.FAIL, limits={"maxRounds": 5})
    played.fingerprint = lambda _: "same"
    before = played.play().status
    assert before.state == "NeedsReview"
    review = {"decision": "Accept", "by": "jane", "why": "good enough"}
    decided = task(limits={"maxRounds": 5}, review=review).model_copy(update={"status": before})
    [action] = plan(Observed(task=decided), played.now)
    assert isinstance(action, WriteStatus)
    after = action.status
    assert (after.verdict, after.state) == (Verdict.FAIL, "Complete")
    assert after.review is not None
    assert after.review.model_dump(include={"decision", "by", "why"}) == review
    assert plan(Observed(task=decided.model_copy(update={"status": after})), played.now) == ()


def test_an_inconclusive_verification_is_repeated_once() -> None:
    played = world(lambda _, trial: Verdict.PASS if trial == 2 else Verdict.INCONCLUSIVE)
    status = played.play().status
    assert (status.verdict, status.round, status.rounds[0].trials) == (Verdict.PASS, 1, 2)


def test_a_verification_that_stays_inconclusive_goes_to_a_person() -> None:
    status = world(lambda *_: Verdict.INCONCLUSIVE).play().status
    assert (status.verdict, status.state) == (Verdict.INCONCLUSIVE, "NeedsReview")


def test_a_lost_sandbox_gives_a_new_attempt() -> None:
    played = world()
    for _ in range(20):
        played.step()
        if any(sandbox.state.phase is Phase.RUNNING for sandbox in played.sandboxes.values()):
            break
        played.progress()
    played.lose(next(iter(played.sandboxes.values())))
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 1)


def test_three_lost_attempts_are_the_end() -> None:
    lost = Failure(reason=FailureReason.LAUNCHER_LOST, message="gone")
    played = world()
    played.failures = dict.fromkeys(range(1, 9), lost)
    status = played.play().status
    assert (status.verdict, status.state) == (None, "Failed")
    complete = condition(status, ConditionType.COMPLETE)
    assert complete is not None
    assert complete.reason is Reason.ATTEMPTS_EXHAUSTED
    assert sum(identity.role is Role.AGENT for identity in played.created) == 3


@pytest.mark.parametrize(
    ("reason", "verdict", "shown"),
    [
        (FailureReason.STORAGE_EXCEEDED, Verdict.FAIL, Reason.STORAGE_EXCEEDED),
        (FailureReason.DEADLINE_EXCEEDED, Verdict.FAIL, Reason.DEADLINE_EXCEEDED),
        (FailureReason.PROCESS_LIMIT_EXCEEDED, Verdict.FAIL, Reason.PROCESS_LIMIT_EXCEEDED),
        (FailureReason.START_FAILED, None, Reason.START_FAILED),
        (FailureReason.ISOLATION_FAILED, None, Reason.ISOLATION_FAILED),
        (FailureReason.LEDGER_FAILED, None, Reason.LEDGER_FAILED),
    ],
)
def test_what_a_failed_sandbox_makes_of_the_task(
    reason: FailureReason, verdict: Verdict | None, shown: Reason
) -> None:
    played = world()
    played.failures = {1: Failure(reason=reason, message="why")}
    status = played.play().status
    complete = condition(status, ConditionType.COMPLETE)
    assert complete is not None
    assert (status.verdict, complete.reason) == (verdict, shown)
    assert "why" in status.message
    assert status.attempt == 1


def test_a_deadline_ends_a_task_that_cannot_even_start() -> None:
    played = world()
    played.step()
    played.step()
    sandbox = next(iter(played.sandboxes.values()))
    sandbox.presence = Presence.PENDING
    sandbox.trouble = Trouble(Reason.IMAGE_PULL_FAILED, "no such image")
    played.step()
    accepted = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert accepted is not None
    assert (accepted.status, accepted.reason) == (ConditionStatus.FALSE, Reason.IMAGE_PULL_FAILED)
    played.now += timedelta(hours=2)
    played.step()
    assert played.task.status.verdict is Verdict.FAIL
    assert "no such image" in played.task.status.message


def test_trouble_that_is_mended_is_forgotten() -> None:
    played = world()
    played.step()
    played.step()
    sandbox = next(iter(played.sandboxes.values()))
    sandbox.trouble = Trouble(Reason.IMAGE_PULL_FAILED, "no such image")
    played.step()
    sandbox.trouble = None
    assert played.play().status.verdict is Verdict.PASS


def test_a_missing_class_is_waited_for_without_writing_again() -> None:
    missing = Trouble(Reason.CLASS_NOT_FOUND, "there is no AgentClass 'any'; create it")
    first = plan(Observed(task(), refusal=missing), World(task(), None).now)
    assert isinstance(first[0], WriteStatus)
    assert first[0].status.state == "Pending"
    refused = task().model_copy(update={"status": first[0].status})
    again = plan(Observed(refused, refusal=missing), World(task(), None).now)
    assert [type(action) for action in again] == [Wait]
    accepted = plan(Observed(refused, agent_class=CLASS), World(task(), None).now)
    assert isinstance(accepted[0], WriteStatus)
    assert accepted[0].status.attempt == 1


def test_the_attempt_is_in_the_status_before_its_sandbox_exists() -> None:
    played = world()
    assert [type(action) for action in played.step()] == [WriteStatus]
    assert [type(action) for action in played.step()] == [CreateSandbox]


def test_the_status_says_running_before_the_agent_starts() -> None:
    played = world()
    for _ in range(50):
        actions = played.step()
        if any(
            isinstance(action, Send) and isinstance(action.envelope.command, StartAgent) for action in actions
        ):
            running = condition(played.task.status, ConditionType.RUNNING)
            assert running is not None
            assert running.status is ConditionStatus.TRUE
            return
        played.progress()
    pytest.fail("the agent was never started")


def test_suspend_ends_the_pods_and_resume_uses_up_no_attempt() -> None:
    played = world()
    for _ in range(4):
        played.step()
        played.progress()
    spec = played.task.spec
    played.task = played.task.model_copy(update={"spec": spec.model_copy(update={"suspend": True})})
    for _ in range(4):
        played.step()
    assert played.task.status.state == "Suspended"
    assert all(sandbox.presence is Presence.GONE for sandbox in played.sandboxes.values())
    played.task = played.task.model_copy(update={"spec": spec})
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 0)


def test_a_deadline_that_is_moved_reaches_the_running_sandbox() -> None:
    played = world()
    for _ in range(20):
        played.step()
        if any(sandbox.state.phase is Phase.RUNNING for sandbox in played.sandboxes.values()):
            break
        played.progress()
    [sandbox] = played.sandboxes.values()
    before = sandbox.state.deadline_ms
    assert before is not None
    spec = played.task.spec
    limits = spec.limits.model_copy(update={"deadline": "2h"})
    played.task = played.task.model_copy(update={"spec": spec.model_copy(update={"limits": limits})})
    played.step()
    assert sandbox.state.deadline_ms == before + 3_600_000
    assert not any(isinstance(action, Send) for action in played.step())


def test_a_finished_task_is_deleted_when_its_retention_is_over() -> None:
    played = world(retention={"ttlAfterComplete": "10m"})
    played.play()
    assert any(isinstance(action, Wait) for action in played.step())
    played.now += timedelta(minutes=11)
    actions = played.step()
    assert any(isinstance(action, DeleteTask) for action in actions)


def test_a_finished_task_keeps_no_sandbox() -> None:
    played = world()
    played.play()
    actions = plan(played.observe(), played.now)
    assert actions
    assert all(isinstance(action, DeleteSandbox) for action in actions)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_killed_and_whenever_there_is_one_outcome_and_one_sandbox_for_each_slot(
    seed: int,
) -> None:
    chance = random.Random(seed)
    played = world(lambda number, _: Verdict.PASS if number == 2 else Verdict.FAIL)
    loss = 0.02 if seed % 2 else 0.0
    played.play(steps=5_000, chance=chance, loss=loss)
    status = played.task.status
    for _ in range(20):
        played.random_step(chance, 0.0)
    assert len(played.outcomes) == 1
    agents = [identity for identity in played.created if identity.role is Role.AGENT]
    if not loss:
        assert status.verdict is Verdict.PASS
        assert len(agents) == len(set(agents)) == 1
    assert status.lost_attempts <= 3


def test_what_a_lost_sandbox_said_is_told() -> None:
    played = world()
    for _ in range(3):
        for _ in range(20):
            played.step()
            present = [box for box in played.sandboxes.values() if box.presence is Presence.RUNNING]
            if any(sandbox.state.phase is Phase.RUNNING for sandbox in present):
                break
            played.progress()
        present[-1].trouble = Trouble(Reason.LOST, "out of memory")
        played.lose(present[-1])
    status = played.play().status
    assert status.message == ("3 sandboxes were lost; the sandbox of attempt 3 was lost: out of memory")


def test_a_silent_end_that_does_not_pass_says_that_it_was_silent() -> None:
    claim = Claim(says=Saying.NONE, text="[silent for longer than limits.idle (60 s)]\nthinking")
    record = RoundStatus(number=1, attempt=1, claim=claim, verdict=Verdict.FAIL, fingerprint="f")
    outcome = outcome_of_rounds([record], max_rounds=1)
    assert outcome is not None
    assert outcome.reason is Reason.IDLE_EXCEEDED
    assert outcome.message.startswith("silent for longer than limits.idle (60 s), and what the agent left")
    assert outcome_of_rounds([record], max_rounds=2) is None
    passed = record.model_copy(update={"verdict": Verdict.PASS})
    again = outcome_of_rounds([passed], max_rounds=1)
    assert again is not None
    assert again.reason is Reason.PASSED


def until_verifying(played: World) -> None:
    """Until the verifier's pod is there."""
    while played.observe().sandbox(Role.VERIFIER, 1, 1, 1) is None:
        played.step()
        played.progress()


def test_a_round_that_was_captured_is_judged_although_its_sandbox_is_lost() -> None:
    played = world()
    until_verifying(played)
    played.lose(played.sandboxes[played.observe().identity(Role.AGENT, 1)])
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 1, 0)


def test_a_verifier_that_needs_what_the_agent_did_is_made_once_that_is_stored() -> None:
    played = world(criteria=[{"name": "tools", "toolUse": {}}])
    agent = played.observe().identity(Role.AGENT, 1)
    while not has_reason(played.task.status, ConditionType.RUNNING, Reason.VERIFYING):
        played.step()
        if agent not in played.sandboxes or played.sandboxes[agent].state.phase is not Phase.ROUND_ENDED:
            played.progress()
    side = played.sandboxes[agent]
    for stored in (("changes-1", "diff-1"), ("changes-1", "diff-1", "conduct-1")):
        side.change(blobs=tuple(b.model_copy(update={"sealed": b.name in stored}) for b in side.state.blobs))
        made = [one for one in plan(played.observe(), played.now) if isinstance(one, CreateSandbox)]
        assert [one.conduct for one in made] == ([DIGEST] if "conduct-1" in stored else [])


def test_a_round_that_failed_after_its_sandbox_was_lost_is_followed_by_another_attempt() -> None:
    played = world(lambda number, _: Verdict.PASS if number == 2 else Verdict.FAIL)
    until_verifying(played)
    played.lose(played.sandboxes[played.observe().identity(Role.AGENT, 1)])
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 1)
    assert [record.verdict for record in status.rounds] == [Verdict.FAIL, Verdict.PASS]


def test_a_round_whose_capture_is_not_stored_is_lost_with_its_sandbox() -> None:
    played = world()
    agent = played.observe().identity(Role.AGENT, 1)
    while not has_reason(played.task.status, ConditionType.RUNNING, Reason.VERIFYING):
        played.step()
        if agent not in played.sandboxes or played.sandboxes[agent].state.phase is not Phase.ROUND_ENDED:
            played.progress()
    played.lose(played.sandboxes[agent])
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 1)


def test_how_a_sandbox_was_lost_is_the_conditions_reason() -> None:
    played = world()
    while condition(played.task.status, ConditionType.RUNNING) is None:
        played.step()
        played.progress()
    sandbox = played.sandboxes[played.observe().identity(Role.AGENT, 1)]
    sandbox.presence, sandbox.trouble = Presence.GONE, Trouble(Reason.EVICTED, "low on memory")
    played.step()
    ready = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert ready is not None
    assert (ready.reason, played.task.status.lost_attempts) == (Reason.EVICTED, 1)
    assert "attempt 1 was lost: low on memory; a new one follows" in ready.message


GIT = {"git": {"url": "https://git.example/x.git", "revision": "main"}}


def test_the_trouble_of_a_fetcher_is_told_and_forgotten_when_it_is_mended() -> None:
    played = world(workspace=GIT)
    fetcher, agent = (played.observe().identity(role, 1) for role in (Role.FETCHER, Role.AGENT))
    while (
        agent not in played.sandboxes
        or played.sandboxes[agent].state.phase is not Phase.WAITING_FOR_WORKSPACE
    ):
        played.step()
        for identity, sandbox in list(played.sandboxes.items()):
            if identity == fetcher:
                sandbox.trouble = Trouble(Reason.IMAGE_PULL_FAILED, "no such image")
            else:
                played.advance(sandbox)
    played.step()
    ready = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert ready is not None
    assert (ready.reason, ready.message) == (Reason.IMAGE_PULL_FAILED, "the fetcher's pod: no such image")
    assert [type(action) for action in played.step()] == [Wait]

    played.sandboxes[fetcher].trouble = None
    status = played.play().status
    assert (status.verdict, status.attempt) == (Verdict.PASS, 1)


@pytest.mark.parametrize("role", [Role.FETCHER, Role.VERIFIER])
def test_a_helper_whose_pod_is_refused_is_told(role: Role) -> None:
    played = world(workspace=GIT)
    until_verifying(played)
    kind = ConditionType.VERIFIED
    if role is Role.FETCHER:
        played = world(workspace=GIT)
        agent, kind = played.observe().identity(Role.AGENT, 1), ConditionType.SANDBOX_READY
        while (
            agent not in played.sandboxes
            or played.sandboxes[agent].state.phase is not Phase.WAITING_FOR_WORKSPACE
        ):
            played.step()
            if agent in played.sandboxes:
                played.advance(played.sandboxes[agent])
    played.sandboxes = {i: s for i, s in played.sandboxes.items() if i.role is not role}
    observed = replace(played.observe(), creation_refused="exceeded quota: pods")
    [action] = [action for action in plan(observed, played.now) if isinstance(action, WriteStatus)]
    told = condition(action.status, kind)
    assert told is not None
    assert (told.reason, told.message) == (
        Reason.CREATION_REFUSED,
        f"the {role.value}'s pod: exceeded quota: pods",
    )


def test_a_helper_that_cannot_come_up_is_made_anew_once_its_image_was_changed() -> None:
    played = world(workspace=GIT)
    until_verifying(played)
    verifier = played.observe().identity(Role.VERIFIER, 1, 1, 1)
    stuck = SandboxView(
        verifier, Presence.PENDING, "uid", Trouble(Reason.IMAGE_PULL_FAILED, "x"), outdated=True
    )
    others = tuple(view for view in played.observe().sandboxes if view.identity != verifier)
    actions = plan(replace(played.observe(), sandboxes=(*others, stuck)), played.now)
    assert DeleteSandbox(verifier, "uid") in actions


def test_what_the_probe_found_is_told_though_the_workspace_never_comes() -> None:
    played = world()
    agent = played.observe().identity(Role.AGENT, 1)
    while agent not in played.sandboxes:
        played.step()
    sandbox = played.sandboxes[agent]
    played.advance(sandbox)
    assert sandbox.state.phase is Phase.WAITING_FOR_WORKSPACE
    sandbox.trouble = Trouble(Reason.WORKSPACE_FAILED, "there is no ConfigMap 'base'")
    [write] = played.step()
    assert isinstance(write, WriteStatus)
    assert write.status.isolation is not None
    isolated = condition(write.status, ConditionType.ISOLATED)
    assert isolated is not None
    assert isolated.reason is Reason.PROBE_PASSED
    [wait] = played.step()
    assert isinstance(wait, Wait), "it is told once"


def until_rounds_are_over(played: World) -> None:
    """Until the status says that the agent's sandbox left after the last round."""
    while not has_reason(played.task.status, ConditionType.SANDBOX_READY, Reason.ROUNDS_OVER):
        played.step()
        for sandbox in list(played.sandboxes.values()):
            if sandbox.identity.role is not Role.VERIFIER:
                played.advance(sandbox)


def test_after_the_last_round_the_agents_sandbox_leaves_while_its_work_is_judged() -> None:
    played = world(limits={"maxRounds": 1})
    until_rounds_are_over(played)
    played.step()
    agent = played.sandboxes[played.observe().identity(Role.AGENT, 1)]
    verifier = played.sandboxes[played.observe().identity(Role.VERIFIER, 1, 1, 1)]
    assert agent.view().sealed
    assert (agent.presence, verifier.presence) == (Presence.GONE, Presence.RUNNING)
    assert played.task.status.verdict is None

    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 1, 0)
    assert sum(played.writes.values()) <= 10, played.writes


def test_what_was_noted_of_the_workspace_is_still_said_once_the_sandbox_has_left() -> None:
    played = world(workspace=GIT, limits={"maxRounds": 1})
    fetcher = played.observe().identity(Role.FETCHER, 1)
    while fetcher not in played.sandboxes:
        played.step()
    played.sandboxes[fetcher].change(notes=("submodules are left empty: lib",))
    until_rounds_are_over(played)
    left = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert left is not None
    assert left.message == "round 1 was the last; submodules are left empty: lib"


def test_what_the_agent_left_is_in_the_status_though_an_operator_that_is_new_knows_nothing_of_it() -> None:
    played = world(limits={"maxRounds": 1})
    until_rounds_are_over(played)
    played.step()
    del played.sandboxes[played.observe().identity(Role.AGENT, 1)]
    status = played.play().status
    assert status.verdict is Verdict.PASS
    assert status.ledger is not None
    assert (status.ledger.path, status.ledger.head) == ("tasks/n/u-1/attempts/1/agent/ledger/", DIGEST)
    assert [identity.role for identity in played.created] == [Role.AGENT, Role.VERIFIER]


def test_an_agent_that_left_after_its_last_round_is_judged_by_a_second_verifier_if_the_first_is_lost() -> (
    None
):
    played = world(limits={"maxRounds": 1})
    until_rounds_are_over(played)
    played.step()
    played.lose(played.sandboxes[played.observe().identity(Role.VERIFIER, 1, 1, 1)])
    status = played.play().status
    assert (status.verdict, status.attempt) == (Verdict.PASS, 1)
    assert [identity.role for identity in played.created] == [Role.AGENT, Role.VERIFIER, Role.VERIFIER]


def test_rounds_that_are_granted_after_the_last_one_are_another_attempts() -> None:
    played = world(lambda number, _: Verdict.PASS if number == 2 else Verdict.FAIL, limits={"maxRounds": 1})
    until_rounds_are_over(played)
    limits = played.task.spec.limits.model_copy(update={"max_rounds": 2})
    spec = played.task.spec.model_copy(update={"limits": limits})
    played.task = played.task.model_copy(update={"spec": spec})
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 0)


def test_while_rounds_are_left_the_agents_sandbox_waits_for_the_verdict() -> None:
    played = world(limits={"maxRounds": 2})
    until_verifying(played)
    played.play()
    ready = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert ready is not None
    assert ready.reason is Reason.READY


def without_room(played: World) -> None:
    """Plays on in a world that has room for one sandbox: a verifier starts once the agent's is gone."""
    for _ in range(400):
        played.step()
        played.now += timedelta(seconds=1)
        there = [one for one in played.sandboxes.values() if one.presence is not Presence.GONE]
        for sandbox in there:
            alone = len(there) == 1
            if sandbox.identity.role is Role.VERIFIER and sandbox.state.phase is Phase.STARTING:
                sandbox.trouble = None if alone else Trouble(Reason.UNSCHEDULABLE, "Too many pods")
                sandbox.presence = Presence.RUNNING if alone else Presence.PENDING
            if sandbox.presence is Presence.RUNNING:
                played.advance(sandbox)
        if condition(played.task.status, ConditionType.COMPLETE):
            return
    raise AssertionError(played.task.status)


def test_an_agent_whose_verifier_finds_no_room_leaves_its_own() -> None:
    played = world()
    without_room(played)
    status = played.task.status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 1, 0)
    assert [identity.role for identity in played.created] == [Role.AGENT, Role.VERIFIER]
    agent = played.sandboxes[played.observe().identity(Role.AGENT, 1)]
    assert agent.state.phase is Phase.STOPPED
    assert agent.view().sealed
    assert "could not be sealed" not in status.message
    ready = condition(status, ConditionType.SANDBOX_READY)
    assert ready is not None
    assert ready.reason is Reason.MADE_ROOM


def test_a_round_that_fails_after_room_was_made_is_followed_by_an_attempt_that_is_not_counted_as_lost() -> (
    None
):
    played = world(lambda number, _: Verdict.PASS if number == 2 else Verdict.FAIL)
    without_room(played)
    status = played.task.status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 0)
    assert [(record.attempt, record.verdict) for record in status.rounds] == [
        (1, Verdict.FAIL),
        (2, Verdict.PASS),
    ]


def test_room_is_made_only_when_none_is_found_for_a_while() -> None:
    played = world()
    until_verifying(played)
    verifier = played.sandboxes[played.observe().identity(Role.VERIFIER, 1, 1, 1)]
    verifier.presence, verifier.trouble = Presence.PENDING, Trouble(Reason.UNSCHEDULABLE, "Too many pods")
    played.step()
    played.now += timedelta(seconds=29)
    assert [type(action) for action in played.step()] == [Wait]
    verifier.presence, verifier.trouble = Presence.RUNNING, None
    assert played.play().status.attempt == 1
    ready = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert ready is not None
    assert ready.reason is Reason.READY


def test_a_verifier_whose_image_is_missing_takes_nobodys_room() -> None:
    played = world()
    until_verifying(played)
    verifier = played.sandboxes[played.observe().identity(Role.VERIFIER, 1, 1, 1)]
    verifier.presence, verifier.trouble = Presence.PENDING, Trouble(Reason.IMAGE_PULL_FAILED, "no such image")
    for _ in range(5):
        played.step()
        played.now += timedelta(seconds=30)
    ready = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert ready is not None
    assert ready.reason is Reason.READY


def test_a_sandbox_whose_untrusted_side_went_is_waited_for_until_its_pod_says_why() -> None:
    played = world()
    played.failures = {1: Failure(reason=FailureReason.LAUNCHER_LOST, message="the launcher hung up")}
    agent = played.observe().identity(Role.AGENT, 1)
    while agent not in played.sandboxes or played.sandboxes[agent].state.phase is not Phase.FAILED:
        played.step()
        played.progress()
    [wait] = played.step()
    assert isinstance(wait, Wait)
    assert wait.seconds == 10

    played.now += timedelta(seconds=10)
    played.step()
    ready = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert ready is not None
    assert (ready.reason, played.task.status.lost_attempts) == (Reason.LOST, 1)
    assert "the launcher hung up" in ready.message


def test_a_verifier_that_took_the_name_of_an_earlier_one_is_replaced_by_the_next_trial() -> None:
    played = world()
    until_verifying(played)
    first = played.sandboxes[played.observe().identity(Role.VERIFIER, 1, 1, 1)]
    while first.state.phase is not Phase.VERIFIED:
        played.step()
        played.progress()
    first.change(trouble=SUPERSEDED)
    status = played.play().status
    assert (status.verdict, status.attempt, status.rounds[0].trials) == (Verdict.PASS, 1, 2)
    assert status.rounds[0].verifier_ledger is not None
    assert "verifier-1-2" in status.rounds[0].verifier_ledger.path


@pytest.mark.parametrize("role", [Role.AGENT, Role.FETCHER])
def test_an_attempt_that_took_the_name_of_an_earlier_one_is_given_up_and_not_counted(role: Role) -> None:
    played = world(workspace=GIT)
    while not all(played.observe().sandbox(one, 1) for one in (Role.AGENT, Role.FETCHER)):
        played.step()
    played.sandboxes[played.observe().identity(role, 1)].change(trouble=SUPERSEDED)
    status = played.play().status
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 0)


def _played_until(phase: Phase, role: Role) -> tuple[World, SimulatedSandbox]:
    played = world()
    for _ in range(40):
        played.step()
        found = [box for box in played.sandboxes.values() if box.identity.role is role]
        if found and found[0].state.phase is phase:
            return played, found[0]
        played.progress()
    raise AssertionError(f"{role} never came to {phase}")


WAITS = [
    (Phase.WAITING_FOR_WORKSPACE, Role.AGENT, ConditionType.SANDBOX_READY),
    (Phase.ROUND_ENDED, Role.AGENT, ConditionType.VERIFIED),
    (Phase.WAITING_FOR_WORKSPACE, Role.VERIFIER, ConditionType.VERIFIED),
    (Phase.STOPPED, Role.VERIFIER, ConditionType.VERIFIED),
    (Phase.STOPPED, Role.AGENT, ConditionType.COMPLETE),
]


@pytest.mark.parametrize(("phase", "role", "kind"), WAITS)
def test_a_task_that_waits_for_object_storage_says_so_once_and_goes_on(
    phase: Phase, role: Role, kind: ConditionType
) -> None:
    played, sandbox = _played_until(phase, role)
    for _ in range(2):
        played.step()
    sandbox.change(storage_trouble="the object store is away")
    before = played.writes["status"]
    for _ in range(5):
        played.step()

    found = condition(played.task.status, kind)
    assert found is not None
    assert (found.reason, found.message) == (Reason.STORAGE_UNAVAILABLE, "the object store is away")
    assert found.status is not ConditionStatus.TRUE
    assert played.writes["status"] == before + 1
    assert played.task.status.verdict is None
    sandbox.change(storage_trouble="")
    if kind is ConditionType.VERIFIED and phase is not Phase.STOPPED:
        played.progress()
        played.step()
        found = condition(played.task.status, kind)
        assert found is not None
        assert found.reason is Reason.VERIFYING, "what is over is taken back before the verdict"
    status = played.play().status
    assert status.verdict is Verdict.PASS
    assert Reason.STORAGE_UNAVAILABLE not in {item.reason for item in status.conditions}


@pytest.mark.parametrize(("phase", "role", "kind"), WAITS)
def test_a_task_that_no_gateway_comes_for_says_so(phase: Phase, role: Role, kind: ConditionType) -> None:
    played, sandbox = _played_until(phase, role)
    for _ in range(2):
        played.step()
    found = condition(played.task.status, kind)
    assert found is None or found.reason is not Reason.GATEWAY_SILENT
    played.now += timedelta(seconds=31)
    played.step()

    assert sandbox.quiet_seconds == 31
    found = condition(played.task.status, kind)
    assert found is not None
    assert found.reason is Reason.GATEWAY_SILENT
    assert "gateway" in found.message


def test_an_outcome_waits_for_its_evidence_by_the_observers_own_clock() -> None:
    played, sandbox = _played_until(Phase.STOPPED, Role.AGENT)
    played.step()
    later = played.now + timedelta(minutes=40)
    seen_just_now = played.observe()
    assert not any(isinstance(action, WriteStatus) for action in plan(seen_just_now, later))
    played.now = later
    played.step()
    assert sandbox.quiet_seconds > 1800
    assert played.task.status.verdict is Verdict.PASS
    assert "could not be sealed" in played.task.status.message


def test_a_git_workspace_that_cannot_be_stored_names_object_storage() -> None:
    played = world(workspace={"git": {"url": "https://git.example/x.git", "revision": "main"}})
    for _ in range(3):
        played.step()
    agent, fetcher = (
        next(box for box in played.sandboxes.values() if box.identity.role is role)
        for role in (Role.AGENT, Role.FETCHER)
    )
    agent.change(phase=Phase.WAITING_FOR_WORKSPACE)
    fetcher.change(
        phase=Phase.FETCHED,
        blobs=(Blob(name="workspace", digest="a" * 64, size=1),),
        storage_trouble="the object store is away",
    )
    played.step()
    found = condition(played.task.status, ConditionType.SANDBOX_READY)
    assert found is not None
    assert found.reason is Reason.STORAGE_UNAVAILABLE


def test_a_deadline_that_passes_in_an_outage_of_object_storage_says_so() -> None:
    played, sandbox = _played_until(Phase.ROUND_ENDED, Role.AGENT)
    sandbox.change(storage_trouble="the object store is away")
    played.now += timedelta(hours=2)
    status = played.play().status
    assert status.verdict is Verdict.FAIL
    assert "passed while waiting: the object store is away" in status.message


def test_what_is_left_of_lost_sandboxes_is_deleted_during_the_task_and_after_it() -> None:
    played = world()
    until_verifying(played)
    agent = played.observe().identity(Role.AGENT, 1)
    evicted = SandboxView(agent, Presence.GONE, "uid-1", Trouble(Reason.EVICTED, "low"), remains=True)

    def seen() -> Observed:
        others = [view for view in played.observe().sandboxes if view.identity != agent]
        return replace(played.observe(), sandboxes=(*others, evicted))

    assert DeleteSandbox(agent, "uid-1") not in plan(seen(), played.now)
    done = played.play()
    assert DeleteSandbox(agent, "uid-1") in plan(seen(), played.now)
    following = done.status.model_copy(update={"attempt": 2, "conditions": [], "rounds": []})
    observed = replace(seen(), task=done.model_copy(update={"status": following}))
    assert DeleteSandbox(agent, "uid-1") in plan(observed, played.now)
