"""What may be done for a task: plain frozen data. Each is safe to do twice."""

from __future__ import annotations

from dataclasses import dataclass

from axiom.api.agenttask import AgentTaskStatus
from axiom_sandbox.protocol.channel import CommandEnvelope
from axiom_sandbox.protocol.identity import Identity


@dataclass(frozen=True)
class CreateSandbox:
    """Create the sandbox of this slot; that it exists already is success."""

    identity: Identity
    base: str = ""
    """Digest of the base archive, where it is known already."""
    changes: str = ""
    """Verifiers: digest of the changes archive."""
    conduct: str = ""
    """Verifiers: digest of what the agent did, where a criterion asks for that."""
    checkpoint: str = ""
    """Agents: digest of the checkpoint to begin from."""


@dataclass(frozen=True)
class Send:
    """Send a command to a sandbox."""

    identity: Identity
    envelope: CommandEnvelope


@dataclass(frozen=True)
class DeleteSandbox:
    """Delete a sandbox; that it is gone already is success."""

    identity: Identity
    uid: str


@dataclass(frozen=True)
class WriteStatus:
    """Replace the task's status. Nothing else is done in the same step."""

    status: AgentTaskStatus


@dataclass(frozen=True)
class DeleteTask:
    """Delete the AgentTask: its retention is over."""


@dataclass(frozen=True)
class Wait:
    """Look again after so many seconds even if nothing happens."""

    seconds: float
    reason: str


Action = CreateSandbox | Send | DeleteSandbox | WriteStatus | DeleteTask | Wait
