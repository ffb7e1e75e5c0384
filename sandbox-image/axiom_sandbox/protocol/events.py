"""The events of the ledger: one class each. An event that this version does not know is kept as it came."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from axiom_sandbox.protocol.agents import Activity, AgentState, Fill, Statement, Tokens
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.changes import ChangeKind, Finding
from axiom_sandbox.protocol.channel import ContextAct, Envelope, FailureReason
from axiom_sandbox.protocol.checkpoints import Why
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.launching import Assertion
from axiom_sandbox.protocol.model import Message
from axiom_sandbox.protocol.pictures import PictureReason
from axiom_sandbox.protocol.verdicts import Claim, CriterionResult, Remark, Verdict


class Event(Message):
    """What happened. The class says what, its fields are the record's payload."""

    event: ClassVar[str]
    """The name in the record's `event` field."""


class SignalKind(StrEnum):
    """What a signal tells of."""

    INJECTION = "Injection"
    """Text that means to talk a model into something."""
    SECRET = "Secret"  # noqa: S105 - a kind of finding
    """A key, token or password."""


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
    by: str = ""
    """The person who said it in mid-turn; empty: it is the round's prompt."""


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


class FileChange(Message):
    """One file of the workspace: what became of it between two looks."""

    path: str
    """Inside the workspace; bytes that are no UTF-8 appear as `\\xff`."""
    kind: ChangeKind
    size: int = 0
    """Bytes."""
    digest: str = ""
    """SHA-256 of the content; empty where there is none, it is larger than 64 MiB, or it could not be read."""
    target: str = ""
    """Where a symlink points, its first 200 characters."""


class FilesChanged(Event):
    """Files of the workspace were added, changed or deleted. A file that is moved is deleted, and added elsewhere.

    Changes that follow quickly on one another are one. What could not be seen or listed is a `gap` of `files`.
    """

    event = "files_changed"
    changes: tuple[FileChange, ...] = ()
    passing: int = 0
    """Files that came and went between two looks."""


class Screenshot(Event):
    """A picture: of the terminal, secrets masked, of what a tool wrote, or of a page. Its blob may be that of an earlier one."""

    event = "screenshot"
    round: int
    why: tuple[PictureReason, ...]
    digest: str
    """SHA-256 of the picture, under which its blob lies."""
    size: int
    """Bytes."""
    media_type: str
    width: int
    height: int
    """Pixels."""
    repeated: bool = False
    """It is the same as the last one of the same terminal or file."""
    thumbnail: str = ""
    """Digest of a small copy (WebP); empty: there is none."""
    columns: int | None = None
    rows: int | None = None
    """Of the terminal."""
    cursor: tuple[int, int] | None = None
    """Column and row, from 0."""
    text_digest: str = ""
    """SHA-256 of the text that is shown, secrets masked."""
    masked: int = 0
    """Places of the terminal in which a secret stood."""
    output: int | None = None
    """Offset in bytes into the terminal's output: what was written until then is shown."""
    path: str = ""
    """Where the tool wrote it, in the folder that the class names; of a page its address; of a criterion's picture
    `<criterion>/<picture>/` and `picture.png`, `baseline.png` or `difference.png`."""
    settled: bool | None = None
    """Of a page: whether it had come to rest."""


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
    statements: tuple[Statement, ...] = ()
    """What it says it did, in parts."""
    rebuttal: str = ""
    """What it answered to the evidence of the round before: its first words in this round, where they are not its last."""


class Compared(Message):
    """A statement of the agent, held against the evidence."""

    statement: Statement
    agrees: bool | None
    """None: nothing that is known here decides it."""
    found: str = ""
    """What the evidence says."""


class ClaimCompared(Event):
    """Verifier: what the agent stated, held against its ledger, the captured workspace and the criteria."""

    event = "claim_compared"
    round: int
    statements: tuple[Compared, ...]


