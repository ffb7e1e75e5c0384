"""The HTTP channel of a sandbox's trusted side: its state, and the commands it takes.

`GET /v1/state?since=REV` answers a `SandboxState`; `POST /v1/commands` takes a `CommandEnvelope`. Segments of the ledger leave with
`POST /v1/segments/stored` (`StoredSegments`), and come back with `PUT /v1/segments/N`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from axiom_sandbox.protocol.agents import AgentMode, AgentState, DriverName, Session, Vitals
from axiom_sandbox.protocol.approvals import Approvals, Decision, Grant
from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.checkpoints import CheckpointTaken, Keeping, Restored
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.errands import Seat, Vendor
from axiom_sandbox.protocol.identity import Identity
from axiom_sandbox.protocol.model import Message
from axiom_sandbox.protocol.pictures import PictureSettings
from axiom_sandbox.protocol.pricing import Pricing
from axiom_sandbox.protocol.progress import Progress
from axiom_sandbox.protocol.verdicts import Claim, ClaimDisagreement, CriterionResult, Verdict


class Phase(StrEnum):
    """How far the sandbox's trusted side has come. The order is the order of a life; `Failed` can follow any."""

    STARTING = "Starting"
    """Waiting for the launcher and for the isolation probe."""
    WAITING_FOR_WORKSPACE = "WaitingForWorkspace"
    """The probe passed; the base has not been pushed yet."""
    READY = "Ready"
    """The base is in place; nothing untrusted has run."""
    RUNNING = "Running"
    """Agent: it works on a round. Verifier: criteria are being decided. Fetcher: it fetches."""
    ROUND_ENDED = "RoundEnded"
    """Agent: the claim is recorded, its processes are frozen, the workspace is captured."""
    VERIFIED = "Verified"
    """Verifier: the verdict is recorded."""
    FETCHED = "Fetched"
    """Fetcher: the workspace lies ready as a blob."""
    PUSHED = "Pushed"
    """Pusher: the branch is at the server, or there was nothing to push."""
    STOPPED = "Stopped"
    """Everything untrusted is dead and the ledger is closed."""
    FAILED = "Failed"
    """It could not do its work; `failure` says why, the ledger is closed."""


class FailureReason(StrEnum):
    """Why a sandbox failed."""

    ISOLATION_FAILED = "IsolationFailed"
    """The probe found something possible that must not be. The agent never started."""
    LAUNCHER_LOST = "LauncherLost"
    """The untrusted container's PID 1 is gone and did not come back."""
    START_FAILED = "StartFailed"
    """The agent's command could not be executed."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """The task's deadline passed."""
    IDLE_EXCEEDED = "IdleExceeded"
    """The agent was silent for longer than limits.idle."""
    STORAGE_EXCEEDED = "StorageExceeded"
    """The workspace grew past limits.resources.storage."""
    PROCESS_LIMIT_EXCEEDED = "ProcessLimitExceeded"
    """More processes than the class allows."""
    WORKSPACE_FAILED = "WorkspaceFailed"
    """The base could not be fetched, unpacked or captured."""
    RESTORE_FAILED = "RestoreFailed"
    """The agent did not go on in the session of the checkpoint that it began from."""
    PUSH_FAILED = "PushFailed"
    """The result could not be pushed."""
    LEDGER_FAILED = "LedgerFailed"
    """Evidence could not be made durable; without evidence nothing goes on."""
    INTERNAL_ERROR = "InternalError"
    """A fault of ours; the message says where."""


class Failure(Message):
    """Why a sandbox failed, for a person."""

    reason: FailureReason
    message: str


class LedgerHead(Message):
    """How far the ledger is."""

    records: int = 0
    """Records written so far; the last one's seq."""
    head: str = ""
    """Hash of the last record."""
    segments: int = 0
    """Segments cut so far, numbered from 1."""
    sealed: int = 0
    """Segments 1…sealed are in object storage, as the gateway confirmed."""
    sealed_records: int = 0
    """Records in those segments; what follows them would be lost with the pod."""
    left: int = 0
    """Segments 1…left are in object storage alone."""
    leaving: int = 0
    """Segments up to this one are older than the sandbox's hot window: whoever proves that object storage gives them back lets
    them leave. Not above `left`: there is none."""
    closed: bool = False
    """Nothing will follow; the last record is in the last segment."""


class Blob(Message):
    """A piece of evidence under its digest."""

    name: str
    """What it is: `changes-<round>`, `diff-<round>`, `conduct-<round>`, `recording`, `workspace`, `evidence`,
    `checkpoint-<number>` and `checkpoint-<number>-<part>`, `screenshot-<digest>`. Of screenshots those alone are here that are
    not sealed yet: the ledger names all."""
    digest: str
    """SHA-256, hexadecimal."""
    size: int
    sealed: bool = False
    """It is in object storage, as the gateway confirmed."""


