"""From an agent's ledger to its `Conduct`: the calls of tools with their returns, and the words, each cut to a size.

What the ledger says is taken up once, before it may leave the sandbox, and is bounded.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from axiom_sandbox.ledger.ledger import Ledger
from axiom_sandbox.ledger.records import decode
from axiom_sandbox.protocol.agents import Statement
from axiom_sandbox.protocol.conduct import Conduct, Noticed, ToolUse, Touched, Words
from axiom_sandbox.protocol.events import (
    FILES,
    AssistantMessage,
    CheckpointRestored,
    ClaimMade,
    Event,
    FilesChanged,
    Gap,
    SessionOpened,
    SessionResumed,
    Signal,
    ToolCall,
    ToolReturn,
    TurnEnded,
    parse_event,
)

_KINDS = (
    ToolCall,
    ToolReturn,
    AssistantMessage,
    TurnEnded,
    ClaimMade,
    SessionOpened,
    SessionResumed,
    CheckpointRestored,
    Signal,
    FilesChanged,
    Gap,
)
_MARKS = tuple(f'"event":"{kind.event}"'.encode() for kind in _KINDS)
_HEAD = 600
"""Bytes of a line within which its event is named."""
_INPUT, _TEXT, _WORDS = 16_384, 8_192, 32_768
MAX_TOOLS = 2_000
MAX_WORDS = 500
MAX_SIGNALS = 1_000
MAX_TOUCHED = 10_000
MAX_FILE_GAPS = 1_000
_PATHS = 1_000_000
"""Characters of paths that changed."""
_BUDGET = 8_000_000
"""Characters of inputs, texts and words together, so that also as JSON it stays below MAX_CONDUCT."""


class Recollection:
    """Takes up records in the order of the ledger. Pure."""

    def __init__(self) -> None:
        self._final = (0, "")
        self._models: dict[str, None] = {}
        self._tools: dict[str, ToolUse] = {}
        self._done: list[ToolUse] = []
        self._words: list[Words] = []
        self._signals: list[Noticed] = []
        self._statements: tuple[Statement, ...] = ()
        self._gaps = self._dropped = self._words_dropped = 0
        self._touched: list[Touched] = []
        self._file_gaps: list[int] = []
        self._passing, self._begun_elsewhere = 0, False
        self._left, self._left_of_paths = _BUDGET, _PATHS

    def final_message(self, round: int) -> str | None:
        """What an agent that is spoken with said last in this round, the last so far; None: it said nothing, or is not spoken with."""
        number, text = self._final
        return text if number == round else None

    def take(self, seq: int, event: Event) -> None:
        """One record."""
        match event:
            case ToolCall(id=identifier):
                self._called(seq, identifier, event)
            case ToolReturn(id=identifier):
                self._returned(seq, identifier, event)
            case AssistantMessage(round=number, text=text) | TurnEnded(round=number, text=text) if text:
                self._said(seq, number, text)
            case ClaimMade(statements=statements):
                self._statements = statements
            case SessionOpened(model=model) if model:
                self._models[model] = None
            case Signal() if len(self._signals) < MAX_SIGNALS:
                kept = event.model_dump(include=set(Noticed.model_fields) - {"seq"})
                self._signals.append(Noticed(seq=seq, **kept))
            case FilesChanged():
                self._changed(seq, event)
            case Gap(what="conversation"):
                self._gaps += 1
            case Gap(what=what) if what == FILES:
                self._unlisted(seq)
            case SessionResumed(number=0) | CheckpointRestored(ok=True):
                self._begun_elsewhere = True
            case _:
                pass

    def conduct(self, speaks: bool) -> Conduct:
        """All of it; `speaks` is whether the agent tells what it does."""
        tools = sorted([*self._done, *self._tools.values()], key=lambda use: use.seq)
        return Conduct(
            speaks=speaks,
            models=tuple(self._models),
            tools=tuple(tools),
            watched=True,
            files=tuple(self._touched),
            file_gaps=tuple(self._file_gaps),
            passing=self._passing,
            begun_elsewhere=self._begun_elsewhere,
            words=tuple(self._words),
            statements=self._statements,
            signals=tuple(self._signals),
            gaps=self._gaps,
            dropped=self._dropped,
            words_dropped=self._words_dropped,
        )

    def _called(self, seq: int, identifier: str, call: ToolCall) -> None:
        if earlier := self._tools.pop(identifier, None):
            self._done.append(earlier)
        given = self._fitting(json.dumps(call.input, ensure_ascii=False), _INPUT)
        if given is None or len(self._tools) + len(self._done) >= MAX_TOOLS:
            self._dropped += 1
            return
        self._tools[identifier] = ToolUse(seq=seq, round=call.round, tool=call.tool, input=given)

    def _returned(self, seq: int, identifier: str, result: ToolReturn) -> None:
        use = self._tools.pop(identifier, None)
        if use is None:
            return
        found = {"ok": result.ok and not result.lost, "exit_code": result.exit_code}
        text = self._fitting(result.text, _TEXT) or ""
        returned = None if result.lost else seq
        self._done.append(use.model_copy(update={**found, "returned": returned, "text": text}))

    def _changed(self, seq: int, event: FilesChanged) -> None:
        self._passing += event.passing
        for change in event.changes:
            self._left_of_paths -= len(change.path)
            if len(self._touched) >= MAX_TOUCHED or self._left_of_paths < 0:
                self._unlisted(seq)
                return
            self._touched.append(Touched(seq=seq, path=change.path, digest=change.digest))

    def _unlisted(self, seq: int) -> None:
        """The last one stands for all that follow."""
        if len(self._file_gaps) >= MAX_FILE_GAPS:
            self._file_gaps.pop()
        self._file_gaps.append(seq)

    def _said(self, seq: int, number: int, text: str) -> None:
        self._final = (number, text)
        if self._words and self._words[-1].text == text[:_WORDS]:
            return  # the end of a turn repeats its last message
        kept = self._fitting(text, _WORDS)
        if kept is None or len(self._words) >= MAX_WORDS:
            self._words_dropped += 1
            return
        self._words.append(Words(seq=seq, round=number, text=kept))

    def _fitting(self, text: str, most: int) -> str | None:
        kept = text[:most].encode("utf-8", "replace").decode()
        if len(kept) > self._left:
            return None
        self._left -= len(kept)
        return kept


class Account:
    """What the ledger says of the agent, up to one of its records."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._recollection, self._reading = ledger, Recollection(), asyncio.Lock()
        self.records = 0
        """Up to this record."""

    def take(self, line: bytes) -> None:
        """The line that follows."""
        if any(mark in line[:_HEAD] for mark in _MARKS):
            record = decode(line)
            self._recollection.take(record.seq, parse_event(record.event, record.payload))
        self.records += 1

    async def catch_up(self, last: int) -> None:
        """Takes up what is durable, up to this record. Raises SegmentsLeftError where some of that is not here any more."""
        async with self._reading:
            if self.records >= last:
                return
            async for line in self._ledger.lines(self.records + 1):
                self.take(line)
                if self.records >= last:
                    return

    async def write_conduct(self, speaks: bool, target: Path) -> None:
        """Everything that is durable now."""
        await self.catch_up(self._ledger.head.records)
        target.write_text(self._recollection.conduct(speaks).model_dump_json())

    async def final_message(self, round: int) -> str | None:
        """As `Recollection.final_message`, of everything that is durable now."""
        await self.catch_up(self._ledger.head.records)
        return self._recollection.final_message(round)
