"""Looks through what an agent is told, says and shows, as it is recorded, and tells what a person should know. Pure.

Bounded in time, by the size of what is looked at, and in number: each finding is told once for each text that says it, and of
many only the first. What is told never holds what was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from axiom_sandbox.protocol.events import (
    AgentMessage,
    AssistantMessage,
    ClaimMade,
    Event,
    HookRan,
    Reasoning,
    Signal,
    SignalKind,
    ToolCall,
    ToolReturn,
    TurnEnded,
)
from axiom_sandbox.secrets.masking import seen
from axiom_sandbox.secrets.scanning import Scanner
from axiom_sandbox.signals.injections import Detector

MOST = 200
"""Signals of one sandbox that are told."""
_LONGEST = 256 * 1024
"""Characters of a text that are looked through for secrets."""
_LONGEST_LINE = 16 * 1024
"""Characters of a terminal's line that wait for its end."""
TERMINAL = "terminal"
_PLACE_OF_FILES = "workspace:"
_PLACE_OF_PAGES = "page:"
_LONGEST_ADDRESS = 1000


class _Text(NamedTuple):
    """Something to look through."""

    place: str
    text: str
    is_told: bool
    """It was told to the model: only then can it talk it into something."""


class Sentry:
    """Of one sandbox."""

    def __init__(self, scanner: Scanner, detector: Detector) -> None:
        self._scanner, self._detector = scanner, detector
        self._told: set[tuple[str, str]] = set()
        self._count = 0
        self._line, self._at = "", 0
        """What of the terminal's present line was shown, and where it begins."""

    def look(self, event: Event, seq: int, round: int) -> list[Signal]:
        """What is in an event that was recorded under this number."""
        found = list[Signal]()
        for text in _texts_of(event):
            found += self._look(text, seq, round)
        return found

    def look_at_file(self, path: str, text: str, round: int) -> list[Signal]:
        """What is in a file that the agent was given: injections. Its secrets are whose file it is."""
        return list(self._injections(f"{_PLACE_OF_FILES}{path}", text, 0, round, 0))

    def look_at_page(self, url: str, text: str, round: int) -> list[Signal]:
        """What is in a page that was fetched, as it came, with what a reader does not see: injections."""
        return list(self._injections(f"{_PLACE_OF_PAGES}{url[:_LONGEST_ADDRESS]}", text, 0, round, 0))

    def look_at_terminal(self, text: str, round: int) -> list[Signal]:
        """What is in the next stretch of a terminal's output. A line that is not over yet is looked at with what follows."""
        shown = self._line + text
        end = shown.rfind("\n") + 1
        whole, self._line = shown[:end], shown[end:]
        if len(self._line) > _LONGEST_LINE:
            whole, self._line = shown[: -_LONGEST_LINE // 4], shown[-_LONGEST_LINE // 4 :]
        begun, self._at = self._at, self._at + len(whole)
        if not whole:
            return []
        text, _, _ = seen(whole)
        found = [*self._secrets(TERMINAL, text, 0, round, begun)]
        return [*found, *self._injections(TERMINAL, text, 0, round, begun)]

    def finish_terminal(self, round: int) -> list[Signal]:
        """What is in a last line without an end."""
        return self.look_at_terminal("\n", round) if self._line else []

    def _look(self, text: _Text, seq: int, round: int) -> Iterator[Signal]:
        yield from self._secrets(text.place, text.text[:_LONGEST], seq, round, 0)
        if text.is_told:
            yield from self._injections(text.place, text.text, seq, round, 0)

    def _secrets(self, place: str, text: str, seq: int, round: int, offset: int) -> Iterator[Signal]:
        for span in self._scanner.spans(text)[0]:
            said = text[span.start : span.end]
            yield from self._signal(
                SignalKind.SECRET, span.kind, place, seq, round, offset + span.start, said
            )

    def _injections(self, place: str, text: str, seq: int, round: int, offset: int) -> Iterator[Signal]:
        for one in self._detector.find(text):
            said = text[one.start : one.end]
            yield from self._signal(
                SignalKind.INJECTION, one.rule, place, seq, round, offset + one.start, said
            )

    def _signal(
        self, kind: SignalKind, rule: str, place: str, seq: int, round: int, start: int, said: str
    ) -> Iterator[Signal]:
        digest = sha256(said.encode(errors="replace")).hexdigest()[:16]
        if (rule, digest) in self._told:
            return
        self._told.add((rule, digest))
        self._count += 1
        if self._count < MOST or self._count.bit_count() == 1:
            yield Signal(
                round=round,
                kind=kind,
                rule=rule,
                place=place,
                seq=seq,
                start=start,
                size=len(said),
                digest=digest,
                suppressed=max(self._count - MOST, 0),
            )
        if len(self._told) > 100 * MOST:
            self._told.clear()


def _texts_of(event: Event) -> Iterator[_Text]:
    match event:
        case ToolReturn(text=text):
            yield _Text(event.event, text, is_told=True)
        case HookRan(text=text):
            yield _Text(event.event, text, is_told=True)
        case AssistantMessage(text=text) | Reasoning(text=text) | TurnEnded(text=text):
            yield _Text(event.event, text, is_told=False)
        case AgentMessage(content=text):
            yield _Text(event.event, text, is_told=False)
        case ToolCall(input=given):
            yield _Text(event.event, json.dumps(given, ensure_ascii=False), is_told=False)
        case ClaimMade(claim=claim):
            yield _Text(event.event, claim.text, is_told=False)
        case _:
            pass
