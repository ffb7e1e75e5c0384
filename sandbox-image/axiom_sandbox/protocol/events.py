"""The events of the ledger: one class each. An event that this version does not know is kept as it came."""

from __future__ import annotations

from typing import Any, ClassVar

from axiom_sandbox.protocol.changes import Finding
from axiom_sandbox.protocol.channel import Envelope, FailureReason
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.launching import Assertion
from axiom_sandbox.protocol.model import Message
from axiom_sandbox.protocol.verdicts import Claim, CriterionResult, Remark, Verdict


class Event(Message):
    """What happened. The class says what, its fields are the record's payload."""

    event: ClassVar[str]
    """The name in the record's `event` field."""


class TaskDeclared(Event):
    """The envelope: what the task asked for, before anything ran."""

    event = "task_declared"
    envelope: Envelope


class SandboxStarted(Event):
    """The trusted side began, or began again after a restart."""

    event = "sandbox_started"
    role: Role
    version: str
    restart: bool


class LauncherConnected(Event):
    """The launcher presented the pinned nonce."""

    event = "launcher_connected"
    version: str
    kernel: str
    landlock_abi: int


class Intruder(Event):
    """Somebody else spoke to a door that is not theirs, and was refused."""

    event = "intruder"
    door: str
    detail: str


class IsolationProbed(Event):
    """What the probe tried from inside, before the agent."""

    event = "isolation"
    passed: bool
    assertions: tuple[Assertion, ...]


class WorkspaceReady(Event):
    """The base is in place."""

    event = "workspace"
    digest: str
    files: int
    size: int


class UserMessage(Event):
    """What the agent was told."""

    event = "user_msg"
    round: int
    text: str


class AgentStarted(Event):
    """A process of the agent began."""

    event = "agent_started"
    round: int
    argv: tuple[str, ...]
    pid: int


class Terminal(Event):
    """A stretch of terminal output, by reference into the recording."""

    event = "terminal"
    start: int
    """Offset in bytes into the terminal's output."""
    size: int


class AgentExited(Event):
    """The agent's process ended."""

    event = "agent_exited"
    round: int
    code: int | None
    signal: int | None
    user_ms: int
    system_ms: int
    max_rss_kib: int


class ClaimMade(Event):
    """What the agent said at the end of a round."""

    event = "claim"
    round: int
    claim: Claim


class Captured(Event):
    """The workspace, captured from outside while the agent was frozen."""

    event = "captured"
    round: int
    changes: str
    diff: str
    fingerprint: str
    paths: int
    findings: tuple[Finding, ...]


class CriterionChecked(Event):
    """One criterion, decided."""

    event = "criteria_check"
    round: int
    result: CriterionResult
    evidence: dict[str, Any]
    remarks: tuple[Remark, ...] = ()
    """The first of what was found at places of the workspace."""


class VerdictReached(Event):
    """All criteria together."""

    event = "verdict"
    round: int
    verdict: Verdict


class ProcessRan(Event):
    """Verifier: something ran in the clean room. What it printed is a claim."""

    event = "process"
    purpose: str
    argv: tuple[str, ...]
    code: int | None
    signal: int | None
    timed_out: bool
    duration_ms: int
    output_tail: str


class Gap(Event):
    """Something is missing here, and this says what."""

    event = "gap"
    what: str
    """`recording` or `terminal`: bytes of output. `ledger`: records, whose end was lost with the sandbox. Else a blob's name."""
    start: int
    end: int
    """`ledger`: the last record that is known to have been; more may have followed."""
    size: int
    """0 where it is not known."""
    reason: str


class Intervention(Event):
    """Somebody or something outside stepped in."""

    event = "intervention"
    by: str
    action: str
    detail: str


class SandboxFailed(Event):
    """The sandbox could not do its work."""

    event = "failure"
    reason: FailureReason
    message: str


class Closed(Event):
    """The last record."""

    event = "closed"
    reason: str


class UnknownEvent(Event):
    """An event of a newer version, whole."""

    event = "unknown"
    name: str
    payload: dict[str, Any]


KNOWN: dict[str, type[Event]] = {
    cls.event: cls
    for cls in (
        TaskDeclared,
        SandboxStarted,
        LauncherConnected,
        Intruder,
        IsolationProbed,
        WorkspaceReady,
        UserMessage,
        AgentStarted,
        Terminal,
        AgentExited,
        ClaimMade,
        Captured,
        CriterionChecked,
        VerdictReached,
        ProcessRan,
        Gap,
        Intervention,
        SandboxFailed,
        Closed,
    )
}


def parse_event(name: str, payload: dict[str, Any]) -> Event:
    """A record's `event` and `payload` → the typed event."""
    known = KNOWN.get(name)
    return known.model_validate(payload) if known else UnknownEvent(name=name, payload=payload)