class SessionOpened(Event):
    """The agent says which session it is in. Said again, it is the same session in another process."""

    event = "session"
    round: int
    session: str
    """The agent's own name for it."""
    version: str = ""
    """The agent's version."""
    model: str = ""
    warning: str = ""
    """What a person should know of this version: that it was not tested."""


class AssistantDelta(Event):
    """A piece of what the model is saying, before it has said all. What is whole follows as `assistant_msg`."""

    event = "assistant_delta"
    round: int
    text: str
    reasoning: bool = False
    """The model thinks; it does not speak."""


class AssistantMessage(Event):
    """What the model said."""

    event = "assistant_msg"
    round: int
    text: str


class Reasoning(Event):
    """What the model thought, as far as its vendor shows it."""

    event = "reasoning"
    round: int
    text: str


class ToolCall(Event):
    """The model called a tool."""

    event = "tool_call"
    round: int
    id: str
    tool: str
    """The tool's name, as the agent calls it."""
    input: dict[str, Any]
    parent: str = ""
    """Id of the call whose sub-agent made this one."""


class ToolReturn(Event):
    """A tool came back, or is known to have been lost."""

    event = "tool_return"
    round: int
    id: str
    tool: str
    ok: bool
    text: str
    """What the model was told. The end of what went wrong, if not `ok`."""
    lost: bool = False
    """The agent's process ended while the tool ran: what it did is unknown."""
    exit_code: int | None = None
    """Where the tool was a command and the agent says so."""
    duration_ms: int | None = None
    """From its call to its return; None: not seen whole."""


class ApprovalAsked(Event):
    """The agent asks whether a tool may run, and waits."""

    event = "approval_asked"
    round: int
    id: str
    """The question's own id; its answer names it."""
    tool: str
    input: dict[str, Any]
    call: str = ""
    """Id of the tool call, where the agent names it."""


class ApprovalGiven(Event):
    """The answer that the agent was given."""

    event = "approval_given"
    round: int
    id: str
    permission: Permission
    by: str
    """`policy`, `policy/<rule>`, the person, or `limit`: nobody answered in time."""
    message: str = ""
    """What the agent was told besides."""
    for_session: bool = False
    """A person allowed all such uses of the tool: with this answer, or with an earlier one."""


class ApprovalWithdrawn(Event):
    """The agent does not wait for an answer any more."""

    event = "approval_withdrawn"
    round: int
    id: str


class HookRan(Event):
    """A hook of the agent's ran."""

    event = "hook"
    round: int
    hook: str
    """Its name."""
    on: str
    """What it was called for."""
    outcome: str
    text: str = ""


class Usage(Event):
    """Tokens and cost, as the agent counts them. What is billed is counted at the egress proxy."""

    event = "usage"
    round: int
    turn: Tokens
    """Since the last such event of this session."""
    total: Tokens
    """Of the whole session, as far as this sandbox has seen it."""
    turn_micro_usd: int | None = None
    """Millionths of a US dollar; None: the agent does not say."""
    total_micro_usd: int | None = None


class ModelCall(Event):
    """A call of the agent's model, as the agent counts it; in two parts where it tells of the input first."""

    event = "model_call"
    round: int
    tokens: Tokens
    """Of this call; where it is told in parts, of this part."""
    output_per_second: int | None = None
    """Tokens that the model wrote, by the seconds in which it did; None: nothing was written, or it was not seen whole."""


class ContextFilled(Event):
    """How full the agent's context is, as it says itself."""

    event = "context"
    round: int
    fill: Fill


class ContextActed(Event):
    """Something is done about a context that is nearly full, as the class says or in place of that."""

    event = "context_act"
    round: int
    act: ContextAct
    fill: Fill
    why: str
    """For a person."""


class TalkedOnly(Event):
    """The model spoke, and called no tool before it spoke again or ended its turn: it plans, or talks, and does nothing.

    The last words of a turn in which a tool was called are its report, and do not count.
    """

    event = "talk"
    round: int
    in_row: int
    """So often since the last call of a tool, over rounds."""
    in_round: int
    """So often in this round."""


