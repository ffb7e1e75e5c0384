"""What an earlier life of this supervisor recorded: read once after a restart, so that nothing is said or done twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from axiom_sandbox.ledger.ledger import Ledger
from axiom_sandbox.ledger.records import decode
from axiom_sandbox.protocol.events import (
    AgentStarted,
    ClaimMade,
    Event,
    Intervention,
    Terminal,
    UserMessage,
    parse_event,
)
from axiom_sandbox.protocol.verdicts import Claim

ENDED_BY_WATCHDOG = ("watchdog", "end")
"""`by` and `action` of the intervention that ends a turn."""
_KNOWN = frozenset(kind.event for kind in (AgentStarted, ClaimMade, Intervention, Terminal, UserMessage))


@dataclass
class History:
    """Rounds by what is in the ledger about them."""

    told: set[int] = field(default_factory=set)
    """The agent was told what to do."""
    started: set[int] = field(default_factory=set)
    """Its process began."""
    ended_by_us: dict[int, str] = field(default_factory=dict)
    """Why the watchdog ended it."""
    claims: dict[int, Claim] = field(default_factory=dict)
    """What it said at the end."""
    terminal_bytes: int = 0
    """Output up to this offset is noted."""

    def take(self, events: Iterable[Event]) -> None:
        """Takes up events in the order of the ledger."""
        for event in events:
            match event:
                case UserMessage(round=number):
                    self.told.add(number)
                case AgentStarted(round=number):
                    self.started.add(number)
                case Intervention(by=by, action=action, detail=why) if (by, action) == ENDED_BY_WATCHDOG:
                    self.ended_by_us[max(self.told)] = why
                case ClaimMade(round=number, claim=claim):
                    self.claims[number] = claim
                case Terminal(start=start, size=size):
                    self.terminal_bytes = start + size
                case _:
                    pass


async def read_history(ledger: Ledger) -> History:
    """Everything that is durable now."""
    history, last = History(), ledger.head.records
    if last:
        async for line in ledger.lines():
            record = decode(line)
            if record.event in _KNOWN:
                history.take((parse_event(record.event, record.payload),))
            if record.seq >= last:
                break
    return history
