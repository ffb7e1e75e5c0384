"""What Prometheus sees of the operator. No label names a task: their number is not bounded."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from axiom.api.agenttask import AgentTask, AgentTaskStatus, RoundStatus, TaskState
from axiom.api.conditions import ConditionType, Reason
from axiom.api.usage import UsageStatus
from axiom.cluster.resources import Object, name_of
from axiom.monitoring.clients import ApiCalls, Watches, watch_certificates
from axiom.monitoring.instruments import AGENT_CLASS, Instruments, Label, Process, closed
from axiom.planning.observed import Observed, SandboxView
from axiom.planning.outcomes import LIMIT_REASONS
from axiom.planning.statuses import condition, has_reason, is_true, parse_time, round_of
from axiom_sandbox.protocol.agents import DriverName, Vitals
from axiom_sandbox.protocol.channel import FailureReason, Phase
from axiom_sandbox.protocol.criteria import CriterionType
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.verdicts import ClaimAbout, Saying, Verdict, combine

NONE = "None"
"""The value of a label where there is nothing to name."""
_Samples = Iterable[tuple[Sequence[str], float]]

_PHASE_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_TASK_BUCKETS = (2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200)
_RECONCILE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROUND_BUCKETS = (1, 2, 3, 4, 5, 7, 10, 15, 20)

_VERDICT = closed("verdict", (*Verdict, NONE))
_CLAIM = closed("claim", Saying)
_DRIVER = closed("driver", (*DriverName, NONE))
_ABOUT = closed("about", ClaimAbout)
_ROLE = closed("role", Role)
_TOKENS = closed("kind", ("input", "cached_input", "cache_write", "output"))
_UNSTARTED = (TaskState.PENDING, TaskState.STARTING)
_OVER = {
    TaskState.COMPLETE: (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE),
    TaskState.NEEDS_REVIEW: (Verdict.FAIL, Verdict.INCONCLUSIVE),
    TaskState.FAILED: (NONE,),
}
_OUTCOMES = (
    (Verdict.PASS, Reason.PASSED),
    (Verdict.FAIL, Reason.FAILED),
    (Verdict.FAIL, Reason.NEEDS_REVIEW),
    (Verdict.INCONCLUSIVE, Reason.NEEDS_REVIEW),
    *((Verdict.FAIL, reason) for reason in LIMIT_REASONS.values()),
    (NONE, Reason.ATTEMPTS_EXHAUSTED),
    (NONE, Reason.ISOLATION_FAILED),
    (NONE, Reason.START_FAILED),
    (NONE, Reason.WORKSPACE_FAILED),
    (NONE, Reason.LEDGER_FAILED),
    (NONE, Reason.INTERNAL_ERROR),
)
"""How tasks end. Of a class they are counted from 0 on: `increase` does not see a series' first value."""
_AGENT_WORKS = (Reason.AGENT_RUNNING, Reason.WAITING_FOR_APPROVAL, Reason.WAITING_FOR_VENDOR)
_NOT_NOTICED = "NotNoticed"
"""What a task waits for where the operator not written anything about it yet."""
_USUAL_ERRORS = ("ConflictError", "UnavailableError", "RefusedError", "NotFoundError", "ChannelError")


class Stage(StrEnum):
    """Where a task's time goes."""

    QUEUE = "queue"
    """Until it is accepted."""
    POD_START = "pod_start"
    """Until the sandbox's trusted side has what it needs from the node; without the probe."""
    PROBE = "probe"
    """The attempts to get out, made from inside; as the sandbox measured."""
    WORKSPACE = "workspace"
    """Until the workspace is in place and the agent can start."""
    AGENT = "agent"
    """The agent works."""
    VERIFICATION = "verification"
    """Until a verdict stands."""
    SEALING = "sealing"
    """The verdict stands; evidence is being stored."""


def stage_of(observed: Observed, status: AgentTaskStatus) -> Stage | None:
    """The stage of a task with this status; None when it is over or suspended, and for PROBE, which no status shows."""
    if is_true(status, ConditionType.COMPLETE) or has_reason(status, ConditionType.RUNNING, Reason.SUSPENDED):
        return None
    if status.attempt == 0:
        return Stage.QUEUE
    if has_reason(status, ConditionType.RUNNING, Reason.VERIFYING):
        return Stage.SEALING if _is_judged(observed, status) else Stage.VERIFICATION
    if any(has_reason(status, ConditionType.RUNNING, reason) for reason in _AGENT_WORKS):
        return Stage.AGENT
    agent = observed.sandbox(Role.AGENT, status.attempt)
    has_begun = agent is not None and agent.phase not in (None, Phase.STARTING)
    return Stage.WORKSPACE if has_begun else Stage.POD_START


