"""A world for the planner, in memory: sandboxes that behave as the real ones do, step by step, and can be lost at any step.

It stands for pods, trusted sides and gateway together, so that a task's whole life can be played thousands of times.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import AgentTask
from axiom.api.conditions import ConditionType
from axiom.api.usage import ProxyUsage
from axiom.planning.actions import Action, CreateSandbox, DeleteSandbox, DeleteTask, Send, Wait, WriteStatus
from axiom.planning.observed import Observed, Presence, SandboxView, Trouble, VendorDown
from axiom.planning.planner import plan
from axiom.planning.statuses import is_true
from axiom_sandbox.protocol.channel import (
    Blob,
    Failure,
    FailureReason,
    GiveFeedback,
    Isolation,
    LedgerHead,
    Phase,
    Pushed,
    RoundOutcome,
    SandboxState,
    SetBudget,
    SetDeadline,
    SetVendor,
    StartAgent,
    Stop,
    TakeCheckpoint,
    Verification,
    Verify,
)
from axiom_sandbox.protocol.checkpoints import CheckpointTaken, Restored, Why
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.verdicts import (
    Claim,
    ClaimDisagreement,
    CriterionResult,
    Saying,
    Verdict,
    combine,
)

DIGEST = "a" * 64


@dataclass
class SimulatedSandbox:
    """One sandbox of the world."""

    identity: Identity
    state: SandboxState
    presence: Presence = Presence.RUNNING
    trouble: Trouble | None = None
    quiet_seconds: float = 0.0
    placed: bool = True
    seen: tuple[int, datetime] | None = None
    """Its revision, and when that was seen first."""

    def change(self, **changes: object) -> None:
        self.state = self.state.model_copy(update={**changes, "revision": self.state.revision + 1})

    def see(self, now: datetime) -> None:
        """An observer looks: how long it is quiet counts from when it was first seen so."""
        if self.seen is None or self.seen[0] != self.state.revision:
            self.seen = self.state.revision, now
        self.quiet_seconds = (now - self.seen[1]).total_seconds()

    def view(self) -> SandboxView:
        return SandboxView(
            self.identity, self.presence, self.identity.agent_id, self.trouble, self.state, self.quiet_seconds,
            placed=self.placed,
        )  # fmt: skip


def passing(_: int, __: int) -> Verdict:
    return Verdict.PASS


@dataclass
class World:
    """Plays one task. `judge(round, trial)` says what the verifiers will find."""

    task: AgentTask
    agent_class: AgentClass | None
    judge: Callable[[int, int], Verdict] = passing
    fingerprint: Callable[[int], str] = str
    changed_percent: Callable[[int], int | None] = lambda _: None
    disagreements: Callable[[int], tuple[ClaimDisagreement, ...]] = lambda _: ()
    failures: dict[int, Failure] = field(default_factory=dict)
    """Attempt → how its agent's sandbox fails in the middle of its first round."""
    generation: int = 1
    vendor: VendorDown | None = None
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    sandboxes: dict[Identity, SimulatedSandbox] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    writes: Counter[str] = field(default_factory=Counter)
    created: list[Identity] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    refusal: Trouble | None = None
    source: AgentTask | None = None
    push_failure: Failure | None = None
    commit: str = "e" * 40
    pushed_commit: str = "c" * 40
    usage: tuple[ProxyUsage, ...] = ()
    is_counted: bool = True
    starts: list[StartAgent] = field(default_factory=list)
    restores: dict[int, str] = field(default_factory=dict)
    """Attempt → the digest of the checkpoint that its sandbox began from."""
    broken: set[str] = field(default_factory=set)
    """Digests of checkpoints that do not hold."""
    request: str = ""
    checkpoints: int = 0
    assisted: bool = False
    """Whether a person steps in while an agent works."""

    def observe(self) -> Observed:
        for sandbox in self.sandboxes.values():
            sandbox.see(self.now)
        views = tuple(sandbox.view() for sandbox in self.sandboxes.values())
        return Observed(
            self.task, self.generation, self.agent_class, self.refusal, "", views, source=self.source, usage=self.usage,
            is_counted=self.is_counted, checkpoint_request=self.request, vendor=self.vendor,
        )  # fmt: skip

    def step(self) -> tuple[Action, ...]:
        """Plans and applies once."""
        actions = plan(self.observe(), self.now)
        for action in actions:
            self.apply(action)
        return actions

    def apply(self, action: Action) -> None:
        match action:
            case WriteStatus(status=status):
                self.writes["status"] += 1
                self.task = self.task.model_copy(update={"status": status})
                if is_true(status, ConditionType.COMPLETE):
                    self.outcomes.append(f"{status.verdict} {status.message}")
            case CreateSandbox(identity=identity, checkpoint=checkpoint):
                if checkpoint:
                    self.restores[identity.attempt] = checkpoint
                self.create(identity)
            case DeleteSandbox(identity=identity):
                self.writes["delete"] += 1
                self.sandboxes[identity].presence = Presence.GONE
            case Send(identity=identity, envelope=envelope):
                if envelope.key not in self.taken and self.sandboxes[identity].presence is Presence.RUNNING:
                    self.taken.add(envelope.key)
                    self.receive(self.sandboxes[identity], envelope.command)
            case Wait() | DeleteTask():
                pass

    def create(self, identity: Identity) -> None:
        present = self.sandboxes.get(identity)
        if present and present.presence is not Presence.GONE:
            return
        self.writes["create"] += 1
        self.created.append(identity)
        state = SandboxState(revision=1, identity=identity, phase=Phase.STARTING)
        self.sandboxes[identity] = SimulatedSandbox(identity, state)

    def receive(self, sandbox: SimulatedSandbox, command: object) -> None:
        match command:
            case StartAgent(round=number, envelope=envelope):
                self.starts.append(command)
                deadline = envelope.limits.deadline_ms
                budget = envelope.limits.budget_micro_usd
                sandbox.change(
                    phase=Phase.RUNNING, round=number, deadline_ms=deadline, budget_micro_usd=budget
                )
                sandbox.change(vendor_down="")
            case SetVendor(down=down):
                sandbox.change(vendor_down=down)
            case SetDeadline(deadline_ms=deadline):
                sandbox.change(deadline_ms=deadline)
            case SetBudget(budget_micro_usd=budget):
                sandbox.change(budget_micro_usd=budget)
            case GiveFeedback(round=number):
                sandbox.change(phase=Phase.RUNNING, round=number)
            case Verify(round=number, deadline_ms=deadline):
                sandbox.change(phase=Phase.RUNNING, round=number, deadline_ms=deadline)
            case Stop(checkpoint=checkpoint, reason=reason):
                if checkpoint and sandbox.state.phase is Phase.RUNNING:
                    self.keep(sandbox, Why.SUSPEND)
                sandbox.change(stopping=reason)
                self.close(sandbox, None)
            case TakeCheckpoint(request=request):
                sandbox.change(checkpoint_request=request)
                self.keep(sandbox, Why.DEMAND)
            case SetDeadline(deadline_ms=deadline):
                sandbox.change(deadline_ms=deadline)

    def close(self, sandbox: SimulatedSandbox, failure: Failure | None) -> None:
        phase = Phase.FAILED if failure else Phase.STOPPED
        ledger = LedgerHead(records=9, head=DIGEST, segments=1, sealed=0, closed=True)
        sandbox.change(phase=phase, failure=failure, ledger=ledger)

    def progress(self) -> bool:
        """Every sandbox does its next thing. False when nothing moved."""
        return sum(self.advance(sandbox) for sandbox in list(self.sandboxes.values())) > 0

    def advance(self, sandbox: SimulatedSandbox) -> bool:
        if sandbox.presence is not Presence.RUNNING:
            return False
        state = sandbox.state
        match state.phase:
            case Phase.STARTING if sandbox.identity.role is Role.PUSHER:
                self.end_push(sandbox)
            case Phase.STARTING if sandbox.identity.role.is_one_shot:
                sandbox.change(
                    phase=Phase.FETCHED,
                    revision_id=self.commit,
                    blobs=(Blob(name="workspace", digest=DIGEST, size=1, sealed=True),),
                )
            case Phase.STARTING:
                sandbox.change(
                    phase=Phase.WAITING_FOR_WORKSPACE, isolation=Isolation(passed=True, assertions=60)
                )
            case Phase.WAITING_FOR_WORKSPACE:
                digest = self.restores.get(sandbox.identity.attempt)
                if digest and sandbox.identity.role is Role.AGENT:
                    ok = digest not in self.broken
                    sandbox.change(restored=Restored(digest=digest, ok=ok, message="" if ok else "damaged"))
                sandbox.change(phase=Phase.READY, workspace=DIGEST)
            case Phase.RUNNING if sandbox.identity.role is Role.AGENT:
                self.end_round(sandbox)
            case Phase.RUNNING if sandbox.identity.role is Role.VERIFIER:
                sandbox.change(phase=Phase.VERIFIED, verification=self.verification(sandbox.identity))
            case Phase.FAILED if state.failure and state.failure.reason is FailureReason.LAUNCHER_LOST:
                self.lose(sandbox)
            case _:
                return self.seal(sandbox)
        return True

    def end_round(self, sandbox: SimulatedSandbox) -> None:
        failure = self.failures.get(sandbox.identity.attempt)
        if failure:
            self.close(sandbox, failure)
            return
        number = sandbox.state.round
        asks = any(criterion.reads_conduct for criterion in self.task.criteria)
        outcome = RoundOutcome(
            round=number,
            claim=Claim(says=Saying.SUCCESS, exit_code=0),
            changes=DIGEST,
            changed_paths=1,
            findings=0,
            fingerprint=self.fingerprint(number),
            changed_percent=self.changed_percent(number),
            conduct=DIGEST if asks else "",
            assisted=self.assisted,
            rebuttal="I see." if number > 1 else "",
        )
        self.keep(sandbox, Why.TURN)
        names = ("changes", "diff", "conduct") if asks else ("changes", "diff")
        blobs = tuple(Blob(name=f"{name}-{number}", digest=DIGEST, size=1) for name in names)
        sandbox.change(
            phase=Phase.ROUND_ENDED,
            rounds=(*sandbox.state.rounds, outcome),
            blobs=(*sandbox.state.blobs, *blobs),
        )

    def keep(self, sandbox: SimulatedSandbox, why: Why) -> None:
        """Takes a checkpoint, which is stored with the next seal."""
        self.checkpoints += 1
        state = sandbox.state
        taken = CheckpointTaken(
            number=state.checkpoints[-1].number + 1 if state.checkpoints else self.starts[-1].next_checkpoint,
            digest=f"{self.checkpoints:064x}",
            why=why,
            round=state.round,
            turn_over=why is Why.TURN,
            taken_ms=0,
            size=1,
        )
        blob = Blob(name=f"checkpoint-{taken.number}", digest=taken.digest, size=1)
        sandbox.change(checkpoints=(*state.checkpoints, taken), blobs=(*state.blobs, blob))

    def end_push(self, sandbox: SimulatedSandbox) -> None:
        if self.push_failure:
            self.close(sandbox, self.push_failure)
        else:
            sandbox.change(phase=Phase.PUSHED, pushed=Pushed(branch="b", commit=self.pushed_commit))

    def verification(self, identity: Identity) -> Verification:
        verdict = self.judge(identity.round, identity.trial)
        results = tuple(
            CriterionResult(
                name=criterion.name,
                type=criterion.type,
                enforcement=criterion.enforcement,
                verdict=verdict,
                message=f"round {identity.round}",
            )
            for criterion in self.task.spec.criteria
        )
        return Verification(
            verdict=combine(results), results=results, disagreements=self.disagreements(identity.round)
        )

    def seal(self, sandbox: SimulatedSandbox) -> bool:
        state = sandbox.state
        blobs = tuple(blob.model_copy(update={"sealed": True}) for blob in state.blobs)
        ledger = state.ledger.model_copy(update={"sealed": state.ledger.segments})
        if (blobs, ledger) == (state.blobs, state.ledger):
            return False
        sandbox.change(blobs=blobs, ledger=ledger)
        return True

    def lose(self, sandbox: SimulatedSandbox) -> None:
        """Its pod is gone."""
        sandbox.presence = Presence.GONE

    def play(self, steps: int = 200, chance: random.Random | None = None, loss: float = 0.0) -> AgentTask:
        """Until the task is complete. With `chance`, steps come in any order and sandboxes are lost now and then."""
        for _ in range(steps):
            if chance is None:
                self.step()
                self.progress()
            else:
                self.random_step(chance, loss)
            if is_true(self.task.status, ConditionType.COMPLETE):
                return self.task
        raise AssertionError(f"not complete after {steps} steps: {self.task.status}")

    def until_the_agent_works(self, steps: int = 20) -> SimulatedSandbox:
        """The agent's sandbox, once its agent works."""
        for _ in range(steps):
            self.step()
            for sandbox in self.sandboxes.values():
                if sandbox.identity.role is Role.AGENT and sandbox.state.phase is Phase.RUNNING:
                    return sandbox
            self.progress()
        raise AssertionError(f"no agent works after {steps} steps: {self.task.status}")

    def random_step(self, chance: random.Random, loss: float) -> None:
        there = [sandbox for sandbox in self.sandboxes.values() if sandbox.presence is Presence.RUNNING]
        if there and chance.random() < loss:
            self.lose(chance.choice(there))
        elif there and chance.random() < 0.5:
            self.advance(chance.choice(there))
        elif chance.random() < 0.2:
            plan(self.observe(), self.now)  # planned by an operator that was killed before it did anything
        else:
            actions = plan(self.observe(), self.now)
            most = chance.randint(0, len(actions))  # or killed between two actions
            for action in actions[: max(most, 1)]:
                self.apply(action)
        self.now += timedelta(seconds=chance.random())
