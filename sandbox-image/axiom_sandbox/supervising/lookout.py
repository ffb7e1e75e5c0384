"""Looks through what an agent reads, says and shows; what a person should know of it is told in records of its own."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from axiom_sandbox.protocol.events import Event
from axiom_sandbox.secrets.scanning import Scanner
from axiom_sandbox.signals.injections import Detector
from axiom_sandbox.signals.sentry import Sentry
from axiom_sandbox.snapshots.texts import texts_of


class Lookout:
    """Of one agent's sandbox."""

    def __init__(self, record: Callable[..., Awaitable[object]], round_now: Callable[[], int]) -> None:
        self._record, self._round = record, round_now
        self._sentry = Sentry(Scanner(), Detector())
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    async def look_at(self, events: Sequence[Event], last: int) -> None:
        """At records, after they were made; `last` is the number of the last of them."""
        number, first = self._round(), last - len(events) + 1
        found = [
            signal
            for seq, event in enumerate(events, first)
            for signal in self._sentry.look(event, seq, number)
        ]
        if found:
            await self._record(*found)

    async def look_at_terminal(self, data: bytes) -> None:
        """At what was shown; nothing is the end of a process, and so of its last line."""
        text, number = self._decoder.decode(data, final=not data), self._round()
        found = await asyncio.to_thread(self._sentry.look_at_terminal, text, number)
        if not data:
            found += self._sentry.finish_terminal(number)
        if found:
            await self._record(*found)

    async def look_at_base(self, archive: Path) -> None:
        """While the agent works already: what it reads first is there, and what is found is for others."""
        texts = texts_of(archive)
        while one := await asyncio.to_thread(next, texts, None):
            path, text = one
            if found := await asyncio.to_thread(self._sentry.look_at_file, path, text, 0):
                await self._record(*found)