LEFT_HEADER = "X-Axiom-Left"
"""Of an answer 410: records 1 to this one are in object storage alone."""


class StoredSegments(Message):
    """What object storage gave back of segments that are leaving."""

    first: int
    """Number of the first; the others follow it."""
    digests: tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...] = Field(
        min_length=1, max_length=1000
    )
    """SHA-256 of each, packed as the sandbox packed it, in hexadecimal digits."""


class Question(Message):
    """Agent: a use of a tool that a person is asked about."""

    id: str
    """Of the `approval_asked` in the ledger."""
    tool: str
    summary: str
    """What it would do: the beginning of its input in one line, without secrets."""
    rule: str
    """What leaves it to a person: `policy`, or `policy/<rule>`."""
    since_ms: int
    """Unix time in ms."""
    until_ms: int
    """Unix time in ms at which it is denied, unless a person answers before."""


class RoundOutcome(Message):
    """Agent: what one round left behind."""

    round: int
    claim: Claim
    changes: str
    """Digest of the changes archive."""
    changed_paths: int
    findings: int
    fingerprint: str
    """Digest over all changes: equal fingerprints are equal workspaces."""
    changed_percent: int | None = None
    """Share of the lines of this round's and the last round's patches that only one of them has; None: not measured."""
    assisted: bool = False
    """A person told the agent something in it, interrupted it, or answered it."""
    conduct: str = ""
    """Digest of what the agent did up to the round's end; empty where nothing is to be held against it."""
    rebuttal: str = ""
    """What the agent answered to the evidence of the round before."""


class Verification(Message):
    """Verifier: what the criteria came to."""

    verdict: Verdict
    results: tuple[CriterionResult, ...]
    disagreements: tuple[ClaimDisagreement, ...] = ()
    """Statements of the agent that the evidence says otherwise of; the first of them."""


class LayerFound(Message):
    """What the probe found of one layer."""

    name: str
    tried: int
    """Assertions."""
    held: int


class Isolation(Message):
    """What the probe found."""

    passed: bool
    assertions: int = 0
    failed: tuple[str, ...] = ()
    """Assertions that did not hold, of layers that must be there."""
    layers: tuple[LayerFound, ...] = ()
    """The layers that were tried."""
    missing_layers: tuple[str, ...] = ()
    """Layers that are not there, or not whole: the class, or the backend, does without them."""
    took_ms: int = 0
    """How long the probe took."""


class Pushed(Message):
    """Pusher: what is at the server now."""

    branch: str
    commit: str
    """Whole id; empty: nothing was changed, so nothing was pushed."""


SUPERSEDED = (
    "an earlier sandbox of the same name left other evidence in object storage,"
    " so what this one records cannot be stored; another one, of another name, takes its place"
)
"""A trouble for which waiting is no cure."""


class SandboxState(Message):
    """What the trusted side says of itself."""

    revision: int
    """Rises with each change; `since` waits for a higher one."""
    identity: Identity
    phase: Phase
    round: int = 0
    rounds: tuple[RoundOutcome, ...] = ()
    isolation: Isolation | None = None
    verification: Verification | None = None
    failure: Failure | None = None
    ledger: LedgerHead = LedgerHead()
    blobs: tuple[Blob, ...] = ()
    workspace: str = ""
    """Digest of the base archive that was pushed."""
    workspace_bytes: int = 0
    """Bytes of its files."""
    workspace_files: int = 0
    """Its files and symlinks."""
    revision_id: str = ""
    """Fetcher: what the source's revision turned out to be, such as a whole commit id."""
    notes: tuple[str, ...] = ()
    """What a person should know of the workspace: what was left out of it, and why."""
    pushed: Pushed | None = None
    progress: Progress | None = None
    """How far something large has come; told every half minute at most."""
    trouble: str = ""
    """Why the inputs do not arrive, as the gateway told; empty once they do."""
    storage_trouble: str = ""
    """Why nothing goes to or comes from object storage, as the gateway told; empty once it does."""
    errands: tuple[str, ...] = ()
    """Verifier: ids of what it asks the gateway to do for it outside."""
    deadline_ms: int | None = None
    """Unix time in ms of the deadline that it was last given."""
    budget_micro_usd: int | None = None
    """Agent: the budget that it was last given; None: it has none, or was not started."""
    vendor_down: str | None = None
    """Agent: the vendor's host, where it was told that it does not answer; empty: it was not. None: the agent was not started,
    or this is an earlier version, which takes neither `SetVendor` nor `SetBudget`."""
    overspent: str = ""
    """Agent: why its turn was ended, or no further one begins: by its own count the budget is spent."""
    first_output_ms: int | None = None
    """Unix time in ms of the agent's first byte."""
    agent: AgentState | None = None
    """Agent: what it is doing; None before its first start."""
    vitals: Vitals | None = None
    """Agent: what it says of itself; None before it first spoke."""
    questions: tuple[Question, ...] = ()
    """Agent: what people are asked now."""
    grants: tuple[Grant, ...] = ()
    """Agent: what people allowed for the rest of the session."""
    assisted_rounds: tuple[int, ...] = ()
    """Agent: rounds in which a person stepped in."""
    stopping: str = ""
    """Why it was told to end."""
    checkpoints: tuple[CheckpointTaken, ...] = ()
    """Agent: the checkpoints that were taken here, oldest first; the last ones, where there are many."""
    checkpoint_trouble: str = ""
    """Why the last checkpoint that was tried could not be taken."""
    checkpoint_request: str = ""
    """The last request for a checkpoint that came."""
    awaits_checkpoint: str = ""
    """Digest of the checkpoint that is to be brought with the base."""
    awaits_segment: int = 0
    """Agent: the segment that has left, and that it needs again, as it does all that left after it; 0: none."""
    restored: Restored | None = None
    """What became of the checkpoint that this sandbox was to begin from."""
    gaps: int = 0
    """Gaps that were declared in the ledger: what was seen and not recorded in full."""
    updated_ms: int = 0
    """Unix time in ms of this revision."""