def _is_judged(observed: Observed, status: AgentTaskStatus) -> bool:
    record = round_of(status.rounds, status.round)
    if record is None:
        return False
    verifier = observed.sandbox(Role.VERIFIER, record.attempt, record.number, record.trials + 1)
    return bool(verifier and verifier.state and verifier.state.verification)


class Census(Protocol):
    """What is there now, for the gauges that are counted when somebody asks."""

    @property
    def tasks(self) -> Iterable[Object]:
        """All AgentTasks."""

    @property
    def classes(self) -> Iterable[Object]:
        """All AgentClasses."""

    @property
    def sandboxes(self) -> Iterable[SandboxView]:
        """All sandboxes of all tasks."""

    @property
    def reconciler(self) -> Queue:
        """What is to be done."""

    @property
    def vendors(self) -> Breakers:
        """Which vendors answer."""


class Breakers(Protocol):
    """The breakers of the vendors' APIs."""

    def states(self) -> _Samples:
        """For each host 1 where its breaker holds all back, else 0."""

    def next_tries(self) -> _Samples:
        """For each host whose breaker is not closed: when the next task tries, in seconds since the epoch."""

    def shares(self) -> _Samples:
        """For each host: which share of the tasks that asked it lately fails."""


class Queue(Protocol):
    """Tasks for which something is to be done."""

    def waiting(self) -> Iterable[float]:
        """For each of them that nobody is free for: since how many seconds."""


