"""Drivers whose agent speaks in JSON, one object a line: reading, coalescing, and what is unknown kept whole."""

from __future__ import annotations

import json
import math
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

from axiom_sandbox.drivers.contract import Driver, Place, Step, Turn, UnsupportedError
from axiom_sandbox.drivers.lines import Line, LineReader
from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import (
    AgentMessage,
    ApprovalAsked,
    ApprovalGiven,
    AssistantDelta,
    AssistantMessage,
    Event,
    Reasoning,
)

MOST_TEXT = 256 * 1024
"""Characters of one text that an event keeps."""
_MOST_DELTA = 4096
_DENIED = "This tool may not be used in this task."
_MALFORMED = "malformed"
_OTHER = "other"
_MOST_KINDS = 200
_MOST_OF_A_KIND = 1_000
_MOST_ODD_BYTES = 32 * 2**20
_LITTLE = 4096
_DEEPEST = 100
"""Levels of nesting, as deep as a record may be written."""
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonLinesDriver(Driver):
    """A structured driver. A subclass says what each message means (`receive`), and speaks with `say`."""

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self._lines = LineReader()
        self._outgoing = bytearray()
        self._delta = ""
        self._reasoning = False
        self._odd: Counter[str] = Counter()
        self._odd_bytes = 0

    @abstractmethod
    def receive(self, message: dict[str, Any]) -> Iterable[Event] | None:
        """One message → its events; None: it is not known, and is kept whole. May call `say`.

        KeyError, TypeError, ValueError and AttributeError (pydantic's ValidationError is a ValueError) say that the message
        is not of the form that it should have: then it is kept whole, too, behind what was made of it before that was found.
        """

    @abstractmethod
    def open(self, turn: Turn) -> Iterable[Event]:
        """A process begins that has been told nothing: says, with `say`, what it is to be told."""

    def say(self, message: dict[str, Any]) -> None:
        """Queues a message for the agent."""
        self._outgoing += json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"

    def delta(self, text: str, reasoning: bool = False) -> Iterable[Event]:
        """A piece of the model's text: held back until there is more of it, or something else."""
        if reasoning is not self._reasoning:
            yield from self._held_back()
        self._reasoning = reasoning
        self._delta += text
        while len(self._delta) >= _MOST_DELTA:
            piece, self._delta = self._delta[:_MOST_DELTA], self._delta[_MOST_DELTA:]
            yield AssistantDelta(round=self.memory.round, text=piece, reasoning=reasoning)

    def given(self, question: str, decision: Decision) -> tuple[ApprovalAsked, ApprovalGiven]:
        """What is asked, and what it is answered. Raises UnsupportedError if it is not open, or the decision leaves it open."""
        asked = self.memory.questions.get(question)
        if asked is None or decision.permission is Permission.ASK:
            raise UnsupportedError(
                f"no approval {question!r} is open that could be answered {decision.permission}"
            )
        answered = ApprovalGiven(
            round=self.memory.round,
            id=question,
            permission=decision.permission,
            by=decision.by,
            message=decision.message or (_DENIED if decision.permission is Permission.DENY else ""),
            for_session=decision.for_session,
        )
        return asked, answered

    # --- the contract -----------------------------------------------------------------------------------------

    def begin(self, turn: Turn) -> Step:
        """Forgets the last process and opens the conversation with the new one."""
        self._lines, self._delta, self._outgoing = LineReader(), "", bytearray()
        self._odd, self._odd_bytes = Counter(), 0
        self.memory.begin(turn.round)
        return self.step(self.open(turn))

    def parse(self, data: bytes) -> Step:
        """Line by line."""
        return self.step(chain.from_iterable(map(self._line, self._lines.feed(data))))

    def flush(self) -> Step:
        """The model's text so far."""
        return self.step(self._held_back())

    def ended(self) -> Step:
        """The last line may lack its end."""
        last = self.step(chain.from_iterable(map(self._line, self._lines.finish())))
        return last + super().ended()

    def step(self, events: Iterable[Event]) -> Step:
        """Events as they are made, each remembered before the next is, and what was said meanwhile."""
        kept: list[Event] = []
        for event in events:
            if isinstance(event, AssistantMessage | Reasoning) and event.text.endswith(self._delta):
                self._delta = ""  # all of it is said here
            elif not isinstance(event, AssistantDelta):
                kept += self.keep(self._held_back()).events
            kept += self.keep((event,)).events
        said, self._outgoing = bytes(self._outgoing), bytearray()
        return Step(tuple(kept), said)

    # --- one line ---------------------------------------------------------------------------------------------

    def _line(self, line: Line) -> Iterable[Event]:
        """What it comes to. Lazily: each event is remembered before the next is made."""
        message = _object(line)
        if message is None:
            yield from self._unknown(_MALFORMED, line)
            return
        try:
            if (events := self.receive(message)) is not None:
                yield from events
                return
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            pass  # not of the form that it should have
        yield from self._unknown(self.kind_of(message), line)

    def kind_of(self, message: dict[str, Any]) -> str:
        """What the agent calls this kind of message."""
        return str(message.get("type") or message.get("method") or "")[:128]

    def _unknown(self, kind: str, line: Line) -> Iterable[Event]:
        """Kept whole, unless the agent repeats without end what nobody understands: then ever more rarely, and counted."""
        kind = clean(kind) if kind in self._odd or len(self._odd) < _MOST_KINDS else _OTHER
        self._odd[kind] += 1
        count, most = self._odd[kind], MOST_TEXT
        if count > _MOST_OF_A_KIND or self._odd_bytes > _MOST_ODD_BYTES:
            if count.bit_count() != 1:
                return
            most = _LITTLE
        content = clean(line.data.decode(errors="replace"))[:most]
        self._odd_bytes += len(content)
        yield AgentMessage(round=self.memory.round, kind=kind, content=content, size=line.size, count=count)

    def _held_back(self) -> Iterable[Event]:
        if self._delta:
            text, self._delta = self._delta, ""
            yield AssistantDelta(round=self.memory.round, text=text, reasoning=self._reasoning)


def _object(line: Line) -> dict[str, Any] | None:
    """The message, made of what a ledger can hold alone: no lone surrogates, no number that is none."""
    if not line.readable or not line.data.lstrip().startswith(b"{"):
        return None
    text = line.data.decode(errors="replace")
    try:
        message = _parsed(text)
        if _ESCAPED_SURROGATE.search(text):
            message = _parsed(clean(json.dumps(message, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and _is_flat_enough(message) else None


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=_float, parse_constant=str)


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _is_flat_enough(message: dict[str, Any]) -> bool:
    level: list[Any] = [message]
    for _ in range(_DEEPEST):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False


def clean(text: str) -> str:
    """Text without lone surrogates, which no ledger can hold."""
    return text.encode("utf-8", "replace").decode()


def text_of(value: object) -> str:
    """A text for an event: as it is, or as JSON; what is too long loses its middle."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = clean(text)
    if len(text) <= MOST_TEXT:
        return text
    half = MOST_TEXT // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"


def input_of(value: object) -> dict[str, Any]:
    """A tool's input for an event: as it is if it fits, else its beginning as text."""
    if isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False)
        if len(text) <= MOST_TEXT:
            return value
    return {"text": text_of(value)}