LEAST_COLUMNS, LEAST_ROWS = 80, 24
"""On less, an agent in mode Terminal cuts its dialogs, and what it asks for cannot be read."""


class TerminalSize(Message):
    """Columns and rows."""

    columns: int = 120
    rows: int = 40


class PromptDelivery(StrEnum):
    """How the prompt reaches the command."""

    ARGUMENT = "Argument"
    """In place of $(AXIOM_PROMPT) in the command."""
    STDIN = "Stdin"
    """On standard input, which then ends."""
    TYPED = "Typed"
    """Pasted on the terminal, and entered: marked as a paste where the program asks for that, else line by line."""


class HomeFile(Message):
    """A file put into the agent's home before it starts."""

    path: str
    content: str


class Patience(Message):
    """How long an agent may be silent before something is done about it."""

    noted_seconds: float = 60
    """A silence of this length is noted."""
    flagged_seconds: float = 120
    """And flagged, from this length on."""
    hung_seconds: float = 180
    """An agent that thinks counts as hung then: it is interrupted, ended, and started again in its session."""
    tool_seconds: float = 1800
    """One whose tool runs counts as hung then."""
    waiting_seconds: float = 3600
    """One whose model's vendor lets it wait, or does not answer, counts as hung then."""
    resumes: int = 3
    """How often it is started again in a round."""
    heartbeat_seconds: float = 180
    """What is known of it is recorded this often."""


class ContextAct(StrEnum):
    """What is done about a context that is nearly full."""

    COMPACT = "Compact"
    """The agent is interrupted and makes its context shorter itself, in its session. One that cannot summarises."""
    SUMMARISE = "Summarise"
    """The agent is interrupted and writes a summary, by which a fresh session goes on."""
    STOP = "Stop"
    """The agent's turn is ended; what it has done is verified."""


class ContextPolicy(Message):
    """When something is done about a context that fills up, and what."""

    percent: int
    act: ContextAct
    window: int | None = None
    """Tokens that the model can hold, where the class says so; None: as the agent says."""


class McpRoute(Message):
    """An MCP server, as the agent reaches it through the egress proxy."""

    name: str
    path: str
    """At the proxy."""


class AgentProgram(Message):
    """How the agent is started, expanded and ready."""

    driver: DriverName = DriverName.GENERIC
    mode: AgentMode = AgentMode.STRUCTURED
    """What a driver that has both modes uses."""
    command: tuple[str, ...]
    resume_command: tuple[str, ...] = ()
    prompt_delivery: PromptDelivery = PromptDelivery.ARGUMENT
    env: dict[str, str] = {}
    home_files: tuple[HomeFile, ...] = ()
    mcp_servers: tuple[McpRoute, ...] = ()
    approvals: Approvals = Approvals()
    patience: Patience = Patience()
    context: ContextPolicy | None = None
    terminal: TerminalSize = TerminalSize()
    pictures: PictureSettings = PictureSettings()
    pricing: Pricing = Pricing()

    @property
    def speaks(self) -> bool:
        """Whether the agent is spoken with in messages, so that it tells of its tools."""
        return self.driver is not DriverName.GENERIC and self.mode is AgentMode.STRUCTURED


class Limits(Message):
    """What one agent may use up."""

    deadline_ms: int
    """Unix time in ms at which the task ends."""
    idle_seconds: float
    storage_bytes: int
    processes: int
    open_files: int = 4096
    budget_micro_usd: int | None = None
    """What the task may spend, in millionths of a US dollar; None: it has no budget."""