@dataclass
class _Followed:
    """What is remembered of a task."""

    stage: Stage | None
    began: datetime | None
    """None after a restart of the operator: then nobody knows."""
    probed: int = 0
    """The attempt whose probe was counted."""
    failed: set[Identity] = field(default_factory=set)
    gaps: dict[Identity, int] = field(default_factory=dict)


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
        channel_tls: Path | None = None,
    ) -> None:
        """`channel_tls`: the folder of the channel's certificates; None where there are none to watch."""
        self._instruments = instruments = Instruments(Process.OPERATOR)
        self.registry, self.definitions = instruments.registry, instruments.definitions
        self._now = now
        self._census: Census | None = None
        self.api, self.watches = ApiCalls(instruments), Watches(instruments)
        watch_certificates(instruments, channel_tls)
        self._make_outcomes(instruments)
        self._make_census(instruments)
        self._make_work(instruments)
        self._followed: dict[str, _Followed] = {}

    def _make_outcomes(self, instruments: Instruments) -> None:
        self.completed = instruments.counter(
            "axiom_tasks_completed",
            "Tasks that are over, by what was found; verdict None where nothing could be verified.",
            AGENT_CLASS,
            _VERDICT,
            closed("reason", Reason, "a [reason](api.md#reasons) of `Complete`"),
        )
        self.claims = instruments.counter(
            "axiom_claims",
            "What agents said at the end, against what was found.",
            AGENT_CLASS,
            _CLAIM,
            _VERDICT,
        )
        self.disagreements = instruments.counter(
            "axiom_claim_disagreements",
            "What agents claimed and the evidence says otherwise of, by what it was about; statements of every round count.",
            AGENT_CLASS,
            _DRIVER,
            _ABOUT,
        )
        self.judges = instruments.counter(
            "axiom_judged_rounds",
            "Rounds that all verifiers passed, by what a judge said of them; verdict Fail: the judge disagrees with the verifiers.",
            AGENT_CLASS,
            closed("verdict", Verdict),
        )
        self.rounds = instruments.histogram(
            "axiom_task_rounds",
            "Rounds of a task that is over.",
            AGENT_CLASS,
            buckets=_ROUND_BUCKETS,
        )
        self.task_seconds = instruments.histogram(
            "axiom_task_seconds",
            "From a task's creation to its outcome.",
            AGENT_CLASS,
            buckets=_TASK_BUCKETS,
        )
        self.phase_seconds = instruments.histogram(
            "axiom_task_phase_seconds",
            "Where the time of tasks goes; a phase that comes again, such as a further round, counts again.",
            AGENT_CLASS,
            closed("phase", Stage),
            buckets=_PHASE_BUCKETS,
        )
        self.tokens = instruments.counter(
            "axiom_tokens",
            "Tokens of tasks that are over; no token is in two kinds.",
            AGENT_CLASS,
            _TOKENS,
        )
        self.cost = instruments.counter(
            "axiom_cost_usd",
            "What the models of tasks that are over cost, where the class has prices: that of a verified success is"
            " this, of all verdicts, divided by axiom_tasks_completed_total with verdict Pass.",
            AGENT_CLASS,
            _VERDICT,
        )
        self.lost_attempts = instruments.counter(
            "axiom_attempts_lost", "Attempts that ended by no fault of the agent.", AGENT_CLASS
        )
        self.failed_sandboxes = instruments.counter(
            "axiom_sandboxes_failed",
            "Sandboxes that could not do their work, by what they say; IsolationFailed: the probe got out of one.",
            _ROLE,
            closed("reason", FailureReason),
        )
        self.gaps = instruments.counter(
            "axiom_ledger_gaps",
            "Gaps that sandboxes declared in their ledgers: something happened and was not recorded in full.",
            _ROLE,
        )

    def _make_census(self, instruments: Instruments) -> None:
        instruments.computed(
            "axiom_tasks",
            "Tasks there are, by state, and by verdict once they are over.",
            AGENT_CLASS,
            closed("state", TaskState),
            _VERDICT,
            samples=self._tasks,
        )
        listed_in = f"a [reason](api.md#reasons) of `Accepted` or `SandboxReady`, or `{_NOT_NOTICED}`"
        finding = closed("reason", (*Reason, _NOT_NOTICED), listed_in)
        instruments.computed(
            "axiom_tasks_waiting",
            "Tasks whose agent has not started, by what they wait for.",
            finding,
            samples=lambda: self._waits(len),
        )
        instruments.computed(
            "axiom_tasks_waiting_longest_seconds",
            "How long the longest of them waits for that.",
            finding,
            samples=lambda: self._waits(max),
        )
        instruments.computed(
            "axiom_approvals_waiting",
            "Tasks whose agent waits for a person who allows or denies a tool.",
            AGENT_CLASS,
            samples=lambda: self._asking(len),
        )
        instruments.computed(
            "axiom_approvals_waiting_longest_seconds",
            "How long the longest of them waits.",
            AGENT_CLASS,
            samples=lambda: self._asking(max),
        )
        for name, text, of in (
            (
                "axiom_agent_context_percent_highest",
                "How full the context of the agent is whose is the fullest, of those that work and say so.",
                _context_percent,
            ),
            (
                "axiom_agent_output_per_second_lowest",
                "Tokens by the second that the slowest model wrote in its last call, of agents that work and say so.",
                _pace,
            ),
            (
                "axiom_agent_talk_in_row_highest",
                "How often the model of the agent that talks most spoke and did nothing, since it last called a tool.",
                _talk,
            ),
        ):
            instruments.computed(
                name,
                text,
                AGENT_CLASS,
                samples=functools.partial(self._vitals, of, min if of is _pace else max),
            )
        vendors: tuple[tuple[str, str, Callable[[Breakers], _Samples]], ...] = (
            (
                "axiom_vendor_breaker_open",
                "1: the API of this host does not answer; no sandbox of classes that use it is started, no agent that died is"
                " started again, and deadlines stand. 0: it answers, or a single task alone asks it.",
                lambda vendors: vendors.states(),
            ),
            (
                "axiom_vendor_next_try_timestamp_seconds",
                "When a task tries next whether this host answers, in seconds since the epoch; in the past while one does."
                " Hosts that answer are left out.",
                lambda vendors: vendors.next_tries(),
            ),
            (
                "axiom_vendor_failing_ratio",
                "Share of the tasks whose last call of a model, within five minutes, failed by the fault of this host.",
                lambda vendors: vendors.shares(),
            ),
        )
        for name, text, told in vendors:
            instruments.computed(
                name,
                text,
                Label("vendor", bounded_by="the upstreams of the AgentClasses' metered routes"),
                samples=functools.partial(self._of_vendors, told),
            )
        instruments.computed(
            "axiom_sandboxes",
            "Sandboxes there are; phase Pending until the trusted side was heard of.",
            _ROLE,
            closed("phase", ("Pending", *Phase)),
            samples=self._sandboxes,
        )
        instruments.computed(
            "axiom_reconcile_queue",
            "Tasks for which something is to be done and no worker is free.",
            samples=lambda: [((), len(self._queue()))],
        )
        instruments.computed(
            "axiom_reconcile_queue_oldest_seconds",
            "How long the first of them waits.",
            samples=lambda: [((), max(self._queue(), default=0.0))],
        )

    def _make_work(self, instruments: Instruments) -> None:
        self.reconcile_seconds = instruments.histogram(
            "axiom_reconcile_seconds",
            "One pass of observe, plan and apply for one task.",
            buckets=_RECONCILE_BUCKETS,
        )
        self.errors = instruments.counter(
            "axiom_reconcile_errors",
            "Passes that failed, by the kind of error.",
            Label("kind", bounded_by="the kinds of errors in the code"),
        )
        for kind in _USUAL_ERRORS:
            self.errors.labels(kind)
        self.writes = instruments.counter(
            "axiom_api_writes",
            "Writes to the API server.",
            Label("verb", bounded_by="Kubernetes' verbs"),
            Label("resource", bounded_by="the resources that the operator's role names"),
        )
        self.usage_errors = instruments.counter(
            "axiom_usage_errors", "Times that a process of the egress proxy did not tell what tasks used."
        )
        self.lease_held = instruments.gauge(
            "axiom_lease_held", "1: this operator holds the Lease and acts. 0: it waits for it."
        )
        self.clock_offset = instruments.gauge(
            "axiom_operator_clock_offset_seconds",
            "How far this machine's clock is ahead of the API server's; negative: behind.",
        )

    def watch(self, census: Census) -> None:
        """From now on gauges count what is there."""
        self._census = census

    def count_write(self, verb: str, resource: str) -> None:
        """One write to the API server."""
        self.writes.labels(verb, resource).inc()

    def note_class(self, name: str, driver: str = DriverName.GENERIC) -> None:
        """An AgentClass exists: what its tasks are counted by begins at 0."""
        for verdict, reason in _OUTCOMES:
            self.completed.labels(name, verdict, reason.value)
        for saying, found in itertools.product(_CLAIM.values, _VERDICT.values):
            self.claims.labels(name, saying, found)
        for about in ClaimAbout:
            self.disagreements.labels(name, driver, about.value)
        for stage in Stage:
            self.phase_seconds.labels(name, stage.value)
        for kind in _TOKENS.values:
            self.tokens.labels(name, kind)
        for found in _VERDICT.values:
            self.cost.labels(name, found)
        for metric in (self.lost_attempts, self.rounds, self.task_seconds):
            metric.labels(name)

    def note_observed(self, observed: Observed) -> None:
        """A task was looked at."""
        known = self._advance(observed, observed.task.status)
        for view in observed.sandboxes:
            self._note_sandbox(known, view)

    def note_status(self, observed: Observed, status: AgentTaskStatus) -> None:
        """A status was written in place of the observed one."""
        self._advance(observed, status)
        before, agent_class = observed.task.status, observed.task.spec.agent_class_name
        if (lost := status.lost_attempts - before.lost_attempts) > 0:
            # of a task that was never accepted the class may be any name
            self.lost_attempts.labels(agent_class).inc(lost)
        for about in disagreed(before, status):
            self.disagreements.labels(agent_class, driver_of(observed), about.value).inc()
        for said in judges_said(before, status):
            self.judges.labels(agent_class, said.value).inc()
        if is_true(status, ConditionType.COMPLETE) and not is_true(before, ConditionType.COMPLETE):
            self._note_outcome(observed.task, status)

    def forget(self, task_id: str) -> None:
        """The task is gone."""
        self._followed.pop(task_id, None)

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return self._instruments.render()

    def _advance(self, observed: Observed, status: AgentTaskStatus) -> _Followed:
        task, now, stage = observed.task, self._now(), stage_of(observed, status)
        known = self._followed.get(task.uid)
        if known is None:
            created = task.metadata.get("creationTimestamp") if stage is Stage.QUEUE else None
            began = parse_time(str(created)) if created else None
            return self._followed.setdefault(task.uid, _Followed(stage, began))
        probe = self._note_probe(observed, known)
        if stage is known.stage:
            return known
        if known.stage is not None and known.began is not None:
            seconds = (now - known.began).total_seconds()
            self._observe(task, known.stage, seconds - (probe if known.stage is Stage.POD_START else 0))
        known.stage, known.began = stage, now
        return known

    def _note_probe(self, observed: Observed, known: _Followed) -> float:
        """Seconds of the present attempt's probe where it was not counted yet, else 0."""
        attempt = observed.task.status.attempt
        agent = observed.sandbox(Role.AGENT, attempt)
        isolation = agent.state.isolation if agent and agent.state else None
        if isolation is None or known.probed == attempt or known.stage is not Stage.POD_START:
            return 0
        known.probed = attempt
        seconds = isolation.took_ms / 1000
        self._observe(observed.task, Stage.PROBE, seconds)
        return seconds

    def _observe(self, task: AgentTask, stage: Stage, seconds: float) -> None:
        self.phase_seconds.labels(task.spec.agent_class_name, stage.value).observe(max(seconds, 0))

    def _note_sandbox(self, known: _Followed, view: SandboxView) -> None:
        identity, state = view.identity, view.state
        if state is None:
            return
        if state.failure and identity not in known.failed:
            known.failed.add(identity)
            self.failed_sandboxes.labels(identity.role.value, state.failure.reason.value).inc()
        if (more := state.gaps - known.gaps.get(identity, 0)) > 0:
            self.gaps.labels(identity.role.value).inc(more)
            known.gaps[identity] = state.gaps

    def _note_outcome(self, task: AgentTask, status: AgentTaskStatus) -> None:
        verdict = status.verdict.value if status.verdict else NONE
        complete = condition(status, ConditionType.COMPLETE)
        reason = complete.reason.value if complete else ""
        agent_class = task.spec.agent_class_name
        self.completed.labels(agent_class, verdict, reason).inc()
        self.claims.labels(agent_class, status.claim.says.value if status.claim else NONE, verdict).inc()
        self.rounds.labels(agent_class).observe(len(status.rounds))
        if status.usage is not None:
            self._note_usage(agent_class, verdict, status.usage)
        if created := task.metadata.get("creationTimestamp"):
            self.task_seconds.labels(agent_class).observe(
                (self._now() - parse_time(str(created))).total_seconds()
            )

    def _note_usage(self, agent_class: str, verdict: str, usage: UsageStatus) -> None:
        plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
        self.tokens.labels(agent_class, "input").inc(plain)
        self.tokens.labels(agent_class, "cached_input").inc(usage.cached_input_tokens)
        self.tokens.labels(agent_class, "cache_write").inc(usage.cache_write_tokens)
        self.tokens.labels(agent_class, "output").inc(usage.output_tokens)
        if usage.cost_usd is not None:
            self.cost.labels(agent_class, verdict).inc(float(usage.cost_usd))

    # --- counted when somebody asks -----------------------------------------------------------------------------

    def _tasks(self) -> Iterator[tuple[Sequence[str], float]]:
        if self._census is None:
            return
        classes = {name_of(item) for item in self._census.classes}
        found = {
            (name, state.value, str(verdict)): 0
            for name in (*classes, NONE)
            for state in TaskState
            for verdict in _OVER.get(state, (NONE,))
        }
        for item in self._census.tasks:
            name = item.get("spec", {}).get("agentClassName")
            verdict = (item.get("status") or {}).get("verdict") or NONE
            # a name that no class has is its author's choice: one series for all of them
            key = (name if name in classes else NONE, _state_of(item).value, verdict)
            found[key] = found.get(key, 0) + 1
        yield from found.items()

    def _waits(self, summary: Callable[[list[float]], float]) -> Iterator[tuple[Sequence[str], float]]:
        waits: dict[str, list[float]] = {}
        for item in self._census.tasks if self._census else ():
            if _state_of(item) in _UNSTARTED:
                reason, since = _waits_for(item)
                seconds = max((self._now() - parse_time(since)).total_seconds(), 0) if since else 0
                waits.setdefault(reason, []).append(seconds)
        for reason in (_NOT_NOTICED, Reason.CREATING.value, *waits):
            waits.setdefault(reason, [])
        for reason, seconds_each in waits.items():
            yield (reason,), summary(seconds_each) if seconds_each else 0

    def _asking(self, summary: Callable[[list[float]], float]) -> Iterator[tuple[Sequence[str], float]]:
        if self._census is None:
            return
        asking: dict[str, list[float]] = {name_of(item): [] for item in self._census.classes}
        for item in self._census.tasks:
            questions = (item.get("status") or {}).get("questions") or ()
            name = item.get("spec", {}).get("agentClassName")
            if questions and name in asking:
                since = min(parse_time(one["since"]) for one in questions)
                asking[name].append(max((self._now() - since).total_seconds(), 0))
        for name, seconds in asking.items():
            yield (name,), summary(seconds) if seconds else 0

    def _of_vendors(self, told: Callable[[Breakers], _Samples]) -> _Samples:
        return told(self._census.vendors) if self._census else ()

    def _vitals(
        self, of: Callable[[Vitals], int | None], which: Callable[[list[int]], int]
    ) -> Iterator[tuple[Sequence[str], float]]:
        """Of agents that work now, by class; a class of which nobody says anything is left out."""
        if self._census is None:
            return
        classes = {name_of(item) for item in self._census.classes}
        names = {
            item["metadata"].get("uid"): item.get("spec", {}).get("agentClassName")
            for item in self._census.tasks
        }
        found: dict[str, list[int]] = {}
        for view in self._census.sandboxes:
            state, name = view.state, names.get(view.identity.task_id)
            if (
                state is None
                or state.vitals is None
                or state.phase is not Phase.RUNNING
                or name not in classes
            ):
                continue
            if (value := of(state.vitals)) is not None:
                found.setdefault(str(name), []).append(value)
        for name, values in found.items():
            yield (name,), which(values)

    def _sandboxes(self) -> Iterator[tuple[Sequence[str], float]]:
        found = {(role.value, phase): 0 for role in Role for phase in ("Pending", *Phase)}
        for view in self._census.sandboxes if self._census else ():
            found[view.identity.role.value, view.phase or "Pending"] += 1
        yield from found.items()

    def _queue(self) -> list[float]:
        return list(self._census.reconciler.waiting()) if self._census else []