class BudgetSpent(Event):
    """By the agent's own count the task's budget is spent: its turn is ended, and no further one begins."""

    event = "budget"
    round: int
    budget_micro_usd: int
    """Millionths of a US dollar."""
    spent_micro_usd: int
    """With `earlier_micro_usd`."""
    earlier_micro_usd: int
    """What the agents of earlier attempts spent."""
    reason: str
    """For a person."""


class RateLimited(Event):
    """The model's vendor lets the agent wait, or warns of it."""

    event = "rate_limit"
    round: int
    waiting: bool
    """False: it is only a warning, or over."""
    until_ms: int | None = None
    """Unix time in ms when it is over."""
    text: str = ""


class ApiRetried(Event):
    """A call of the model failed, and the agent tries again."""

    event = "api_retry"
    round: int
    number: int
    """1 for the first."""
    delay_ms: int | None
    status: int | None
    """HTTP status; None: no answer."""
    text: str = ""


class Compacted(Event):
    """The agent made its context shorter."""

    event = "compaction"
    round: int
    trigger: str
    """`auto`, `manual`, or what the agent says."""
    tokens_before: int | None = None


class TurnEnded(Event):
    """The agent says that its turn is over. Its word, like everything that it says."""

    event = "turn_ended"
    round: int
    ok: bool
    reason: str
    """The agent's own word for how it ended."""
    text: str = ""
    """Its final message, or the error."""


class AgentMessage(Event):
    """A message of the agent's that has no event of its own, whole as far as it fits."""

    event = "agent_message"
    round: int
    kind: str
    """Its type, as the agent calls it; `malformed`: it is no message of the protocol."""
    content: str
    """As it came. Bytes that are no UTF-8 are replaced."""
    size: int
    """Bytes that it had; more than `content` holds: the rest was not kept."""
    count: int = 1
    """How many of this kind there were so far. From the thousandth on only the 1,024th, the 2,048th, … is kept."""


class StateChanged(Event):
    """What the agent is doing changed."""

    event = "state"
    round: int
    state: AgentState


class Heartbeat(Event):
    """What is known of the agent, told at least every three minutes."""

    event = "heartbeat"
    round: int
    activity: Activity
    processes: tuple[str, ...]
    """The process tree, one line each, as many as fit: pid, parent's pid, state, resident KiB, CPU ms, command."""
    count: int
    """Processes in all."""
    cpu_ms: int
    """CPU time of those that live."""
    rss_kib: int
    bytes_since: int
    """Bytes from terminal and protocol since the last heartbeat."""
    silent_ms: int
    """Since the last byte."""


class Silence(Event):
    """Nothing has come from the agent for a while."""

    event = "silence"
    round: int
    seconds: int
    level: str
    """`noted`, `flagged` or `acted`."""
    activity: Activity


class SessionResumed(Event):
    """The agent is started again within a round, or goes on in another sandbox."""

    event = "resumed"
    round: int
    session: str
    fresh: bool
    """It begins a new session, as there is none to go on with: what the agent knew is lost."""
    number: int
    """1 for the first time in this round; 0: this sandbox begins with it, and the session is another's."""
    why: str
    lost: tuple[str, ...] = ()
    """Tools that ran when the process ended, each with its id: what they did is unknown."""
    purpose: str = ""
    """`compact`, `summarise` or `fresh` where it was ended for its context; empty: it hung or died."""


class Captured(Event):
    """The workspace, captured from outside while the agent was frozen."""

    event = "captured"
    round: int
    changes: str
    diff: str
    fingerprint: str
    paths: int
    findings: tuple[Finding, ...]


class Checkpointed(Event):
    """Everything that the agent needs to go on elsewhere was kept; `digest` is the manifest's."""

    event = "checkpoint"
    number: int
    digest: str
    why: Why
    round: int
    size: int
    """Bytes of its parts."""
    frozen_ms: int
    """How long the agent was held for it; 0: its turn was over anyway."""


class CheckpointFailed(Event):
    """No checkpoint could be taken; the agent goes on all the same."""

    event = "checkpoint_failed"
    why: Why
    round: int
    reason: str


