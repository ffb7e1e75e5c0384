"""The talk with an agent on its terminal: shows its driver the screen and what is new in its session's file, and presses keys.

As with an agent that speaks over pipes, what it said is in the ledger before it is answered, and the policy decides what it
asks. Screens are looked at when they changed, at most ten times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from axiom_sandbox.drivers.contract import Sight, Step, Turn
from axiom_sandbox.drivers.screen import ScreenDriver
from axiom_sandbox.protocol.approvals import Decision
from axiom_sandbox.protocol.events import (
    ApprovalAsked,
    ApprovalGiven,
    ApprovalWithdrawn,
    AssistantDelta,
    Event,
    Intervention,
    TurnEnded,
    UserMessage,
)
from axiom_sandbox.supervising.conversation import Talk
from axiom_sandbox.supervising.session_tail import SessionTail
from axiom_sandbox.supervising.terminal_pump import TerminalPump

_LOOK_SECONDS = 0.1
_FROM_SCREEN = (ApprovalAsked, ApprovalGiven, ApprovalWithdrawn, Intervention, TurnEnded, UserMessage)
"""Events that are read off the screen; all others come from the session's file."""


class ScreenTalk(Talk):
    """With one process."""

    def __init__(
        self,
        driver: ScreenDriver,
        tail: SessionTail,
        record: Callable[..., Awaitable[int]],
        on_news: Callable[[], None],
        on_settled: Callable[[], Awaitable[object]],
        clock: Callable[[], float],
        decide: Callable[[ApprovalAsked], Decision],
    ) -> None:
        super().__init__(driver, record, on_settled, clock, decide)
        self._screen_driver, self._tail, self._on_news = driver, tail, on_news
        self._content = ""
        self._typed = asyncio.Event()
        self.pump: TerminalPump | None = None
        self.hung_up.set()  # there is no standard input to close

    async def run(self) -> None:
        """Until the terminal hangs up. Raises whatever `record` raises."""
        while self.pump is None or not self.pump.hung_up:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Reads on in the file, and looks at the screen."""
        while data := await asyncio.to_thread(self._tail.read):
            self._read += len(data)
            self._on_news()
            await self.do(lambda data=data: self._driver.parse(data))  # type: ignore[misc]
        view = self.pump.screen.view() if self.pump else None
        if view is None:
            return
        if (content := self._screen_driver.content(view)) != self._content:
            self._content = content
            self._on_news()
        await self.do(lambda: self._screen_driver.see(Sight(view, self._clock())))
        if self._screen_driver.prompted:
            self._typed.set()

    async def take_up(self, turn: Turn, recorded: Iterable[Event]) -> bool:
        """Goes on where an earlier life of this process was; its part of the file is read anew, beside the screen as it is."""
        known = list(recorded)
        self._driver.resume(turn)
        if self.pump and (view := self.pump.screen.view()):
            self._screen_driver.glance(view)
        self._driver.recall([event for event in known if isinstance(event, _FROM_SCREEN)])
        seen = [event for event in known if not isinstance(event, (*_FROM_SCREEN, AssistantDelta))]
        found = list[Event]()
        while data := await asyncio.to_thread(self._tail.read):
            found += self._driver.parse(data).events
        lasting = [event for event in found if not isinstance(event, AssistantDelta)]
        await self._record_and_mind(lasting[len(seen) :])
        if self._driver.memory.outcome:
            self.over.set()
        return True

    async def told(self) -> None:
        """Waits until the agent has taken its prompt, or does not come to it any more."""
        await self._typed.wait()

    async def ended(self) -> None:
        """The process has gone: reads the rest of its file."""
        while data := await asyncio.to_thread(self._tail.read):
            await self.do(lambda data=data: self._driver.parse(data))  # type: ignore[misc]
        await super().ended()

    async def say(self, step: Step) -> None:
        """Keys."""
        if step.keys and self.pump and not await self.pump.press(step.keys):
            detail = "the agent did not read all that was typed"
            await self._record(Intervention(by="supervisor", action="type", detail=detail))
