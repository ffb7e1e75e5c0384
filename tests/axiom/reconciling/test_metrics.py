"""What the operator's metrics say of tasks, from what is observed of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axiom.api.agenttask import AgentTask, AgentTaskStatus, RoundStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.cluster.resources import Object
from axiom.planning.observed import Observed, Presence, SandboxView
from axiom.planning.statuses import rfc3339, with_condition
from axiom.reconciling.metrics import Metrics, Stage, judges_said
from axiom_sandbox.protocol.agents import Fill, Vitals
from axiom_sandbox.protocol.channel import (
    Failure,
    FailureReason,
    Isolation,
    Phase,
    SandboxState,
    Verification,
)
from axiom_sandbox.protocol.criteria import CriterionType, Enforcement
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.verdicts import (
    Claim,
    ClaimAbout,
    ClaimDisagreement,
    CriterionResult,
    Saying,
    Verdict,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that goes on when told."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Census:
    """What there is."""

    tasks: list[Object] = field(default_factory=list)
    classes: list[Object] = field(default_factory=list)
    sandboxes: list[SandboxView] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    open: dict[str, float] = field(default_factory=dict)

    @property
    def reconciler(self) -> Census:
        return self

    @property
    def vendors(self) -> Census:
        return self

    def states(self) -> list[tuple[tuple[str], float]]:
        return [((host,), value) for host, value in self.open.items()]

    def next_tries(self) -> list[tuple[tuple[str], float]]:
        return [((host,), 1.8e9) for host, value in self.open.items() if value]

    def shares(self) -> list[tuple[tuple[str], float]]:
        return [((host,), 0.75 * value) for host, value in self.open.items()]

    def waiting(self) -> list[float]:
        return self.waits


class World:
    """One task, metrics, and a clock."""

    def __init__(self, namespace: str = "ns", name: str = "t") -> None:
        self.clock = Clock()
        self.metrics = Metrics(self.clock)
        self.namespace, self.name = namespace, name
        self.status = AgentTaskStatus()
        self.views: tuple[SandboxView, ...] = ()

    def observed(self) -> Observed:
        metadata = {
            "name": self.name,
            "namespace": self.namespace,
            "uid": "u",
            "creationTimestamp": rfc3339(START),
        }
        spec: dict[str, Any] = {
            "agentClassName": "codex",
            "prompt": "do",
            "criteria": [{"name": "f", "files": {"expect": [{"path": "x"}]}}],
        }
        task = AgentTask.model_validate({"metadata": metadata, "spec": spec})
        return Observed(task.model_copy(update={"status": self.status}), sandboxes=self.views)

    def look(self, seconds: float) -> None:
        """Some time later, the task is looked at."""
        self.clock.now += timedelta(seconds=seconds)
        self.metrics.note_observed(self.observed())

    def write(self, seconds: float, status: AgentTaskStatus) -> None:
        """Some time later, a status is written."""
        self.look(seconds)
        self.metrics.note_status(self.observed(), status)
        self.status = status

    def view(self, role: Role = Role.AGENT, **state: Any) -> SandboxView:
        identity = Identity(
            namespace=self.namespace,
            task=self.name,
            task_id="u",
            attempt=1,
            role=role,
            round=1 if role is Role.VERIFIER else 0,
            trial=1 if role is Role.VERIFIER else 0,
        )
        return SandboxView(
            identity, Presence.RUNNING, state=SandboxState(revision=1, identity=identity, **state)
        )

    def condition(
        self, kind: ConditionType, value: bool | None, reason: Reason, **fields: Any
    ) -> AgentTaskStatus:
        status = self.status.model_copy(update=fields)
        return with_condition(status, self.clock.now, kind, value, reason)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def seconds(self, stage: Stage) -> float | None:
        return self.value("axiom_task_phase_seconds_sum", agent_class="codex", phase=stage.value)

    def live(self) -> None:
        """A whole life: 2 s queue, 3 s pod, of which 1 s probe, 4 s workspace, 5 s agent, 6 s verification, 7 s sealing."""
        self.look(0)
        self.write(2, self.condition(ConditionType.SANDBOX_READY, False, Reason.CREATING, attempt=1, round=1))
        isolation = Isolation(passed=True, assertions=100, took_ms=1000)
        self.views = (self.view(phase=Phase.WAITING_FOR_WORKSPACE, isolation=isolation),)
        self.look(3)
        running = self.condition(ConditionType.SANDBOX_READY, True, Reason.READY)
        self.status, before = running, self.status
        running = self.condition(ConditionType.RUNNING, True, Reason.AGENT_RUNNING)
        self.status = before
        self.write(4, running)
        rounds = [RoundStatus(number=1, attempt=1)]
        self.write(5, self.condition(ConditionType.RUNNING, True, Reason.VERIFYING, rounds=rounds))
        verification = Verification(verdict=Verdict.PASS, results=())
        self.views = (*self.views, self.view(Role.VERIFIER, phase=Phase.VERIFIED, verification=verification))
        self.look(6)
        claim = Claim(says=Saying.SUCCESS, exit_code=0)
        self.write(
            7,
            self.condition(
                ConditionType.COMPLETE, True, Reason.PASSED, verdict=Verdict.PASS, claim=claim, rounds=rounds
            ),
        )


def test_each_phase_of_a_life_is_measured() -> None:
    world = World()
    world.live()
    wanted = {
        "queue": 2,
        "pod_start": 2,
        "probe": 1,
        "workspace": 4,
        "agent": 5,
        "verification": 6,
        "sealing": 7,
    }
    assert {stage.value: world.seconds(stage) for stage in Stage} == wanted
    assert world.value("axiom_task_seconds_sum", agent_class="codex") == 27


def test_an_outcome_is_counted_once_with_claim_and_rounds() -> None:
    world = World()
    world.live()
    world.look(1)
    world.metrics.note_status(world.observed(), world.status)
    outcome = {"agent_class": "codex", "verdict": "Pass"}
    assert world.value("axiom_tasks_completed_total", reason="Passed", **outcome) == 1
    assert world.value("axiom_claims_total", claim="Success", **outcome) == 1
    assert world.value("axiom_task_rounds_bucket", agent_class="codex", le="1.0") == 1


def test_what_agents_claimed_wrongly_is_counted_once_by_class_driver_and_subject() -> None:
    world = World()
    lies = [ClaimDisagreement(about=about, claimed="x", found="y") for about in ClaimAbout]
    first = RoundStatus(number=1, attempt=1, verdict=Verdict.FAIL, disagreements=lies[1:3])
    world.write(1, world.status.model_copy(update={"rounds": [first]}))
    second = RoundStatus(number=2, attempt=1, verdict=Verdict.FAIL, disagreements=lies[1:2])
    ended = world.condition(
        ConditionType.COMPLETE, True, Reason.FAILED, rounds=[first, second], claim_disagreements=lies[:2]
    )
    world.write(1, ended)
    world.write(1, ended)
    counted = {
        about: world.value(
            "axiom_claim_disagreements_total", agent_class="codex", driver="None", about=about.value
        )
        for about in ClaimAbout
    }
    assert counted == {
        ClaimAbout.OUTCOME: 1,
        ClaimAbout.FILE_WRITTEN: 2,
        ClaimAbout.FILE_DELETED: 1,
        ClaimAbout.COMMAND_RAN: None,
        ClaimAbout.TESTS_PASS: None,
    }


def test_after_a_restart_only_what_is_known_is_measured() -> None:
    world = World()
    world.status = world.condition(ConditionType.RUNNING, True, Reason.AGENT_RUNNING, attempt=1, round=1)
    world.look(100)
    world.write(1, world.condition(ConditionType.RUNNING, True, Reason.VERIFYING))
    assert world.seconds(Stage.AGENT) is None


def test_lost_attempts_failures_and_gaps_are_counted_once_each() -> None:
    world = World()
    failure = Failure(reason=FailureReason.ISOLATION_FAILED, message="got out")
    world.views = (world.view(phase=Phase.FAILED, failure=failure, gaps=2),)
    world.look(0)
    world.look(1)
    world.write(1, world.status.model_copy(update={"attempt": 2, "lost_attempts": 1}))
    world.look(1)
    assert world.value("axiom_sandboxes_failed_total", role="agent", reason="IsolationFailed") == 1
    assert world.value("axiom_ledger_gaps_total", role="agent") == 2
    assert world.value("axiom_attempts_lost_total", agent_class="codex") == 1


def item(
    state: str = "", agent_class: str = "codex", created: str = "2026-01-01T00:00:00Z", **status: Any
) -> Object:
    return {
        "metadata": {"name": "t", "creationTimestamp": created},
        "spec": {"agentClassName": agent_class},
        "status": {**({"state": state} if state else {}), **status},
    }


def test_tasks_are_counted_by_class_state_and_verdict() -> None:
    world = World()
    names = [{"metadata": {"name": "codex"}}]
    tasks = [
        item(),
        item("Complete", verdict="Pass"),
        item("Complete", verdict="Pass"),
        item(agent_class="x"),
    ]
    world.metrics.watch(Census(tasks, names))

    def number(agent_class: str, state: str, verdict: str) -> float | None:
        return world.value("axiom_tasks", agent_class=agent_class, state=state, verdict=verdict)

    assert number("codex", "Complete", "Pass") == 2
    assert number("codex", "Pending", "None") == 1
    assert number("codex", "Running", "None") == 0
    assert number("None", "Pending", "None") == 1, "a class that does not exist gets no series of its own"


def test_waiting_tasks_say_for_what_and_how_long() -> None:
    world = World()
    world.clock.now += timedelta(seconds=90)
    unschedulable = {
        "type": "SandboxReady",
        "status": "False",
        "reason": "Unschedulable",
        "lastTransitionTime": "2026-01-01T00:00:30.000Z",
    }
    tasks = [item(), item("Starting", conditions=[unschedulable]), item("Running")]
    world.metrics.watch(Census(tasks, []))
    longest = "axiom_tasks_waiting_longest_seconds"
    assert world.value("axiom_tasks_waiting", reason="NotNoticed") == 1
    assert world.value(longest, reason="NotNoticed") == 90
    assert world.value(longest, reason="Unschedulable") == 60
    assert world.value(longest, reason="Creating") == 0


def test_the_queue_and_sandboxes_are_counted_when_somebody_asks() -> None:
    world = World()
    census = Census(waits=[0.5, 2.5], sandboxes=[world.view(phase=Phase.RUNNING)])
    world.metrics.watch(census)
    assert world.value("axiom_reconcile_queue") == 2
    assert world.value("axiom_reconcile_queue_oldest_seconds") == 2.5
    assert world.value("axiom_sandboxes", role="agent", phase="Running") == 1
    assert world.value("axiom_sandboxes", role="verifier", phase="Pending") == 0


def test_of_agents_that_work_the_fullest_slowest_and_most_talkative_are_shown_by_class() -> None:
    world = World()
    said = [
        Vitals(fill=Fill(used=40, window=100), output_per_second=50, talks_in_row=3),
        Vitals(fill=Fill(used=80, window=100), output_per_second=20),
        Vitals(fill=Fill(used=80)),
        Vitals(fill=Fill(used=99, window=100), output_per_second=1, talks_in_row=9),
    ]
    phases = [Phase.RUNNING, Phase.RUNNING, Phase.RUNNING, Phase.ROUND_ENDED]
    views = [world.view(phase=phase, vitals=one) for phase, one in zip(phases, said, strict=True)]
    tasks = [{**item("Running"), "metadata": {"name": "t", "uid": views[0].identity.task_id}}]
    world.metrics.watch(Census(tasks, [{"metadata": {"name": "codex"}}], sandboxes=views))
    assert world.value("axiom_agent_context_percent_highest", agent_class="codex") == 80
    assert world.value("axiom_agent_output_per_second_lowest", agent_class="codex") == 20
    assert world.value("axiom_agent_talk_in_row_highest", agent_class="codex") == 3


def test_a_vendor_whose_breaker_is_open_is_shown_by_its_host() -> None:
    world = World()
    world.metrics.watch(Census(open={"api.example": 1.0, "other.example": 0.0}))
    assert world.value("axiom_vendor_breaker_open", vendor="api.example") == 1
    assert world.value("axiom_vendor_breaker_open", vendor="other.example") == 0
    assert world.value("axiom_vendor_next_try_timestamp_seconds", vendor="api.example") == 1.8e9
    assert world.value("axiom_vendor_failing_ratio", vendor="api.example") == 0.75


def test_before_the_lease_is_held_nothing_is_there() -> None:
    shown = Metrics().render().decode()
    assert "axiom_lease_held 0.0" in shown
    assert "axiom_reconcile_queue 0.0" in shown


def test_a_class_is_counted_from_its_first_task_on() -> None:
    world = World()
    world.metrics.note_class("codex")
    labels = {"agent_class": "codex", "verdict": "Fail", "reason": "Failed"}
    assert world.value("axiom_tasks_completed_total", **labels) == 0


def test_a_task_whose_class_does_not_exist_adds_no_series() -> None:
    world = World()
    world.look(0)
    world.write(1, world.condition(ConditionType.ACCEPTED, False, Reason.CLASS_NOT_FOUND))
    world.look(60)
    assert 'agent_class="codex"' not in world.metrics.render().decode()


NAMES = st.from_regex(r"zz[a-z]{6,20}", fullmatch=True)


@settings(deadline=None, max_examples=25)
@given(namespace=NAMES, name=NAMES)
def test_no_name_of_a_task_or_namespace_is_ever_shown(namespace: str, name: str) -> None:
    world = World(namespace, name)
    world.live()
    world.metrics.watch(Census([item(agent_class=name)], [], list(world.views)))
    shown = world.metrics.render().decode()
    assert namespace not in shown
    assert name not in shown


@pytest.mark.parametrize("stage", list(Stage))
def test_the_sum_of_phases_is_the_whole(stage: Stage) -> None:
    world = World()
    world.live()
    assert world.value("axiom_task_phase_seconds_count", agent_class="codex", phase=stage.value) == 1


def test_a_judge_that_disagrees_with_the_verifiers_is_counted_once() -> None:
    def result(kind: CriterionType, verdict: Verdict) -> CriterionResult:
        return CriterionResult(
            name=kind.value.lower(), type=kind, enforcement=Enforcement.HARD, verdict=verdict, message=""
        )

    def status(*rounds: tuple[Verdict, Verdict]) -> AgentTaskStatus:
        return AgentTaskStatus(
            rounds=[
                RoundStatus(
                    number=number,
                    attempt=1,
                    verdict=Verdict.FAIL,
                    criteria=[result(CriterionType.DIFF, diff), result(CriterionType.JUDGE, judge)],
                )
                for number, (diff, judge) in enumerate(rounds, 1)
            ]
        )

    vetoed, not_asked = (Verdict.PASS, Verdict.FAIL), (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert judges_said(status(), status(vetoed)) == [Verdict.FAIL]
    assert judges_said(status(), status(not_asked)) == []
    assert judges_said(status(vetoed), status(vetoed, (Verdict.PASS, Verdict.PASS))) == [Verdict.PASS]
