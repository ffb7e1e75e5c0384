"""`plan`: what is to be done next for one task. Level-triggered, so it may be asked at any moment and any number of times.

The order of the checks is the order of importance: deletion and completion first, then whether the task can be worked on
at all, then the sandbox of the present attempt, then the round. A status write is always alone in its plan: what depends
on it is planned once it can be observed. That fences: an attempt's number stands in the status before its sandbox
exists, and the status says `Running` before the agent starts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from axiom.api.agenttask import AgentTaskStatus, RoundStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Action, CreateSandbox, DeleteSandbox, DeleteTask, Send, Wait, WriteStatus
from axiom.planning.briefing import deadline_of, prompt_of, start_command
from axiom.planning.observed import Observed, Presence, SandboxView, Trouble
from axiom.planning.outcomes import (
    MAX_LOST_ATTEMPTS,
    MAX_TRIALS,
    Outcome,
    disagrees,
    failing_messages,
    outcome_of_failure,
    outcome_of_rounds,
)
from axiom.planning.statuses import (
    condition,
    has_reason,
    is_true,
    ledger_reference,
    parse_time,
    rfc3339,
    round_of,
    with_condition,
    with_round,
)
from axiom.storage.keys import blob_key
from axiom_sandbox.protocol.channel import (
    Command,
    CommandEnvelope,
    GiveFeedback,
    Phase,
    RoundOutcome,
    SetDeadline,
    Stop,
    Verification,
    Verify,
)
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict
from axiom_sandbox.verifying.feedback import feedback

TOKEN_PLACEHOLDER = "$(AXIOM_ATTEMPT_TOKEN)"  # noqa: S105 - what `reconciling` puts the attempt's token in place of
SEALING_TIMEOUT = timedelta(minutes=2)
RETRY_SECONDS = 30.0
_NEW_FOLLOWS = "; a new one follows"
_FINAL = (Phase.STOPPED, Phase.FAILED)


def plan(observed: Observed, now: datetime) -> tuple[Action, ...]:
    """What to do next. An empty plan means: nothing until something changes."""
    status = observed.task.status
    if is_true(status, ConditionType.COMPLETE):
        return _after_completion(observed, now)
    if observed.refusal and status.attempt == 0:
        return _refuse(observed, observed.refusal, now)
    if status.attempt == 0:
        return (WriteStatus(_accepted(observed, now)),)
    present = _Present(observed, now)
    actions = present.plan()
    writes = any(isinstance(action, WriteStatus) for action in actions)
    return actions if writes else (*present.stale(actions), *actions)


def _after_completion(observed: Observed, now: datetime) -> tuple[Action, ...]:
    deletions = tuple(_delete(view) for view in observed.sandboxes if view.presence is not Presence.GONE)
    ttl, ended = observed.task.spec.retention.ttl_after_complete, observed.task.status.completion_time
    if not ttl or not ended:
        return deletions
    left = (parse_time(ended) + parse_duration(ttl) - now).total_seconds()
    return (*deletions, Wait(left, "retention.ttlAfterComplete") if left > 0 else DeleteTask())


def _refuse(observed: Observed, trouble: Trouble, now: datetime) -> tuple[Action, ...]:
    status = observed.task.status.model_copy(
        update={"observed_generation": observed.generation, "message": trouble.message}
    )
    status = with_condition(status, now, ConditionType.ACCEPTED, False, trouble.reason, trouble.message)
    return _write_if_new(observed, status) or (Wait(RETRY_SECONDS, trouble.message),)


def _accepted(observed: Observed, now: datetime) -> AgentTaskStatus:
    status = observed.task.status.model_copy(
        update={
            "observed_generation": observed.generation,
            "attempt": 1,
            "round": 1,
            "message": "",
            "accepted_time": rfc3339(now),
        }
    )
    status = with_condition(
        status, now, ConditionType.ACCEPTED, True, Reason.ACCEPTED, "the task will be worked on"
    )
    return with_condition(
        status, now, ConditionType.SANDBOX_READY, False, Reason.CREATING, "creating the sandbox"
    )


def _write_if_new(observed: Observed, status: AgentTaskStatus) -> tuple[Action, ...]:
    return () if status == observed.task.status else (WriteStatus(status),)


def _delete(view: SandboxView) -> DeleteSandbox:
    return DeleteSandbox(view.identity, view.uid)


def _send(view: SandboxView, key: str, command: Command) -> Send:
    return Send(view.identity, CommandEnvelope(key=f"{view.identity.agent_id}/{key}", command=command))


class _Present:
    """A task that is being worked on, at one moment."""

    def __init__(self, observed: Observed, now: datetime) -> None:
        self.observed, self.now = observed, now
        self.task, self.spec, self.status = observed.task, observed.task.spec, observed.task.status
        self.accepted = parse_time(self.status.accepted_time) if self.status.accepted_time else now
        self.deadline = deadline_of(self.task, self.accepted)
        self.agent = observed.sandbox(Role.AGENT, self.status.attempt)

    def plan(self) -> tuple[Action, ...]:
        """The checks, most important first."""
        judged = self._judged()
        if judged is not None:
            final = outcome_of_rounds(judged.rounds, self.spec.limits.max_rounds)
            if final is None:
                return (WriteStatus(judged),)
            self.status = (
                judged  # written with the outcome: until then the verifier stays, and says the same again
            )
            return self._conclude(final)
        if outcome := self._outcome():
            return self._conclude(outcome)
        if self.spec.suspend:
            return self._suspend()
        if has_reason(self.status, ConditionType.RUNNING, Reason.SUSPENDED):
            return self._next_attempt("resumed", lost=False)
        if self.agent is None:
            return self._without_sandbox()
        if self._is_lost(self.agent):
            why = f"the sandbox of attempt {self.status.attempt} was lost{self._said(': ')}"
            return self._next_attempt(why, lost=True)
        return self._with_sandbox(self.agent)

    # --- outcomes ---------------------------------------------------------------------------------------------

    def _outcome(self) -> Outcome | None:
        if found := outcome_of_rounds(self.status.rounds, self.spec.limits.max_rounds):
            return found
        if self.now >= self.deadline:
            where = self._said(" while waiting: ")
            return Outcome(
                Verdict.FAIL,
                Reason.DEADLINE_EXCEEDED,
                f"limits.deadline ({self.spec.limits.deadline}) passed{where}",
            )
        for view in self._current_views():
            failure = view.state.failure if view.state and view.identity.role is Role.AGENT else None
            if failure and (outcome := outcome_of_failure(failure)):
                return outcome
        if self.status.lost_attempts >= MAX_LOST_ATTEMPTS:
            last = condition(self.status, ConditionType.SANDBOX_READY)
            why = last.message.removesuffix(_NEW_FOLLOWS) if last else "see the events"
            message = f"{MAX_LOST_ATTEMPTS} sandboxes were lost; {why}"
            return Outcome(None, Reason.ATTEMPTS_EXHAUSTED, message)
        return None

    def _said(self, before: str) -> str:
        """What is known of the sandbox's trouble, after `before`."""
        trouble = self.agent.trouble if self.agent else None
        return f"{before}{trouble.message}" if trouble else ""

    def _current_views(self) -> list[SandboxView]:
        return [view for view in self.observed.sandboxes if view.identity.attempt == self.status.attempt]

    def _conclude(self, outcome: Outcome) -> tuple[Action, ...]:
        """Stop what runs, wait until it is sealed, and write the outcome once."""
        agent = self.agent
        reachable = agent and agent.presence is Presence.RUNNING and not agent.trouble
        if agent and reachable and agent.state and not agent.sealed:
            closing = self._closing_since(agent)
            if closing is None:
                return (
                    _send(agent, "stop", Stop(reason=outcome.reason.value)),
                    Wait(5, "the sandbox is stopping"),
                )
            left = (closing + SEALING_TIMEOUT - self.now).total_seconds()
            if left > 0:
                return (Wait(min(left, 5), "evidence is being sealed"),)
        return (WriteStatus(self._completed(outcome)),)

    def _closing_since(self, agent: SandboxView) -> datetime | None:
        assert agent.state is not None
        if agent.phase not in _FINAL:
            return None
        return datetime.fromtimestamp(agent.state.updated_ms / 1000, tz=self.now.tzinfo)

    def _completed(self, outcome: Outcome) -> AgentTaskStatus:
        agent, last = self.agent, self.status.rounds[-1] if self.status.rounds else None
        claim = last.claim if last else None
        if agent and agent.state and agent.state.rounds:
            claim = agent.state.rounds[-1].claim
        message = outcome.message
        if agent and agent.state and not agent.sealed:
            message += " (the end of the agent's ledger could not be sealed)"
        recording = (
            next((b for b in agent.state.blobs if b.name == "recording"), None)
            if agent and agent.state
            else None
        )
        status = self.status.model_copy(
            update={
                "observed_generation": self.observed.generation,
                "verdict": outcome.verdict,
                "claim": claim,
                "claim_disagreement": disagrees(claim, outcome.verdict),
                "message": message[:4096],
                "completion_time": rfc3339(self.now),
                "ledger": ledger_reference(agent) if agent else None,
                "recording": blob_key(recording.digest) if recording else "",
            }
        )
        status = self._with_isolation(status)
        status = with_condition(status, self.now, ConditionType.RUNNING, False, Reason.ENDED)
        if outcome.reason is Reason.WORKSPACE_FAILED and not last:
            status = with_condition(
                status, self.now, ConditionType.SANDBOX_READY, False, Reason.WORKSPACE_FAILED, outcome.message
            )
        if last and last.verdict:
            status = self._with_verified(status, last.verdict, failing_messages(last.criteria))
        return with_condition(status, self.now, ConditionType.COMPLETE, True, outcome.reason, message)

    def stale(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """Deletions of sandboxes whose work is done: former attempts, fetchers with a known base, verifiers that judged."""
        deleted = {action.identity for action in actions if isinstance(action, DeleteSandbox)}
        return tuple(
            _delete(view)
            for view in self.observed.sandboxes
            if view.presence is not Presence.GONE and view.identity not in deleted and self._is_stale(view)
        )

    def _is_stale(self, view: SandboxView) -> bool:
        identity = view.identity
        written = self.task.status
        if identity.attempt != written.attempt:
            return True
        match identity.role:
            case Role.AGENT:
                return False
            case Role.FETCHER:
                return bool(written.workspace.digest)
            case Role.VERIFIER:
                record = round_of(written.rounds, identity.round)
                return record is not None and identity.trial <= record.trials

    # --- sandboxes that are not there -------------------------------------------------------------------------

    def _suspend(self) -> tuple[Action, ...]:
        there = [view for view in self.observed.sandboxes if view.presence is not Presence.GONE]
        if there:
            return tuple(_delete(view) for view in there)
        status = with_condition(
            self.status, self.now, ConditionType.RUNNING, False, Reason.SUSPENDED, "spec.suspend is true"
        )
        status = with_condition(status, self.now, ConditionType.SANDBOX_READY, False, Reason.SUSPENDED)
        left = (self.deadline - self.now).total_seconds()
        return _write_if_new(self.observed, status) or (Wait(left, "limits.deadline"),)

    def _next_attempt(self, why: str, lost: bool) -> tuple[Action, ...]:
        """A new attempt begins at the round that was under way."""
        status = self.status.model_copy(
            update={
                "attempt": self.status.attempt + 1,
                "lost_attempts": self.status.lost_attempts + (1 if lost else 0),
                "rounds": [record for record in self.status.rounds if record.verdict is not None],
            }
        )
        reason = Reason.LOST if lost else Reason.CREATING
        status = with_condition(
            status, self.now, ConditionType.SANDBOX_READY, False, reason, why + _NEW_FOLLOWS
        )
        status = with_condition(status, self.now, ConditionType.ISOLATED, None, Reason.CREATING)
        status = with_condition(status, self.now, ConditionType.RUNNING, False, Reason.CREATING)
        return (WriteStatus(status),)

    def _without_sandbox(self) -> tuple[Action, ...]:
        if self._had_sandbox():
            return self._next_attempt(f"the sandbox of attempt {self.status.attempt} is gone", lost=True)
        if self.observed.creation_refused:
            return self._note_trouble(Trouble(Reason.CREATION_REFUSED, self.observed.creation_refused))
        if self.observed.refusal:
            return self._note_trouble(self.observed.refusal)
        return (
            *self._fetch(),
            CreateSandbox(self.observed.identity(Role.AGENT, self.status.attempt), self._base()),
        )

    def _had_sandbox(self) -> bool:
        return is_true(self.status, ConditionType.SANDBOX_READY)

    def _base(self) -> str:
        return self.status.workspace.digest

    def _fetch(self) -> tuple[Action, ...]:
        """The fetcher of a git workspace, until its result is known."""
        if self.spec.workspace.git is None or self._base():
            return ()
        identity = self.observed.identity(Role.FETCHER, self.status.attempt)
        fetcher = self.observed.sandbox(Role.FETCHER, self.status.attempt)
        if fetcher is None:
            return (CreateSandbox(identity),)
        if fetcher.phase is Phase.FAILED or fetcher.presence is Presence.GONE:
            return (_delete(fetcher),)
        return ()

    def _note_trouble(
        self,
        trouble: Trouble,
        kind: ConditionType = ConditionType.SANDBOX_READY,
        value: bool | None = False,
    ) -> tuple[Action, ...]:
        if trouble.reason in (Reason.CLASS_NOT_FOUND, Reason.CLASS_INVALID, Reason.INVALID_SPEC):
            kind = ConditionType.ACCEPTED
        status = with_condition(self.status, self.now, kind, value, trouble.reason, trouble.message)
        left = (self.deadline - self.now).total_seconds()
        return _write_if_new(self.observed, status) or (
            Wait(min(RETRY_SECONDS, max(left, 0.1)), trouble.message),
        )

    @staticmethod
    def _is_lost(agent: SandboxView) -> bool:
        if agent.presence is Presence.GONE:
            return True
        return agent.phase is Phase.FAILED and agent.state is not None and agent.state.failure is not None

    # --- a sandbox that is there ------------------------------------------------------------------------------

    def _with_sandbox(self, agent: SandboxView) -> tuple[Action, ...]:
        if agent.trouble and not self._had_sandbox():
            if agent.outdated:
                return self._next_attempt("its AgentClass has another image now", lost=False)
            return self._note_trouble(agent.trouble)
        return (*self._move_deadlines(), *self._at_phase(agent))

    def _move_deadlines(self) -> tuple[Action, ...]:
        """limits.deadline may change while a task runs; every sandbox that was given another one is told."""
        wanted = int(self.deadline.timestamp() * 1000)
        return tuple(
            _send(view, f"deadline-{wanted}", SetDeadline(deadline_ms=wanted))
            for view in self._current_views()
            if view.presence is Presence.RUNNING
            and view.state
            and view.phase not in _FINAL
            and view.state.deadline_ms not in (None, wanted)
        )

    def _at_phase(self, agent: SandboxView) -> tuple[Action, ...]:
        match agent.phase:
            case None | Phase.STARTING:
                return self._waiting()
            case Phase.WAITING_FOR_WORKSPACE:
                return self._waiting_for_workspace()
            case Phase.READY | Phase.RUNNING if not self._had_sandbox():
                return (WriteStatus(self._running(agent)),)
            case Phase.READY:
                return (self._start(agent),)
            case Phase.ROUND_ENDED:
                return self._round_ended(agent)
            case _:
                return self._waiting()

    def _waiting(self) -> tuple[Action, ...]:
        return (Wait(max((self.deadline - self.now).total_seconds(), 0.1), "limits.deadline"),)

    def _waiting_for_workspace(self) -> tuple[Action, ...]:
        fetcher = self.observed.sandbox(Role.FETCHER, self.status.attempt)
        failure = fetcher.state.failure if fetcher and fetcher.state else None
        if fetcher and failure:
            trouble = Trouble(Reason.WORKSPACE_FAILED, failure.message)
            if not has_reason(self.status, ConditionType.SANDBOX_READY, Reason.WORKSPACE_FAILED):
                return self._note_trouble(trouble)
            age = self.now.timestamp() - (fetcher.state.updated_ms / 1000 if fetcher.state else 0)
            return (
                (_delete(fetcher),) if age > RETRY_SECONDS else (Wait(RETRY_SECONDS - age, failure.message),)
            )
        return (*self._fetch(), *self._waiting())

    def _running(self, agent: SandboxView) -> AgentTaskStatus:
        assert agent.state is not None
        workspace = self.status.workspace.model_copy(update={"digest": agent.state.workspace})
        status = self.status.model_copy(
            update={"observed_generation": self.observed.generation, "workspace": workspace, "message": ""}
        )
        status = with_condition(status, self.now, ConditionType.ACCEPTED, True, Reason.ACCEPTED)
        status = with_condition(status, self.now, ConditionType.SANDBOX_READY, True, Reason.READY)
        status = self._with_isolation(status)
        return with_condition(
            status, self.now, ConditionType.RUNNING, True, Reason.AGENT_RUNNING, f"round {status.round}"
        )

    def _with_isolation(self, status: AgentTaskStatus) -> AgentTaskStatus:
        found = self.agent.state.isolation if self.agent and self.agent.state else None
        if found is None:
            return status
        if found.passed:
            message = f"{found.assertions} assertions held"
            if found.missing_layers:
                message += f"; layers missing here: {', '.join(found.missing_layers)}"
            return with_condition(
                status, self.now, ConditionType.ISOLATED, True, Reason.PROBE_PASSED, message
            )
        message = ", ".join(found.failed)
        return with_condition(
            status, self.now, ConditionType.ISOLATED, False, Reason.ISOLATION_FAILED, message
        )

    def _start(self, agent: SandboxView) -> Action:
        """The attempt's first round: round 1, or the round that was under way when the last attempt was lost."""
        agent_class = self.observed.agent_class
        if agent_class is None:
            return Wait(RETRY_SECONDS, "the AgentClass is gone")
        number = len(self.status.rounds) + 1
        prompt = prompt_of(self.task, agent_class)
        if self.status.rounds:
            last = self.status.rounds[-1]
            prompt = f"{prompt}\n\n{_evidence(last)}"
        command = start_command(self.task, agent_class, self.accepted, number, prompt, TOKEN_PLACEHOLDER)
        return _send(agent, "start", command)

    # --- a round's end ----------------------------------------------------------------------------------------

    def _round_ended(self, agent: SandboxView) -> tuple[Action, ...]:
        assert agent.state is not None
        ended = agent.state.rounds[-1]
        record = round_of(self.status.rounds, ended.round)
        if record and record.verdict is Verdict.FAIL:
            return self._feedback(agent, record)
        if record is None or not has_reason(self.status, ConditionType.RUNNING, Reason.VERIFYING):
            return (WriteStatus(self._verifying(agent, ended, record)),)
        return self._verify(agent, record)

    def _feedback(self, agent: SandboxView, record: RoundStatus) -> tuple[Action, ...]:
        text, number = _evidence(record), record.number + 1
        return (_send(agent, f"feedback-{number}", GiveFeedback(round=number, text=text)),)

    def _verifying(
        self, agent: SandboxView, ended: RoundOutcome, record: RoundStatus | None
    ) -> AgentTaskStatus:
        assert agent.state is not None
        diff = next((blob.digest for blob in agent.state.blobs if blob.name == f"diff-{ended.round}"), "")
        new = record or RoundStatus(
            number=ended.round,
            attempt=self.status.attempt,
            claim=ended.claim,
            changes=ended.changes,
            fingerprint=ended.fingerprint,
            diff=blob_key(diff) if diff else "",
        )
        status = with_round(self.status, new)
        return with_condition(
            status, self.now, ConditionType.RUNNING, True, Reason.VERIFYING, f"round {ended.round}"
        )

    def _verify(self, agent: SandboxView, record: RoundStatus) -> tuple[Action, ...]:
        trial = record.trials + 1
        ready = all(agent.has_sealed(f"{name}-{record.number}") for name in ("changes", "diff"))
        if not ready:
            return (Wait(5, "the captured workspace is being stored"),)
        verifier = self.observed.sandbox(Role.VERIFIER, self.status.attempt, record.number, trial)
        if verifier is None:
            identity = self.observed.identity(Role.VERIFIER, self.status.attempt, record.number, trial)
            return (CreateSandbox(identity, self._base(), record.changes),)
        match verifier.phase:
            case Phase.READY:
                command = Verify(
                    round=record.number,
                    criteria=tuple(self.spec.criteria),
                    deadline_ms=int(self.deadline.timestamp() * 1000),
                )
                return (_send(verifier, "verify", command),)
            case Phase.VERIFIED:
                return (_send(verifier, "stop", Stop(reason="the verdict stands")),)
            case _ if verifier.trouble:
                return self._note_trouble(verifier.trouble, ConditionType.VERIFIED, None)
            case _:
                return self._waiting()

    def _judged(self) -> AgentTaskStatus | None:
        """The status with the present verifier's verdict, once its evidence is sealed or it is lost."""
        record = self.status.rounds[-1] if self.status.rounds else None
        if record is None or record.verdict is not None or record.attempt != self.status.attempt:
            return None
        verifier = self.observed.sandbox(Role.VERIFIER, record.attempt, record.number, record.trials + 1)
        if verifier is None or not (verifier.sealed or verifier.presence is Presence.GONE):
            return None
        state = verifier.state
        verification = state.verification if state else None
        if verification is None:
            why = state.failure.message if state and state.failure else "the verifier's sandbox was lost"
            results = [_undecided(criterion, why) for criterion in self.spec.criteria]
            verdict = Verdict.INCONCLUSIVE
        else:
            results, verdict = list(verification.results), verification.verdict
        new = record.model_copy(
            update={
                "trials": record.trials + 1,
                "verdict": verdict
                if verdict is not Verdict.INCONCLUSIVE or record.trials + 1 >= MAX_TRIALS
                else None,
                "criteria": results,
                "verifier_ledger": ledger_reference(verifier),
            }
        )
        status = self._with_verified(with_round(self.status, new), verdict, failing_messages(results))
        after = outcome_of_rounds(status.rounds, self.spec.limits.max_rounds)
        if after is None and verdict is Verdict.FAIL:
            number = new.number + 1
            status = status.model_copy(update={"round": number})
            status = with_condition(
                status, self.now, ConditionType.RUNNING, True, Reason.AGENT_RUNNING, f"round {number}"
            )
        return status

    def _with_verified(self, status: AgentTaskStatus, verdict: Verdict, failing: str) -> AgentTaskStatus:
        match verdict:
            case Verdict.PASS:
                return with_condition(status, self.now, ConditionType.VERIFIED, True, Reason.PASSED)
            case Verdict.FAIL:
                return with_condition(status, self.now, ConditionType.VERIFIED, False, Reason.FAILED, failing)
            case Verdict.INCONCLUSIVE:
                return with_condition(
                    status, self.now, ConditionType.VERIFIED, None, Reason.INCONCLUSIVE, failing
                )


def _evidence(record: RoundStatus) -> str:
    verdict = record.verdict or Verdict.INCONCLUSIVE
    return feedback(Verification(verdict=verdict, results=tuple(record.criteria)), record.number)


def _undecided(criterion: Criterion, why: str) -> CriterionResult:
    return CriterionResult(
        name=criterion.name,
        type=criterion.type,
        enforcement=criterion.enforcement,
        verdict=Verdict.INCONCLUSIVE,
        message=why,
    )
