"""What an earlier life of this supervisor recorded: read once after a restart, so that nothing is said or done twice."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field

from axiom_sandbox.drivers.contract import Driver
from axiom_sandbox.ledger.records import decode
from axiom_sandbox.protocol.channel import ContextAct
from axiom_sandbox.protocol.events import (
    AgentExited,
    AgentMessage,
    AgentStarted,
    ApiRetried,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalWithdrawn,
    AssistantDelta,
    AssistantMessage,
    BudgetSpent,
    ClaimMade,
    Compacted,
    ContextActed,
    ContextFilled,
    Event,
    HookRan,
    Intervention,
    ModelCall,
    RateLimited,
    Reasoning,
    SessionOpened,
    SessionResumed,
    TalkedOnly,
    Terminal,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
    UserMessage,
    parse_event,
)

ENDED_BY_WATCHDOG = ("watchdog", "end")
"""`by` and `action` of the intervention that ends a turn."""
RESUMED_BY_WATCHDOG = ("watchdog", "resume")
"""Of the one that ends a process which hangs, so that another goes on in its session."""
_MOST_INTERVENTIONS = 1000
_SPOKEN = (
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
    ContextFilled,
    TalkedOnly,
    RateLimited,
    ApiRetried,
    Compacted,
    TurnEnded,
    AgentMessage,
)
"""What drivers emit."""
_KNOWN = frozenset(
    kind.event
    for kind in (
        AgentStarted,
        AgentExited,
        BudgetSpent,
        ClaimMade,
        ContextActed,
        Intervention,
        SessionResumed,
        Terminal,
        UserMessage,
        *_SPOKEN,
    )
)


@dataclass
class History:
    """Rounds by what is in the ledger about them."""

    told: set[int] = field(default_factory=set)
    """The agent was told what to do."""
    started: Counter[int] = field(default_factory=Counter)
    """How many processes began."""
    exited: Counter[int] = field(default_factory=Counter)
    """How many of them ended."""
    resumed: Counter[int] = field(default_factory=Counter)
    """How many were announced as a further one of the round."""
    carried: bool = False
    """That the agent goes on in a session of another sandbox was announced."""
    spoken: list[Event] = field(default_factory=list)
    """What the driver emitted of the process that began last, if that has not ended."""
    ended_by_us: dict[int, str] = field(default_factory=dict)
    """Why the watchdog ended it."""
    planned: Counter[int] = field(default_factory=Counter)
    """How many of those that were announced were so for the agent's context."""
    purpose: dict[int, str] = field(default_factory=dict)
    """What the last one that was announced is for; empty: the one before it hung or died."""
    acts: dict[int, list[ContextActed]] = field(default_factory=dict)
    """What was done about the agent's context."""
    served: Counter[int] = field(default_factory=Counter)
    """For how many of these acts another process was announced."""
    overspent: BudgetSpent | None = None
    """By its own count the budget was spent."""
    heard: list[str] = field(default_factory=list)
    """What persons told the process that began last."""
    hung: str = ""
    """Why the watchdog ended the process that began last, so that another goes on."""
    claims: dict[int, ClaimMade] = field(default_factory=dict)
    """What it said at the end."""
    terminal_bytes: int = 0
    """Output up to this offset is noted."""
    last_prompt: str = ""
    """What the agent was told last."""
    interventions: deque[Intervention] = field(default_factory=lambda: deque(maxlen=_MOST_INTERVENTIONS))
    """The last of them, those before the checkpoint that this sandbox began from included."""
    interventions_so_far: int = 0

    def unserved(self, number: int) -> ContextActed | None:
        """What is to be done about the agent's context, where no process was announced for it yet."""
        acts = [event for event in self.acts.get(number, ()) if event.act is not ContextAct.STOP]
        return acts[-1] if len(acts) > self.served[number] else None

    def note(self, events: Iterable[Event]) -> None:
        """What a checkpoint tells of: also of events that were recorded in this life."""
        for event in events:
            match event:
                case UserMessage(text=text):
                    self.last_prompt = text
                case Intervention():
                    self.interventions.append(event)
                    self.interventions_so_far += 1
                case SessionResumed(round=number, purpose=purpose):
                    self.planned[number] += bool(purpose)
                    self.served[number] += purpose in ("compact", "summarise")
                    self.purpose[number] = purpose
                case ContextActed(round=number, act=act):
                    self.acts.setdefault(number, []).append(event)
                    if act is ContextAct.STOP:
                        self.ended_by_us.setdefault(number, event.why)
                case BudgetSpent():
                    self.overspent = event
                    self.ended_by_us.setdefault(event.round, event.reason)
                case _:
                    pass

    def take(self, events: Iterable[Event], driver: Driver) -> None:
        """Takes up events in the order of the ledger. The driver learns of processes that have ended."""
        for event in events:
            self.note((event,))
            match event:
                case UserMessage(round=number, text=text, by=by):
                    self.told.add(number)
                    if by:
                        self.heard.append(text)
                case AgentStarted(round=number):
                    self.started[number] += 1
                    self.hung = ""
                    self.heard.clear()
                    self.spoken.clear()
                case AgentExited(round=number):
                    self.exited[number] += 1
                    driver.memory.begin(number)
                    driver.recall(self.spoken)
                    self.spoken.clear()
                case SessionResumed(round=number, number=index):
                    self.carried |= index == 0
                    self.resumed[number] = index
                case Intervention(by=by, action=action, detail=why) if (by, action) == ENDED_BY_WATCHDOG:
                    self.ended_by_us[max(self.told)] = why
                case Intervention(by=by, action=action, detail=why) if (by, action) == RESUMED_BY_WATCHDOG:
                    self.hung = why
                case ClaimMade(round=number):
                    self.claims[number] = event
                case Terminal(start=start, size=size):
                    self.terminal_bytes = start + size
                case _ if isinstance(event, _SPOKEN):
                    self.spoken.append(event)
                case _:
                    pass


async def read_history(
    lines: AsyncIterable[bytes], driver: Driver, earlier: Iterable[Intervention] = ()
) -> History:
    """A ledger from its first record on, after what `earlier` attempts had to tell."""
    history = History()
    history.note(earlier)
    async for line in lines:
        record = decode(line)
        if record.event in _KNOWN:
            history.take((parse_event(record.event, record.payload),), driver)
    return history
