"""What Prometheus sees of the operator. No label names a task: their number is not bounded."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from axiom.api.agenttask import AgentTask, AgentTaskStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.outcomes import outcome_of_rounds
from axiom.planning.statuses import condition, has_reason, is_true, parse_time

_PHASE_BUCKETS = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_RECONCILE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Stage(StrEnum):
    """Where a task's time goes."""

    QUEUE = "queue"
    """Until it is accepted."""
    SANDBOX_START = "sandbox_start"
    """Until an agent can start."""
    AGENT = "agent"
    VERIFICATION = "verification"
    SEALING = "sealing"
    """The verdict stands; evidence is being stored."""


def stage_of(status: AgentTaskStatus, max_rounds: int) -> Stage | None:
    """The stage that a task with this status is in; None when it is over or suspended."""
    if is_true(status, ConditionType.COMPLETE):
        return None
    if status.attempt == 0:
        return Stage.QUEUE
    if outcome_of_rounds(status.rounds, max_rounds):
        return Stage.SEALING
    if has_reason(status, ConditionType.RUNNING, Reason.VERIFYING):
        return Stage.VERIFICATION
    if has_reason(status, ConditionType.RUNNING, Reason.AGENT_RUNNING):
        return Stage.AGENT
    return None if has_reason(status, ConditionType.RUNNING, Reason.SUSPENDED) else (Stage.SANDBOX_START)


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(self, states: Callable[[], Iterable[str]] = tuple) -> None:
        """`states` gives the state of every task, when somebody asks."""
        self.registry = CollectorRegistry()
        self.completed = Counter(
            "axiom_tasks_completed",
            "Tasks that are over, by what was found; verdict None where nothing could be verified.",
            ("verdict", "reason", "agent_class"),
            registry=self.registry,
        )
        self.claims = Counter(
            "axiom_claims",
            "What agents said at the end, against what was found.",
            ("claim", "verdict"),
            registry=self.registry,
        )
        self.phase_seconds = Histogram(
            "axiom_task_phase_seconds",
            "Where the time of tasks goes.",
            ("phase",),
            buckets=_PHASE_BUCKETS,
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "axiom_reconcile_seconds",
            "One pass of observe, plan and apply for one task.",
            buckets=_RECONCILE_BUCKETS,
            registry=self.registry,
        )
        self.errors = Counter(
            "axiom_reconcile_errors",
            "Passes that failed, by the kind of error.",
            ("kind",),
            registry=self.registry,
        )
        self.writes = Counter(
            "axiom_api_writes",
            "Writes to the API server.",
            ("verb", "resource"),
            registry=self.registry,
        )
        self.registry.register(_States(states))
        self._since: dict[str, tuple[Stage, datetime]] = {}

    def count_write(self, verb: str, resource: str) -> None:
        """One write to the API server."""
        self.writes.labels(verb, resource).inc()

    def note_status(self, task: AgentTask, status: AgentTaskStatus, now: datetime) -> None:
        """A status was written in place of the task's former one."""
        rounds = task.spec.limits.max_rounds
        before, after = stage_of(task.status, rounds), stage_of(status, rounds)
        if before is not None and before is not after and (began := self._began(task, before)):
            self.phase_seconds.labels(before.value).observe(max((now - began).total_seconds(), 0))
        if before is not after:
            self._since.pop(task.uid, None)
            if after is not None:
                self._since[task.uid] = after, now
        if is_true(status, ConditionType.COMPLETE) and not is_true(task.status, ConditionType.COMPLETE):
            self._note_outcome(task, status)

    def forget(self, task_id: str) -> None:
        """The task is gone."""
        self._since.pop(task_id, None)

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _began(self, task: AgentTask, stage: Stage) -> datetime | None:
        """From memory; after a restart of the operator, only what the task itself says."""
        remembered = self._since.get(task.uid)
        if remembered and remembered[0] is stage:
            return remembered[1]
        created = task.metadata.get("creationTimestamp")
        return parse_time(str(created)) if stage is Stage.QUEUE and created else None

    def _note_outcome(self, task: AgentTask, status: AgentTaskStatus) -> None:
        verdict = status.verdict.value if status.verdict else "None"
        complete = condition(status, ConditionType.COMPLETE)
        reason = complete.reason.value if complete else ""
        self.completed.labels(verdict, reason, task.spec.agent_class_name).inc()
        self.claims.labels(status.claim.says.value if status.claim else "None", verdict).inc()


class _States(Collector):
    """axiom_tasks, counted when it is asked for."""

    def __init__(self, states: Callable[[], Iterable[str]]) -> None:
        self._states = states

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("axiom_tasks", "Tasks there are, by state.", labels=["state"])
        for state, number in sorted(Count(self._states()).items()):
            family.add_metric([state], number)
        yield family
