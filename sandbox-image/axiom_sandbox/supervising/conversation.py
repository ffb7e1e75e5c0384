"""The talk with an agent: reads for its driver, records what that finds, decides approvals, and answers; here over pipes.

What the agent said is on disk before anything is made of it, and what is made of it is in the ledger before the agent is
answered.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable

from axiom_sandbox.drivers.contract import Driver, Step, Turn, UnsupportedError
from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.events import (
    ApiRetried,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalWithdrawn,
    AssistantDelta,
    ContextFilled,
    Event,
    Gap,
    Intervention,
    ModelCall,
    RateLimited,
    SessionOpened,
    TalkedOnly,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)
from axiom_sandbox.supervising.descriptors import read_some, write_all
from axiom_sandbox.supervising.spool import Spool

_FLUSH_SECONDS = 0.5
_SHORTEST_ANSWER = 0.01
"""Seconds; what came faster was read in one piece, and its pace is not known."""
MOST_RECORDED_BYTES = 256 * 2**20
"""Of what a process says so much is recorded in full; later only what decides something."""
_DECIDING = (
    SessionOpened,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalWithdrawn,
    RateLimited,
    ApiRetried,
    Usage,
    ModelCall,
    ContextFilled,
    TalkedOnly,
    TurnEnded,
)


class Talk(ABC):
    """With one process, on whatever way."""

    def __init__(
        self,
        driver: Driver,
        record: Callable[..., Awaitable[int]],
        on_settled: Callable[[], Awaitable[object]],
        clock: Callable[[], float],
        decide: Callable[[ApprovalAsked], Decision],
    ) -> None:
        self._driver, self._record, self._on_settled, self._clock = driver, record, on_settled, clock
        self._decide = decide
        self._called: dict[str, float] = {}
        self._since, self._thinking = clock(), 0.0
        """When the last event came, and for how long the model was asked since it was last told what it wrote."""
        self._read = self._dropped = 0
        self.output_per_second: int | None = None
        """In the last call of the model; None: not known yet."""
        self._order = asyncio.Lock()
        self.over = asyncio.Event()
        """The agent has said that its turn is over, or its driver has nothing more to say to it."""
        self.hung_up = asyncio.Event()
        """Nothing more will be said to it."""

    @abstractmethod
    async def run(self) -> None:
        """Reads until there is nothing more to read. Raises whatever `record` raises."""

    @abstractmethod
    async def take_up(self, turn: Turn, recorded: Iterable[Event]) -> bool:
        """Goes on where an earlier life of this process was; whether nothing of what the agent said is lost.

        `recorded` is what the ledger holds of this process.
        """

    @abstractmethod
    async def say(self, step: Step) -> None:
        """Tells the agent what the step has for it."""

    @abstractmethod
    async def told(self) -> None:
        """Waits until the agent has taken what it was to be told first."""

    async def do(self, ask: Callable[[], Step]) -> None:
        """Has the driver say something. Raises UnsupportedError."""
        async with self._order:
            await self._take(ask())
            await self._on_settled()

    async def answer(self, question: str, decision: Decision) -> None:
        """A person's answer, with all others that it allows for the session. One that comes too late is recorded as that."""
        try:
            await self.do(lambda: self._driver.answer(question, decision))
            async with self._order:
                await self._settle(tuple(self._driver.memory.questions.values()))
        except UnsupportedError as error:
            await self._record(Intervention(by=decision.by, action="answer", detail=f"not given: {error}"))

    async def ended(self) -> None:
        """The process has gone: records what had not been said whole."""
        await self.do(self._driver.ended)
        if self._dropped:
            reason = f"the agent said too much; {self._dropped:,} events that decide nothing are left out"
            start, end = MOST_RECORDED_BYTES, self._read
            await self._record(
                Gap(what="conversation", start=start, end=end, size=end - start, reason=reason)
            )

    # --- one step ---------------------------------------------------------------------------------------------

    async def _take(self, step: Step) -> None:
        await self._record_and_mind(step.events)
        await self.say(step)
        await self._settle([event for event in step.events if isinstance(event, ApprovalAsked)])

    async def _record_and_mind(self, events: Iterable[Event]) -> None:
        timed = [self._timed(event) for event in events]
        if self._read > MOST_RECORDED_BYTES:
            deciding: list[Event] = [event for event in timed if isinstance(event, _DECIDING)]
            self._dropped += len(timed) - len(deciding)
            timed = deciding
        if timed:
            await self._record(*timed)
        if any(isinstance(event, TurnEnded) for event in timed):
            self.over.set()

    async def _settle(self, asked: Iterable[ApprovalAsked]) -> None:
        """Answers by policy what it answers; for the rest a person is waited for."""
        for question in asked:
            decision = self._decide(question)
            if decision.permission is not Permission.ASK and question.id in self._driver.memory.questions:
                await self._take(self._driver.answer(question.id, decision))

    def _timed(self, event: Event) -> Event:
        """With what a driver cannot know, as it has no clock."""
        now, waited = self._clock(), not self._called
        self._thinking, self._since = self._thinking + (now - self._since if waited else 0), now
        match event:
            case ModelCall():
                thinking, self._thinking = self._thinking, 0.0
                written = event.tokens.output
                if written and thinking >= _SHORTEST_ANSWER:
                    self.output_per_second = round(written / thinking)
                    return event.model_copy(update={"output_per_second": self.output_per_second})
            case ToolCall():
                self._called[event.id] = self._clock()
            case ToolReturn() if (began := self._called.pop(event.id, None)) is not None:
                return event.model_copy(update={"duration_ms": round((self._clock() - began) * 1000)})
            case _:
                pass
        return event