class Envelope(Message):
    """What the task asked for: the first record of the ledger."""

    prompt: str
    criteria: tuple[Criterion, ...]
    limits: Limits
    agent_class: str
    max_rounds: int
    candidate: CandidateSource = CandidateSource.WORKSPACE
    message_path: str = ""
    """The file that a block of code is which names none; empty: such blocks are illustrations."""


class StartAgent(Message):
    """Round 1 begins, or the round in which an earlier sandbox was lost."""

    kind: Literal["StartAgent"] = "StartAgent"
    envelope: Envelope
    program: AgentProgram
    prompt: str
    """What the agent is told: the task's prompt, and the criteria if the class shows them."""
    token: str = ""
    """The attempt's token for the egress proxy. Never in a ledger."""
    round: int = 1
    session: Session | None = None
    """To go on in; its files are in the home already. None: the agent begins a new one."""
    going_on: str = ""
    """What an agent is told instead that goes on in the session of the checkpoint which was restored, where that is a new
    round; empty: it was in the middle of this one."""
    spent_micro_usd: int = 0
    """What the agents of earlier attempts spent, as they counted it."""
    checkpoint_seconds: float = 0
    """A checkpoint is taken this often while the agent works; 0: only when a turn has ended."""
    next_checkpoint: int = 1
    """Number of the first checkpoint that is taken here."""
    keeping: Keeping = Keeping()
    """What checkpoints keep of the workspace."""


class GiveFeedback(Message):
    """A further round: the evidence goes into the same session."""

    kind: Literal["GiveFeedback"] = "GiveFeedback"
    round: int
    text: str


class Verify(Message):
    """Decide these criteria on the pushed base and changes."""

    kind: Literal["Verify"] = "Verify"
    round: int
    criteria: tuple[Criterion, ...]
    deadline_ms: int
    candidate: CandidateSource = CandidateSource.WORKSPACE
    said: str = ""
    """The end of what the agent said, as its claim has it: to be looked through, never to be believed."""
    prompt: str = ""
    """What the task asked for, where a criterion needs it."""
    judges: tuple[Seat, ...] = ()
    """Who may be asked, in the order of preference."""
    agent_vendor: Vendor | None = None
    """Who makes the agent's model, where that is known."""
    reached: dict[str, int] | None = None
    """Host → bytes that came from there to the agent, as the egress proxy counted; None: nobody knows."""


class SetDeadline(Message):
    """The deadline moved."""

    kind: Literal["SetDeadline"] = "SetDeadline"
    deadline_ms: int


class SetBudget(Message):
    """What the task may spend was changed."""

    kind: Literal["SetBudget"] = "SetBudget"
    budget_micro_usd: int | None


class SetVendor(Message):
    """Whether the vendor of the agent's model answers: until it does, an agent that died is not started again."""

    kind: Literal["SetVendor"] = "SetVendor"
    down: str
    """The host that does not answer; empty: it does."""


class Resize(Message):
    """The agent's terminal gets another size."""

    kind: Literal["Resize"] = "Resize"
    terminal: TerminalSize


class TellAgent(Message):
    """Says something to the agent while it works."""

    kind: Literal["TellAgent"] = "TellAgent"
    text: str
    by: str


class AnswerApproval(Message):
    """Allows or denies a tool whose use a person is asked about."""

    kind: Literal["AnswerApproval"] = "AnswerApproval"
    question: str
    """Id of the `approval_asked` in the ledger."""
    decision: Decision


class InterruptAgent(Message):
    """The agent leaves what it is doing, and its turn ends."""

    kind: Literal["InterruptAgent"] = "InterruptAgent"
    by: str


class TakeCheckpoint(Message):
    """Takes a checkpoint of the agent as it is now."""

    kind: Literal["TakeCheckpoint"] = "TakeCheckpoint"
    by: str
    request: str = ""
    """The request that it serves: `SandboxState.checkpoint_request` tells that it came."""


class Stop(Message):
    """Kill everything untrusted and close the ledger."""

    kind: Literal["Stop"] = "Stop"
    reason: str
    checkpoint: bool = False
    """Whether a checkpoint is taken first."""


Command = Annotated[
    StartAgent
    | GiveFeedback
    | TellAgent
    | AnswerApproval
    | InterruptAgent
    | Verify
    | SetDeadline
    | SetBudget
    | SetVendor
    | Resize
    | TakeCheckpoint
    | Stop,
    Field(discriminator="kind"),
]


class CommandEnvelope(Message):
    """A command with the key that makes its repetition harmless."""

    key: str
    """A command whose key was seen before is answered, and not carried out again."""
    command: Command
    sent_ms: int = 0
    """Unix time in ms when it was sent, by the clock that its deadline is by; 0: by the sandbox's own."""
    taken_ms: int = 0
    """Unix time in ms when it was taken, by the sandbox's clock; the sandbox fills it in."""
