"""The words for how an agent is spoken with, and for what it is doing."""

from __future__ import annotations

from enum import StrEnum

from axiom_sandbox.protocol.model import Message


class DriverName(StrEnum):
    """How Axiom speaks with the agent."""

    GENERIC = "Generic"
    """Any command: it is told its prompt once, and its exit is the claim."""
    CLAUDE = "Claude"
    """Claude Code."""
    CODEX = "Codex"
    """Codex."""
    GEMINI = "Gemini"
    """Gemini CLI."""
    OPEN_CODE = "OpenCode"
    """OpenCode."""


class AgentMode(StrEnum):
    """Which of an agent's two faces is used. A terminal is there in both."""

    STRUCTURED = "Structured"
    """Messages over standard input and output: every step of the agent is known."""
    TERMINAL = "Terminal"
    """The interactive screen, as a person sees it: it is read and typed on, and the files of the session are read along."""


class Activity(StrEnum):
    """What an agent is doing."""

    STARTING = "Starting"
    """Its process begins, and has said nothing yet."""
    THINKING = "Thinking"
    """Its model is asked."""
    RUNNING_TOOL = "RunningTool"
    """A tool that the model called is running."""
    WAITING_FOR_APPROVAL = "WaitingForApproval"
    """A person has to allow or deny a tool."""
    WAITING_FOR_INPUT = "WaitingForInput"
    """It asked a question and goes on when it is answered."""
    IDLE = "Idle"
    """Its turn is over."""
    RATE_LIMITED = "RateLimited"
    """Its model's vendor lets it wait."""
    API_UNREACHABLE = "ApiUnreachable"
    """Its model does not answer, or answers with errors; it tries again."""
    HUNG = "Hung"
    """It has been silent for too long."""
    EXITED = "Exited"
    """Its process has ended."""


class Signal(StrEnum):
    """What decided what the agent is doing."""

    STRUCTURED_MESSAGE = "StructuredMessage"
    """A message of its protocol."""
    PROCESS = "Process"
    """Its process began, or ended."""
    TERMINAL_TITLE = "TerminalTitle"
    """The title that it gave its terminal."""
    SCREEN = "Screen"
    """What its terminal shows."""
    SESSION_FILE = "SessionFile"
    """A line of the file in which it keeps its session."""
    SILENCE = "Silence"
    """That nothing came from it."""


class AgentState(Message):
    """What the agent is doing, what decided that, and since when."""

    activity: Activity
    signal: Signal
    detail: str = ""
    """For a person: which tool, which error."""
    since_ms: int = 0
    """Unix time in ms."""


class Tokens(Message):
    """Tokens that a model read and wrote."""

    input: int = 0
    """Input that no cache has to do with."""
    cached_input: int = 0
    """Input that was read from a cache."""
    cache_write: int = 0
    """Input that was written to a cache."""
    output: int = 0
    """Output, with what the model only thought."""
    reasoning: int = 0
    """Of the output, what the model only thought, where the agent says so."""

    def __add__(self, other: Tokens) -> Tokens:
        """Both together."""
        return Tokens(**{name: getattr(self, name) + getattr(other, name) for name in Tokens.model_fields})

    def __sub__(self, other: Tokens) -> Tokens:
        """What came since `other`, an earlier count; never less than nothing."""
        return Tokens(
            **{name: max(getattr(self, name) - getattr(other, name), 0) for name in Tokens.model_fields}
        )


class Fill(Message):
    """How much of what its model can hold at once an agent uses, as it says itself."""

    used: int
    """Tokens that the model was last given, with those that it answered."""
    window: int | None = None
    """Tokens that it can hold; None: the agent does not say."""

    @property
    def percent(self) -> int | None:
        """Of the window; None where that is not known."""
        return None if not self.window else 100 * self.used // self.window


class Vitals(Message):
    """What an agent says of itself, besides what it is doing: a claim, like all that it says."""

    tokens: Tokens = Tokens()
    """What its model used in this sandbox."""
    micro_usd: int | None = None
    """What that cost, in millionths of a US dollar; None: it does not say."""
    fill: Fill | None = None
    """How full its context is."""
    output_per_second: int | None = None
    """Tokens that its model wrote, by the seconds in which it did, in the last call."""
    talks_in_row: int = 0
    """How often its model spoke and did nothing, since it last called a tool."""
    talks_in_round: int = 0
    """And how often in this round."""


class Session(Message):
    """A session that an agent had in another sandbox, and that it is to go on in."""

    id: str
    """The agent's own name for it."""
    lost: tuple[str, ...] = ()
    """Tools that ran when it was left, each with its id: what they did is unknown."""


class StatementKind(StrEnum):
    """What a statement of an agent is about."""

    FILE_WRITTEN = "FileWritten"
    """A file was written."""
    FILE_DELETED = "FileDeleted"
    """A file was deleted."""
    COMMAND_RAN = "CommandRan"
    """A command was run."""
    TESTS_PASS = "TestsPass"  # noqa: S105 - a kind of statement, not a password
    """Tests pass."""


class Statement(Message):
    """One thing that an agent says it did: for verifiers to hold against what they find. Never a finding itself."""

    kind: StatementKind
    subject: str
    """The path, the command, or the words."""
    ok: bool = True
    """Whether it worked, in the agent's own word."""
    in_words: bool = False
    """Said in its last words; else told of by one of its tools."""
