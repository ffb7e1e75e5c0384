"""What a driver knows of its session: made from the events that it emitted alone, and bounded. Pure.

So a driver that is made anew, and told what an earlier one emitted, goes on as the earlier one would have.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from axiom_sandbox.protocol.agents import Activity, Statement, Tokens
from axiom_sandbox.protocol.events import (
    ApiRetried,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalWithdrawn,
    AssistantDelta,
    AssistantMessage,
    Compacted,
    Event,
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
    statements: list[Statement] = field(default_factory=list)
    """What the agent says it did in this round."""
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
        self.opened = False
        self.round, self.activity, self.detail, self.outcome = round, None, "", None
        self.limited_until_ms = None
        self.at_start, self.at_start_micro_usd = self.total, self.total_micro_usd or 0
        self.calls.clear()
        self.questions.clear()

    def take(self, event: Event) -> None:
        """Takes up an event."""
        match event:
            case SessionOpened(session=session, version=version):
                self.opened = True
                self.session, self.version = session or self.session, version or self.version
                self._is(self.activity or Activity.THINKING)
            case AssistantDelta() | AssistantMessage() | Reasoning() | Compacted():
                self.retries = 0
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
            case TurnEnded():
                self.outcome = event
                self.calls.clear()
                self.questions.clear()
                self._is(Activity.IDLE, event.reason)
            case _:
                pass

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
