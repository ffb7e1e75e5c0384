"""What is known of a task at one moment: plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import AgentTask
from axiom.api.conditions import Reason
from axiom.api.usage import ProxyUsage
from axiom_sandbox.protocol.channel import SUPERSEDED, Phase, SandboxState
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Identity, Role

LOSSES = frozenset({Reason.LOST, Reason.EVICTED, Reason.PREEMPTED, Reason.NODE_LOST})
"""Reasons why a sandbox is gone."""


class Presence(StrEnum):
    """Whether a sandbox is there."""

    PENDING = "Pending"
    """Created, and not up yet."""
    RUNNING = "Running"
    """Its trusted side can be expected to answer."""
    GONE = "Gone"
    """It ended, or is being deleted by somebody: its life is over."""


@dataclass(frozen=True)
class Trouble:
    """Why a sandbox does not come up, does not answer, or is gone."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class SandboxView:
    """One sandbox, as its backend and its trusted side show it."""

    identity: Identity
    presence: Presence
    uid: str = ""
    trouble: Trouble | None = None
    state: SandboxState | None = None
    """The last state that the trusted side gave; stays after the sandbox is gone."""
    quiet_seconds: float = 0.0
    """How long ago its state last changed, by the observer's own clock: those of two machines are never compared."""
    remains: bool = False
    """It is gone by itself, and what is left of it is still to be deleted."""
    leaving_seconds: float | None = None
    """How long ago it was told to end, while it has not; None: it was not, or has."""
    outdated: bool = False
    """Made now, it would have other images: its class, or the installation's settings, were changed."""
    placed: bool = True
    """It has a place: on a cluster a node, with what it asks for set aside there."""

    @property
    def phase(self) -> Phase | None:
        """The trusted side's phase, if it ever answered."""
        return self.state.phase if self.state else None

    @property
    def over(self) -> bool:
        """The trusted side has come to its end."""
        return self.phase in (Phase.STOPPED, Phase.FAILED)

    @property
    def sealed(self) -> bool:
        """The ledger is closed, and it and every blob are in object storage."""
        return bool(
            self.state
            and self.state.ledger.closed
            and self.state.ledger.sealed >= self.state.ledger.segments
            and all(blob.sealed for blob in self.state.blobs)
        )

    @property
    def deletable(self) -> bool:
        """There is something to delete that nobody has deleted yet."""
        return self.presence is not Presence.GONE or self.remains

    @property
    def superseded(self) -> bool:
        """Its evidence can never be stored: its place in object storage is another sandbox's."""
        return bool(self.state and self.state.trouble == SUPERSEDED)

    @property
    def storage_trouble(self) -> Trouble | None:
        """Why its evidence cannot be stored now, as the gateway told."""
        if self.presence is not Presence.RUNNING or not self.state or not self.state.storage_trouble:
            return None
        return Trouble(Reason.STORAGE_UNAVAILABLE, self.state.storage_trouble)

    def has_blob(self, blob_name: str) -> bool:
        """A blob of this name lies ready in it."""
        return bool(self.state and any(blob.name == blob_name for blob in self.state.blobs))

    def has_sealed(self, blob_name: str) -> bool:
        """A blob of this name is in object storage."""
        return bool(self.state and any(blob.name == blob_name and blob.sealed for blob in self.state.blobs))


@dataclass(frozen=True)
class VendorDown:
    """The API of a vendor that the task's agent asks does not answer."""

    host: str
    since: datetime
    next_try: datetime
    """When one task tries whether it is back, or did so last and has not been answered yet."""


@dataclass(frozen=True)
class Observed:
    """A task and everything that exists for it."""

    task: AgentTask
    generation: int = 1
    agent_class: AgentClass | None = None
    refusal: Trouble | None = None
    """Why the task, its class, or the two together cannot be carried out."""
    creation_refused: str = ""
    """What the backend said when a sandbox could not be created."""
    sandboxes: tuple[SandboxView, ...] = ()
    source: AgentTask | None = None
    """The task that spec.workspace names, if it is there."""
    checkpoint_request: str = ""
    """The last request for a checkpoint that somebody left at the task."""
    vendor: VendorDown | None = None
    """Why the task's agent waits."""
    usage: tuple[ProxyUsage, ...] = ()
    """What each process of the egress proxy counted for the task, as far as it was asked."""
    is_counted: bool = True
    """Every process of the egress proxy has told what was used since the agent rests, or was waited for long enough."""
    profile_criteria: tuple[Criterion, ...] = ()
    """What the task's profiles add to its criteria now; of use before it is accepted alone."""

    def sandbox(self, role: Role, attempt: int, round: int = 0, trial: int = 0) -> SandboxView | None:
        """The sandbox of this slot, if it exists or existed."""
        wanted = (role, attempt, round, trial)
        for view in self.sandboxes:
            identity = view.identity
            if (identity.role, identity.attempt, identity.round, identity.trial) == wanted:
                return view
        return None

    def identity(self, role: Role, attempt: int, round: int = 0, trial: int = 0) -> Identity:
        """The identity of a slot of this task."""
        return identity_in(self.task, role, attempt, round, trial)


def identity_in(task: AgentTask, role: Role, attempt: int, round: int = 0, trial: int = 0) -> Identity:
    """The identity of a slot of a task."""
    return Identity(
        namespace=task.namespace,
        task=task.name,
        task_id=task.uid,
        attempt=attempt,
        role=role,
        round=round,
        trial=trial,
    )