class Conversation(Talk):
    """Over pipes. Owns both descriptors."""

    def __init__(
        self,
        driver: Driver,
        stdin: int | None,
        stdout: int,
        spool: Spool,
        record: Callable[..., Awaitable[int]],
        on_heard: Callable[[int], None],
        on_settled: Callable[[], Awaitable[object]],
        clock: Callable[[], float],
        decide: Callable[[ApprovalAsked], Decision],
    ) -> None:
        super().__init__(driver, record, on_settled, clock, decide)
        self._stdin, self._stdout, self._spool = stdin, stdout, spool
        self._on_heard = on_heard
        self._outgoing: asyncio.Queue[Step] = asyncio.Queue()
        if stdin is None:
            self.hung_up.set()

    async def run(self) -> None:
        """Until the agent closes its side. Raises whatever `record` raises."""
        writing = asyncio.ensure_future(self._write())
        flushing = asyncio.ensure_future(self._flush())
        try:
            while data := await read_some(self._stdout):
                self._spool.append(data)
                self._read += len(data)
                self._on_heard(len(data))
                await self.do(lambda data=data: self._driver.parse(data))  # type: ignore[misc]
        finally:
            for task in (writing, flushing):
                task.cancel()
            try:
                await asyncio.gather(writing, flushing, return_exceptions=True)
            finally:
                self._close()

    def _close(self) -> None:
        """Whatever ends the talk, the agent must not be left with a reader or writer that is none."""
        for descriptor in (self._stdin, self._stdout):
            if descriptor is not None:
                os.close(descriptor)
        self._stdin = None
        self.hung_up.set()
        self._spool.close()

    async def take_up(self, turn: Turn, recorded: Iterable[Event]) -> bool:
        """Goes on where an earlier life of this process was; whether nothing of what the agent said is lost.

        `recorded` is what the ledger holds of this process. What the agent said is read anew, and what it comes to beyond
        that is new.
        """
        known = list(recorded)
        said = self._spool.whole
        answered_last = _given_at_the_end(known)
        if said is None:
            self._driver.resume(turn)
            self._driver.recall(known[: len(known) - answered_last])
        else:
            self._driver.begin(turn)
            found = self._driver.parse(said)
            seen = sum(not isinstance(event, AssistantDelta | ApprovalGiven) for event in known)
            lasting = [event for event in found.events if not isinstance(event, AssistantDelta)]
            given = [event for event in known if isinstance(event, ApprovalGiven)]
            self._driver.recall(given[: len(given) - answered_last])
            await self._record_and_mind(lasting[seen:])
        async with self._order:
            await self._settle(tuple(self._driver.memory.questions.values()))
        if self._driver.memory.outcome:
            self.over.set()
        return said is not None

    async def say(self, step: Step) -> None:
        """In its turn."""
        if step.write or step.close:
            self._outgoing.put_nowait(step)

    async def told(self) -> None:
        """Waits until the agent has taken all that it was to be told, or does not listen any more."""
        await self._outgoing.join()

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.do(self._driver.flush)

    async def _write(self) -> None:
        while True:
            step = await self._outgoing.get()
            if self._stdin is not None:
                taken = await write_all(self._stdin, step.write)
                if step.close or not taken:
                    os.close(self._stdin)
                    self._stdin = None
                    self.hung_up.set()
                if step.close:
                    self.over.set()
            self._outgoing.task_done()


def _given_at_the_end(events: list[Event]) -> int:
    """Answers that the agent may not have been given: it has said nothing since."""
    count = 0
    for event in reversed(events):
        if not isinstance(event, ApprovalGiven):
            break
        count += 1
    return count
