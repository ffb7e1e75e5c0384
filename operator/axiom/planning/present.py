"""One task at one moment, with what follows from it at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from axiom.api.agenttask import AgentTask, AgentTaskSpec, AgentTaskStatus, VendorPause
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.briefing import MOST_PAUSE_SECONDS, deadline_of
from axiom.planning.observed import LOSSES, Observed, SandboxView, Trouble
from axiom.planning.statuses import has_reason, is_true, parse_time
from axiom_sandbox.protocol.identity import Role

_SEALING_SECONDS = 1800.0
"""How long an outcome waits for evidence of which nothing more is stored. Less than a pod outlives its deadline."""
_STEP_SECONDS = 600.0
_DEPARTURES = (Reason.MADE_ROOM, Reason.ROUNDS_OVER)


@dataclass(frozen=True)
class Present:
    """A task that is being worked on."""

    observed: Observed
    now: datetime
    status: AgentTaskStatus
    """As it stands, or as it will be written with the plan."""

    @property
    def task(self) -> AgentTask:
        """The task, with the status that was observed."""
        return self.observed.task

    @property
    def spec(self) -> AgentTaskSpec:
        """What is to be done."""
        return self.observed.task.spec

    @property
    def accepted(self) -> datetime:
        """When the task was accepted."""
        return parse_time(self.status.accepted_time) if self.status.accepted_time else self.now

    @property
    def deadline(self) -> datetime:
        """When the task must have a verdict."""
        known, suspended = self.task.status.vendor_pause, self.task.status.suspension
        told = (known.seconds if known else 0) + (suspended.seconds if suspended else 0)
        stood = self.seconds_of_pause + self.seconds_of_suspension
        return deadline_of(self.task, self.accepted) + timedelta(seconds=stood - told)

    @property
    def seconds_of_pause(self) -> float:
        """For which the deadline stood, as the vendor did not answer; the present wait included."""
        known = self.task.status.vendor_pause
        if known is None:
            return 0
        return min(known.seconds + self._since(known.since), max(MOST_PAUSE_SECONDS, known.seconds))

    @property
    def seconds_of_suspension(self) -> float:
        """For which the deadline stood, as the task was suspended; the present suspension included."""
        known = self.task.status.suspension
        return known.seconds + self._since(known.since) if known else 0

    @property
    def stands_still(self) -> bool:
        """The deadline stands now."""
        pauses = (self.task.status.vendor_pause, self.task.status.suspension)
        return any(pause is not None and pause.since is not None for pause in pauses)

    def _since(self, began: str | None) -> float:
        return max((self.now - parse_time(began)).total_seconds(), 0) if began else 0

    @property
    def told_deadline(self) -> datetime:
        """What sandboxes are told: while the deadline stands, an hour more, in steps of ten minutes, so that it is not said
        all the time."""
        if not self.stands_still:
            return self.deadline
        later = self.deadline.timestamp() + _STEP_SECONDS * 6
        return datetime.fromtimestamp(later - later % _STEP_SECONDS, self.deadline.tzinfo)

    @property
    def pause_name(self) -> str:
        """Tells waits for a vendor, and the times between them, apart: for the keys of commands."""
        pause = self.status.vendor_pause or VendorPause()
        return f"{pause.times}-{'down' if pause.since else 'up'}"

    @property
    def seconds_left(self) -> float:
        """Until the deadline; negative once it passed."""
        return (self.deadline - self.now).total_seconds()

    @property
    def agent(self) -> SandboxView | None:
        """The agent's sandbox of the present attempt."""
        return self.observed.sandbox(Role.AGENT, self.status.attempt)

    @property
    def had_sandbox(self) -> bool:
        """The sandbox of this attempt was up once."""
        return is_true(self.status, ConditionType.SANDBOX_READY)

    def current_views(self) -> Iterator[SandboxView]:
        """The sandboxes of the present attempt."""
        return (view for view in self.observed.sandboxes if view.identity.attempt == self.status.attempt)

    @property
    def has_left(self) -> bool:
        """The agent's sandbox of this attempt ended on purpose, with its round stored, which is judged without it."""
        return any(has_reason(self.status, ConditionType.SANDBOX_READY, reason) for reason in _DEPARTURES)

    @property
    def is_superseded(self) -> bool:
        """A sandbox of this attempt that is needed still took the name of an earlier one, which nobody here knew of."""
        return any(
            view.superseded
            for view in self.current_views()
            if view.identity.role is Role.AGENT
            or (view.identity.role is not Role.VERIFIER and not self.status.workspace.digest)
        )

    def sealing_seconds_left(self, agent: SandboxView) -> float:
        """How long a sandbox that is over is still waited for until its evidence is stored."""
        return _SEALING_SECONDS - agent.quiet_seconds

    @property
    def loss(self) -> Trouble:
        """How the sandbox of this attempt was lost, as far as anybody said."""
        said = Trouble(Reason.LOST, "")
        if self.agent and self.agent.trouble:
            said = self.agent.trouble
        elif self.agent and self.agent.state and self.agent.state.failure:
            said = Trouble(Reason.LOST, self.agent.state.failure.message)
        reason = said.reason if said.reason in LOSSES else Reason.LOST
        what = f"the sandbox of attempt {self.status.attempt} was lost"
        return Trouble(reason, f"{what}: {said.message}" if said.message else what)

    def trouble_said(self, before: str) -> str:
        """What is known of the sandbox's trouble, after `before`."""
        trouble = (self.agent.trouble or self.agent.storage_trouble) if self.agent else None
        return f"{before}{trouble.message}" if trouble else ""