def _context_percent(vitals: Vitals) -> int | None:
    return vitals.fill.percent if vitals.fill else None


def _pace(vitals: Vitals) -> int | None:
    return vitals.output_per_second


def _talk(vitals: Vitals) -> int:
    return vitals.talks_in_row


def _state_of(item: Object) -> TaskState:
    return TaskState((item.get("status") or {}).get("state") or TaskState.PENDING)


def _waits_for(item: Object) -> tuple[str, str]:
    """What a task that has not started waits for, and since when (RFC 3339; "" where that is not known)."""
    conditions = {one["type"]: one for one in (item.get("status") or {}).get("conditions", ())}
    for kind in (ConditionType.SANDBOX_READY, ConditionType.ACCEPTED):
        found = conditions.get(kind)
        if found and found["status"] != "True":
            return str(found["reason"]), str(found.get("lastTransitionTime") or "")
    return _NOT_NOTICED, str(item["metadata"].get("creationTimestamp") or "")


def driver_of(observed: Observed) -> str:
    """How the task's agent is spoken with; of a class that is gone nobody knows."""
    return observed.agent_class.spec.driver.value if observed.agent_class else NONE


def disagreed(before: AgentTaskStatus, after: AgentTaskStatus) -> list[ClaimAbout]:
    """What agents claimed otherwise than was found: statements of rounds whose verdict is new, and the outcome's. Pure."""
    found = [one.about for record in newly_decided(before, after) for one in record.disagreements]
    if is_true(after, ConditionType.COMPLETE) and not is_true(before, ConditionType.COMPLETE):
        found += [one.about for one in after.claim_disagreements if one.about is ClaimAbout.OUTCOME]
    return found


def newly_decided(before: AgentTaskStatus, after: AgentTaskStatus) -> list[RoundStatus]:
    """Rounds whose verdict is new. Pure."""
    known = {record.number for record in before.rounds if record.verdict is not None}
    return [one for one in after.rounds if one.verdict is not None and one.number not in known]


def judges_said(before: AgentTaskStatus, after: AgentTaskStatus) -> list[Verdict]:
    """What judges said of rounds whose verdict is new, and that everything else passed. Pure."""
    found: list[Verdict] = []
    for record in newly_decided(before, after):
        others = [one for one in record.criteria if one.type is not CriterionType.JUDGE]
        if combine(others) is Verdict.PASS:
            found += [one.verdict for one in record.criteria if one.type is CriterionType.JUDGE]
    return found
