"""Asks whoever started `axiom run` in a terminal whether the agent may use a tool.

Without a terminal nobody is asked here: the status says how to answer from elsewhere, which works beside a terminal, too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from axiom.api.agenttask import AgentTaskStatus, QuestionStatus
from axiom.channel import ChannelError
from axiom.planning.intervening import Approve, CannotInterveneError, Wish

_HOW = (
    "allow it? y: yes, s: for the session, n: no; what follows is told to the agent (n use the other branch)"
)
_WORDS = {
    "y": (False, False),
    "yes": (False, False),
    "s": (False, True),
    "session": (False, True),
    "n": (True, False),
    "no": (True, False),
}


def answer_of(line: str, question: str) -> Approve | None:
    """What a line that was typed means; None: nothing. Pure."""
    word, _, message = line.strip().partition(" ")
    if word.lower() not in _WORDS:
        return None
    deny, for_session = _WORDS[word.lower()]
    return Approve(question=question, deny=deny, for_session=for_session, message=message.strip())


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class Asker:
    """Puts the questions of a status to a person, one after the other, and passes their answers on."""

    def __init__(self, say: Callable[[str], None], do: Callable[[Wish], Awaitable[str]]) -> None:
        self._say, self._do = say, do
        self._open: list[QuestionStatus] = []
        self._asked = ""
        self._typed = b""
        self._answering: set[asyncio.Task[None]] = set()

    def __call__(self, status: AgentTaskStatus) -> None:
        """The task has this status now."""
        self._open = list(status.questions)
        self._ask()

    @contextmanager
    def listening(self, descriptor: int = 0) -> Iterator[None]:
        """Reads what is typed, for as long as the context is open."""
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, self._read, descriptor)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)
            for answering in self._answering:
                answering.cancel()

    def _ask(self) -> None:
        if not self._open:
            self._asked = ""
        elif self._asked != self._open[0].id:
            self._asked = self._open[0].id
            self._say(f"{self._open[0].tool}: {self._open[0].summary}")
            self._say(_HOW)

    def _read(self, descriptor: int) -> None:
        data = os.read(descriptor, 4096)
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
            return
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            self._heard(line.decode(errors="replace"))

    def _heard(self, line: str) -> None:
        if not self._asked:
            return
        wish = answer_of(line, self._asked)
        if wish is None:
            self._say(_HOW)
            return
        answering = asyncio.ensure_future(self._answer(wish))
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)

    async def _answer(self, wish: Approve) -> None:
        try:
            self._say(await self._do(wish))
        except (CannotInterveneError, ChannelError) as error:
            self._say(str(error))
