"""What a driver knows of its session: made from the events that it emitted alone, and bounded. Pure.

So a driver that is made anew, and told what an earlier one emitted, goes on as the earlier one would have.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from axiom_sandbox.protocol.agents import Activity, Fill, Statement, Tokens
from axiom_sandbox.protocol.events import (
    ApiRetried,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalWithdrawn,
    AssistantDelta,
    AssistantMessage,
    Compacted,
    ContextFilled,
    Event,
    ModelCall,
    RateLimited,
    Reasoning,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)

_MOST_CALLS = 1_000
_MOST_STATEMENTS = 200


@dataclass
class Memory:
    """A session, so far."""

    round: int = 0
    session: str = ""
    """The agent's name for it; empty: it has not said one."""
    version: str = ""
    model: str = ""
    """As the agent names it; empty: it does not."""
    opened: bool = False
    """The last process has said that it is in the session."""
    activity: Activity | None = None
    """What the last message says that the agent is doing; None: there was none in this process."""
    detail: str = ""
    calls: dict[str, ToolCall] = field(default_factory=dict)
    """Tools that run."""
    questions: dict[str, ApprovalAsked] = field(default_factory=dict)
    """Approvals that are open."""
    outcome: TurnEnded | None = None
    """How this round's turn ended, in the agent's word; None: it has not."""
    total: Tokens = field(default_factory=Tokens)
    total_micro_usd: int | None = None
    at_start: Tokens = field(default_factory=Tokens)
    """`total` when the present process began."""
    at_start_micro_usd: int = 0
    before_session_micro_usd: int = 0
    """`total_micro_usd` when the present session began."""
    pending: Tokens = field(default_factory=Tokens)
    """Of calls of the model in this process that no `usage` has counted yet."""
    uncounted: Tokens = field(default_factory=Tokens)
    """Of such calls in earlier processes: those ended before they had told their usage."""
    fill: Fill | None = None
    """How full its context is; None: it has not said."""
    fill_is_of_this_process: bool = False
    has_compacted: bool = False
    """In this process."""
    talks: int = 0
    """How often the model spoke, and did nothing."""
    talks_in_row: int = 0
    """Since the last call of a tool."""
    talks_in_round: int = 0
    has_spoken: bool = False
    """The model has spoken in this turn, and nothing has followed yet."""
    has_acted: bool = False
    """It has called a tool in this turn."""
    statements: list[Statement] = field(default_factory=list)
    """What the agent says it did in this round."""
    first_words: str = ""
    """What the agent said first in this round."""
    limited_until_ms: int | None = None
    """Unix time in ms at which the vendor lets it go on, while it is known to wait for that."""
    retries: int = 0
    """Calls of the model that failed, one after the other."""

    @property
    def can_resume(self) -> bool:
        """Whether there is a session to go on with. One that the last process did not come into is none."""
        return bool(self.session) and self.opened

    def begin(self, round: int) -> None:
        """Another process of the agent begins."""
        if round != self.round:
            self.statements.clear()
            self.talks_in_round, self.first_words = 0, ""
        self.has_spoken = self.has_acted = self.fill_is_of_this_process = self.has_compacted = False
        self.uncounted, self.pending = self.uncounted + self.pending, Tokens()
        self.opened = False
        self.round, self.activity, self.detail, self.outcome = round, None, "", None
        self.limited_until_ms = None
        self.at_start, self.at_start_micro_usd = self.total, self.total_micro_usd or 0
        self.calls.clear()
        self.questions.clear()

    def take(self, event: Event) -> None:
        """Takes up an event."""
        self._mind_talk(event)
        if isinstance(event, AssistantMessage):
            self.first_words = self.first_words or event.text
        match event:
            case SessionOpened(session=session, version=version):
                self.opened, self.model = True, event.model or self.model
                if session and session != self.session:
                    self.before_session_micro_usd = self.total_micro_usd or 0
                self.session, self.version = session or self.session, version or self.version
                self._is(self.activity or Activity.THINKING)
            case AssistantDelta() | AssistantMessage() | Reasoning() | Compacted():
                self.retries = 0
                self.has_compacted |= isinstance(event, Compacted)
                self._turns_to_what_runs()
            case ToolCall():
                if len(self.calls) < _MOST_CALLS:
                    self.calls[event.id] = event
                self._turns_to_what_runs()
            case ToolReturn():
                self.calls.pop(event.id, None)
                self._turns_to_what_runs()
            case ApprovalAsked():
                if len(self.questions) < _MOST_CALLS:
                    self.questions[event.id] = event
                self._is(Activity.WAITING_FOR_APPROVAL, event.tool)
            case ApprovalGiven(id=question) | ApprovalWithdrawn(id=question):
                self.questions.pop(question, None)
                self._turns_to_what_runs()
            case RateLimited(waiting=True, text=text, until_ms=until):
                self._is(Activity.RATE_LIMITED, text)
                self.limited_until_ms = until
            case ApiRetried(number=number, status=status, text=text):
                self.retries = number
                limited = status == 429
                self._is(Activity.RATE_LIMITED if limited else Activity.API_UNREACHABLE, text)
            case Usage():
                self.total, self.total_micro_usd = event.total, event.total_micro_usd
                self.pending = Tokens()
            case ModelCall():
                self.pending += event.tokens
            case ContextFilled():
                self.fill, self.fill_is_of_this_process = event.fill, True
            case TurnEnded():
                self.outcome = event
                self.calls.clear()
                self.questions.clear()
                self._is(Activity.IDLE, event.reason)
            case _:
                pass

    @property
    def spent(self) -> Tokens:
        """All that the agent's model used, what no `usage` has counted included."""
        return self.total + self.uncounted + self.pending

    def _mind_talk(self, event: Event) -> None:
        """What is said while a tool runs is a sub-agent's."""
        match event:
            case AssistantMessage() if not self.calls:
                self._count_talk(self.has_spoken)
                self.has_spoken = True
            case ToolCall():
                self.has_spoken, self.has_acted, self.talks_in_row = False, True, 0
            case TurnEnded():
                self._count_talk(self.has_spoken and event.ok and not self.has_acted)
                self.has_spoken = self.has_acted = False
            case _:
                pass

    def _count_talk(self, is_talk: bool) -> None:
        if is_talk:
            self.talks, self.talks_in_row = self.talks + 1, self.talks_in_row + 1
            self.talks_in_round += 1

    def state_what_was_done(self, *statements: Statement) -> None:
        """Adds to what the agent says it did, as far as it fits."""
        self.statements += statements[: _MOST_STATEMENTS - len(self.statements)]

    def _is(self, activity: Activity, detail: str = "") -> None:
        self.activity, self.detail, self.limited_until_ms = activity, detail[:200], None

    def _turns_to_what_runs(self) -> None:
        if self.questions:
            self._is(Activity.WAITING_FOR_APPROVAL, next(iter(self.questions.values())).tool)
        elif self.calls:
            self._is(Activity.RUNNING_TOOL, next(reversed(self.calls.values())).tool)
        else:
            self._is(Activity.THINKING)