class CheckpointRestored(Event):
    """The sandbox begins from a checkpoint, or says why that does not hold."""

    event = "restored"
    number: int
    digest: str
    ok: bool
    message: str


class CriterionChecked(Event):
    """One criterion, decided."""

    event = "criteria_check"
    round: int
    result: CriterionResult
    evidence: dict[str, Any]
    remarks: tuple[Remark, ...] = ()
    """The first of what was found at places of the workspace."""


class Consulted(Event):
    """Verifier: a gateway did an errand outside for a criterion, or nobody did."""

    event = "consulted"
    round: int
    errand: dict[str, Any]
    """`AskJudge` with all that the judge was shown, or `FetchPage`."""
    reply: dict[str, Any]
    """`Answered`, `NotDone`, or `Fetched` with size and digest in place of its content."""


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


FILES = "files"
"""`what` of a gap of changes in the workspace. No evidence is lost by it: the round's capture shows what came of them."""


class Signal(Event):
    """Something that a person should know of stands in what the agent was told, said or showed. What it says is not repeated."""

    event = "signal"
    round: int
    kind: SignalKind
    rule: str
    """Of an injection the rule that found it; of a secret its kind."""
    place: str
    """`workspace:<path>`, `page:<address>` (a page that a verification had fetched), `terminal`, or the event of a record:
    `tool_return`, `assistant_msg`, …"""
    seq: int
    """The record; 0 where the place is none."""
    start: int
    """Offset in characters into the text: of a record's text; of a file; of a terminal, in bytes into its output, roughly."""
    size: int
    """Characters."""
    digest: str
    """The first 16 hexadecimal digits of the SHA-256 of those characters: equal ones are told apart from others."""
    suppressed: int = 0
    """Further ones that were found and are not told."""


class Gap(Event):
    """Something is missing here, and this says what."""

    event = "gap"
    what: str
    """`recording` or `terminal`: bytes of output. `conversation`: events of an agent that speaks over pipes; offsets are bytes
    that it wrote. `ledger`: records, whose end was lost with the sandbox. `files`: changes in the workspace, counted by `size`.
    `screenshot`: pictures. Else a blob's name."""
    start: int
    end: int
    """`ledger`: the last record that is known to have been; more may have followed."""
    size: int
    """0 where it is not known."""
    reason: str


class SegmentsLeft(Event):
    """Segments of this ledger are older than the sandbox's hot window, and object storage gave back each of them as it is here: they
    are removed from the sandbox. Recorded before that is done, so after a crash the same may be told again."""

    event = "segments_left"
    first: int
    """Number of the first segment."""
    last: int
    """Number of the last."""
    records: int
    """The last record in them."""
    hash: str
    """Its hash, from which what stays in the sandbox follows."""


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
        FilesChanged,
        Screenshot,
        AgentExited,
        ClaimMade,
        ClaimCompared,
        SessionOpened,
        AssistantDelta,
        AssistantMessage,
        Reasoning,
        ToolCall,
        ToolReturn,
        ApprovalAsked,
        ApprovalGiven,
        ApprovalWithdrawn,
        HookRan,
        Usage,
        ModelCall,
        BudgetSpent,
        ContextFilled,
        ContextActed,
        TalkedOnly,
        RateLimited,
        ApiRetried,
        Compacted,
        TurnEnded,
        AgentMessage,
        StateChanged,
        Heartbeat,
        Silence,
        SessionResumed,
        Captured,
        Checkpointed,
        CheckpointFailed,
        CheckpointRestored,
        Signal,
        CriterionChecked,
        Consulted,
        VerdictReached,
        ProcessRan,
        Gap,
        SegmentsLeft,
        Intervention,
        SandboxFailed,
        Closed,
    )
}


def parse_event(name: str, payload: dict[str, Any]) -> Event:
    """A record's `event` and `payload` → the typed event."""
    known = KNOWN.get(name)
    return known.model_validate(payload) if known else UnknownEvent(name=name, payload=payload)
