"""Attends to one process of an agent: reads it, tells it what it is to do, keeps the limits, and sees it end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from axiom_sandbox.drivers.contract import Driver, Step, Turn, UnsupportedError
from axiom_sandbox.drivers.screen import ScreenDriver
from axiom_sandbox.durable import replace_durably
from axiom_sandbox.protocol.agents import Vitals
from axiom_sandbox.protocol.approvals import Decision, decide
from axiom_sandbox.protocol.channel import AnswerApproval, StartAgent, TerminalSize
from axiom_sandbox.protocol.checkpoints import Manifest
from axiom_sandbox.protocol.events import ApprovalAsked, BudgetSpent, ContextActed, Gap, Intervention
from axiom_sandbox.protocol.launching import Exit
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.camera import Camera
from axiom_sandbox.supervising.context import Deed
from axiom_sandbox.supervising.conversation import Conversation, Talk
from axiom_sandbox.supervising.descriptors import write_all
from axiom_sandbox.supervising.history import ENDED_BY_WATCHDOG, RESUMED_BY_WATCHDOG, History
from axiom_sandbox.supervising.launcher_link import Handover, LauncherLink
from axiom_sandbox.supervising.questions import denied_at_the_limit, granted, open_questions
from axiom_sandbox.supervising.restraints import BudgetRestraint, ContextRestraint
from axiom_sandbox.supervising.screen_talk import ScreenTalk
from axiom_sandbox.supervising.session_tail import SessionTail
from axiom_sandbox.supervising.settings import SandboxSettings
from axiom_sandbox.supervising.spool import Spool
from axiom_sandbox.supervising.terminal_pump import TerminalPump, recorded_tail
from axiom_sandbox.supervising.vigil import Vigil
from axiom_sandbox.supervising.vitals import Before, vitals_of
from axiom_sandbox.supervising.watchdog import Watchdog
from axiom_sandbox.terminal.recording import Recording
from axiom_sandbox.terminal.screens import ScreenState, View

_TERMINATION_GRACE = 2.0
_LEAVING_GRACE = 10.0
"""How long an agent may take to end by itself once its turn is over."""
_INTERRUPT_GRACE = 10.0
_EXIT_SECONDS = 30.0
_HANG_UP_GRACE = 0.5
_TAKING_UP_SECONDS = 30.0
"""How long the end of a process waits until it is known what an earlier life of the supervisor had heard of it."""
_LOOK_SECONDS = 1.0
_EMULATOR_SECONDS = 5.0
"""How long the end of a process waits for the emulator, which takes longer to load than some commands to run."""


@dataclass(frozen=True)
class Means:
    """What a round needs of its sandbox."""

    settings: SandboxSettings
    start: StartAgent
    driver: Driver
    link: LauncherLink
    board: Board
    recording: Recording
    recording_file: Path
    camera: Camera
    history: History
    folder: Path
    record: Callable[..., Awaitable[int]]
    look_at_terminal: Callable[[bytes], Awaitable[None]]
    seconds_left: Callable[[], float]
    terminal_size: Callable[[], TerminalSize]
    budget: BudgetRestraint
    answers: Callable[[], list[AnswerApproval]]
    """Answers that people gave, in order."""
    jitter: Callable[[], float]
    """From 0 to 1, each time another."""
    vendor_answers: Callable[[], Awaitable[None]]
    """Waits until the vendor of the agent's model answers, as far as anybody said that it does not."""
    restored: Manifest | None = None
    """The checkpoint that this sandbox began from."""
    still: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while everything untrusted is frozen and read: nothing is started, and nothing let go on."""
    clock: Callable[[], float] = time.monotonic


class Attendance:
    """From the start, or the take-over, of a process to its end."""

    def __init__(
        self,
        means: Means,
        process: str,
        turn: Turn,
        handover: Handover,
        spool: Path,
        taken_over: bool,
        may_resume: bool,
        minds_context: bool = True,
    ) -> None:
        self._means, self._process, self._turn, self._spool = means, process, turn, spool
        self._may_resume = may_resume
        self._handover, self._taken_over = handover, taken_over
        self.tail = b""
        """The last that its terminal showed."""
        self.view: View | None = None
        self.screen: ScreenState | None = None
        """What its terminal showed at the end."""
        self.lost: tuple[str, ...] = ()
        """Tools that ran when it ended."""
        self._context = ContextRestraint(
            means.start.program.context if minds_context else None, means.driver, means.history, turn
        )
        self._restrained: asyncio.Future[BudgetSpent | Deed] = asyncio.get_running_loop().create_future()
        """What the process is ended for in order."""
        self._due: dict[str, float] = {}
        """When each question to a person is over, by the clock that only goes forward."""
        self._taken_up = asyncio.Event()
        """What an earlier life of the supervisor recorded of the talk is known: what it says from now on is new."""
        self.pump: TerminalPump | None = None
        self.conversation = self._talk_with(means.driver)
        limits = means.start.envelope.limits
        self._vigil = Vigil(
            means.driver,
            means.start.program.patience,
            limits.idle_seconds,
            means.clock(),
            wall_ms,
            means.board.state.agent if taken_over else None,
        )
        settings = means.settings
        folders = tuple(folder for folder in (settings.workspace, settings.home, settings.tmp) if folder)
        self._watchdog = Watchdog(
            limits,
            means.link,
            folders,
            means.seconds_left,
            lambda: self._vigil.is_excused or bool(means.board.state.vendor_down),
        )

    async def attend(self) -> tuple[Exit, str]:
        """Until it has ended: how, and why it counted as hung, if it did."""
        means, size = self._means, self._means.terminal_size()
        self.pump = pump = TerminalPump(
            self._handover.fds.pop("tty"),
            means.recording,
            means.record,
            self._heard,
            noted=means.history.terminal_bytes,
            look=means.look_at_terminal,
            size=(size.columns, size.rows),
            tail=recorded_tail(means.recording_file) if self._turn.round in means.history.told else b"",
            shown=means.recording_file if self._taken_over else None,
        )
        means.camera.watch(pump.screen.frame, lambda: means.recording.output_bytes)
        if isinstance(self.conversation, ScreenTalk):
            self.conversation.pump = pump
        pumping = asyncio.ensure_future(pump.run())
        talking = asyncio.ensure_future(self._talk())
        ending = asyncio.ensure_future(self._end(talking))
        try:
            await _first_to_fail(ending, pumping, talking)
            exit_, hung = await ending
            if means.camera.sees_terminals:
                await _within(_EMULATOR_SECONDS, pump.shows.wait())
            await pump.finish(_HANG_UP_GRACE)
            means.camera.look_away()
            await self._look(running=False, exit=how_it_ended(exit_))
        finally:
            means.camera.look_away()
            self.pump = None
            if means.board.state.questions:
                means.board.update(questions=())
            for task in (talking, ending):
                task.cancel()
            await asyncio.gather(talking, ending, return_exceptions=True)
            await pump.finish(0)
            await asyncio.wait((pumping,))
            means.history.terminal_bytes = pump.noted
            self.tail, self.view, self.screen = pump.tail, pump.last_view, pump.last_screen
        await pumping
        return exit_, hung

    def _heard(self, size: int) -> None:
        """A screen that is read breaks no silence by moving alone: `_news` does."""
        if not self._means.driver.on_screen:
            self._watchdog.heard()
        self._vigil.heard(self._means.clock(), size, news=not self._means.driver.on_screen)
        if self._means.board.state.first_output_ms is None:
            self._means.board.update(first_output_ms=wall_ms())

    def _news(self) -> None:
        self._watchdog.heard()
        self._vigil.heard(self._means.clock(), 0)

    # --- what it is told --------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        """Gives the prompt, unless an earlier life did; with an agent that speaks over pipes, the whole conversation."""
        fed = self._means.folder / f"fed-{self._process.removeprefix('agent-')}"
        if self.conversation:
            await self._converse(self.conversation, fed)
            return
        first = self._means.driver.begin(self._turn)
        if not fed.exists():
            await self._feed(first)
            replace_durably(fed, b"")

    async def _feed(self, first: Step) -> None:
        """What an agent at its terminal is told once."""
        lost = ""
        if (stdin := self._handover.fds.pop("stdin", None)) is not None:
            try:
                if not await write_all(stdin, first.write):
                    lost = "the agent did not read all of what it was told"
            finally:
                os.close(stdin)
            await self._means.link.close_fd(self._process, "stdin")
        if first.typed and self.pump:
            lost = await self.pump.paste(first.typed)
        if lost:
            await self._means.record(Intervention(by="supervisor", action="prompt", detail=lost))

    def _talk_with(self, driver: Driver) -> Talk | None:
        means = self._means
        if isinstance(driver, ScreenDriver):
            noted = means.folder / f"before-{self._process}"
            tail = SessionTail(means.settings.home, driver.record_files(self._turn), noted)
            return ScreenTalk(driver, tail, means.record, self._news, self._look, means.clock, self._decide)
        if not driver.structured:
            return None
        return Conversation(
            driver,
            self._handover.fds.pop("stdin", None),
            self._handover.fds.pop("stdout"),
            Spool.open(self._spool),
            means.record,
            self._heard,
            self._look,
            means.clock,
            self._decide,
        )

    def _decide(self, asked: ApprovalAsked) -> Decision:
        means = self._means
        return decide(means.start.program.approvals, asked.tool, asked.input, means.board.state.grants)

    async def answer(self, answer: AnswerApproval) -> None:
        """A person's answer to what the agent asks."""
        board = self._means.board
        grant = granted(answer, board.state.questions)
        if grant and grant not in board.state.grants:
            board.update(grants=(*board.state.grants, grant))
        if self.conversation:
            await self.conversation.answer(answer.question, answer.decision)

    async def _converse(self, talk: Talk, fed: Path) -> None:
        means, known = self._means, fed.exists()
        turn = replace(self._turn, heard=tuple(means.history.heard))
        if known and self.pump and means.driver.on_screen:
            await _within(_EMULATOR_SECONDS, self.pump.shows.wait())
        if known and not await talk.take_up(turn, means.history.spoken):
            reason = "the supervisor was started again; what the agent was in the middle of saying is lost"
            await means.record(Gap(what="conversation", start=0, end=0, size=0, reason=reason))
        self._taken_up.set()
        reading = asyncio.ensure_future(talk.run())
        try:
            if not known:
                await talk.do(lambda: means.driver.begin(self._turn))
                await talk.told()
                replace_durably(fed, b"")
            for answer in means.answers():
                if answer.question in means.driver.memory.questions:
                    await self.answer(answer)
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    # --- how it ends ------------------------------------------------------------------------------------------

    async def _end(self, talking: asyncio.Future[None]) -> tuple[Exit, str]:
        """Waits for the process to end, and ends it when its turn is over, or the limits or its silence say so."""
        exiting = asyncio.ensure_future(self._means.link.exited(self._process))
        watching = asyncio.ensure_future(self._watchdog.watch())
        looking = asyncio.ensure_future(self._keep_looking())
        over = asyncio.ensure_future(self._over())
        tasks = (exiting, watching, looking, over, self._restrained)
        hung = ""
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not exiting.done():
                if over.done():
                    await self._let_go(exiting)
                elif watching.done():
                    await self._end_for_good(watching.result(), exiting)
                elif self._restrained.done():
                    await self._end_restrained(self._restrained.result(), exiting, over)
                elif self._may_resume:
                    hung = looking.result()
                    await self._end_hung(hung, exiting, over)
                else:
                    await self._end_for_good(f"{looking.result()}, and started again often enough", exiting)
            async with asyncio.timeout(_EXIT_SECONDS):
                exit_ = await exiting
            await self._hear_the_last(talking)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return exit_, hung or (self._means.history.hung if self._taken_over else "")

    async def _over(self) -> None:
        """Until an agent that speaks over pipes says that its turn is over."""
        await (self.conversation.over if self.conversation else asyncio.Event()).wait()

    async def _keep_looking(self) -> str:
        """Returns why it counts as hung."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if hung := await self._look():
                return hung
            await self._answer_what_is_overdue()

    async def _answer_what_is_overdue(self) -> None:
        now, approvals = self._means.clock(), self._means.start.program.approvals
        for question in [one for one, due in self._due.items() if now >= due]:
            if self.conversation and question in self._means.driver.memory.questions:
                await self.conversation.answer(question, denied_at_the_limit(approvals))

    def _show_questions(self) -> None:
        means, now = self._means, wall_ms()
        state, asked = means.board.state, tuple(means.driver.memory.questions.values())
        if not asked and not state.questions:
            return
        found = open_questions(
            means.start.program.approvals, asked, state.grants, known=state.questions, now_ms=now
        )
        soon = {one.id: means.clock() + (one.until_ms - now) / 1000 for one in found}
        self._due = {question: self._due.get(question, due) for question, due in soon.items()}
        if found != state.questions:
            means.board.update(questions=found)

    async def _look(self, running: bool = True, exit: str = "") -> str:
        means = self._means
        look = self._vigil.look(means.clock(), running, exit)
        means.board.show(agent=self._vigil.state)
        if not means.driver.structured:
            return ""
        means.board.show(vitals=self._vitals())
        self._mind_restraints()
        if running:
            self._show_questions()
        if look.events:
            await means.record(*look.events)
        if look.heartbeat_due:
            found = await means.link.processes()
            await means.record(self._vigil.heartbeat(means.clock(), found, self._turn.round))
        if means.board.state.vendor_down:
            return ""  # it waits like all others, and what it would be told now is not to be had
        return look.hung

    def _vitals(self) -> Vitals:
        means, known = self._means, self._means.board.state.vitals
        pace = self.conversation.output_per_second if self.conversation else None
        was = means.restored.driver if means.restored else None
        return vitals_of(
            means.driver.memory,
            Before(was.total, was.total_micro_usd) if was else Before(),
            means.start.program.pricing,
            pace if pace is not None else known.output_per_second if known else None,
        )

    def _mind_restraints(self) -> None:
        if self._restrained.done():
            return
        means = self._means
        spent = means.budget.spent(self._turn.round, means.board.state.vitals)
        if found := spent or self._context.called_for():
            self._restrained.set_result(found)

    async def _let_go(self, exiting: asyncio.Future[Exit]) -> None:
        """Its turn is over: it may end by itself, for a while."""
        assert self.conversation is not None
        await self.conversation.do(self._means.driver.leave)
        await _within(_LEAVING_GRACE, self.conversation.hung_up.wait())
        await self._means.link.close_fd(self._process, "stdin")
        if not await _within(_LEAVING_GRACE, asyncio.shield(exiting)):
            await self._terminate(exiting)

    async def _end_for_good(self, why: str, exiting: asyncio.Future[Exit]) -> None:
        by, action = ENDED_BY_WATCHDOG
        await self._means.record(Intervention(by=by, action=action, detail=why))
        self._means.history.ended_by_us[self._turn.round] = why
        await self._terminate(exiting)

    async def _end_restrained(
        self, found: BudgetSpent | Deed, exiting: asyncio.Future[Exit], over: asyncio.Future[None]
    ) -> None:
        """Its budget is spent, or its context nearly full; what follows is the round's affair."""
        means, number, fill = self._means, self._turn.round, self._means.driver.memory.fill
        if isinstance(found, BudgetSpent):
            await means.record(found)
        elif means.history.unserved(number) is None:
            assert fill is not None
            await means.record(ContextActed(round=number, act=found.act, fill=fill, why=found.why))
        if isinstance(found, Deed) and means.driver.forgets_interrupted:
            await means.link.kill()
        else:
            await self._end_in_order(exiting, over)

    async def _end_in_order(self, exiting: asyncio.Future[Exit], over: asyncio.Future[None]) -> None:
        """Asks it to leave what it is doing, so that its turn ends by itself; then ends it."""
        await self._interrupt(exiting, over)
        if over.done() and not exiting.done():
            await self._let_go(exiting)
        elif not exiting.done():
            await self._terminate(exiting)

    async def _interrupt(self, exiting: asyncio.Future[Exit], over: asyncio.Future[None]) -> None:
        """Asks it to leave what it is doing, and gives it a while for that."""
        if self.conversation:
            try:
                await self.conversation.do(self._means.driver.interrupt)
                await asyncio.wait(
                    (exiting, over), timeout=_INTERRUPT_GRACE, return_when=asyncio.FIRST_COMPLETED
                )
            except UnsupportedError:
                pass  # it is ended all the same

    async def _end_hung(self, why: str, exiting: asyncio.Future[Exit], over: asyncio.Future[None]) -> None:
        """Asks it to leave what it is doing, unless it would forget that; then ends it, and everything that it started."""
        means = self._means
        by, action = RESUMED_BY_WATCHDOG
        await means.record(Intervention(by=by, action=action, detail=why))
        if not means.driver.forgets_interrupted:
            await self._interrupt(exiting, over)
        await means.link.kill()

    async def _hear_the_last(self, talking: asyncio.Future[None]) -> None:
        """What it wrote before it ended. A process left behind may hold its standard output open."""
        if self.conversation:
            await _within(_TAKING_UP_SECONDS, self._taken_up.wait())
            await _within(_HANG_UP_GRACE, asyncio.shield(talking))
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            calls = self._means.driver.memory.calls.values()
            self.lost = tuple(f"{call.tool} ({call.id})" for call in calls)
            await self.conversation.ended()

    async def _terminate(self, exiting: asyncio.Future[Exit]) -> None:
        """Asks the process group to end, then ends everything."""
        await self._means.link.signal(self._process, signal.SIGTERM)
        if not await _within(_TERMINATION_GRACE, asyncio.shield(exiting)):
            await self._means.link.kill()


async def _first_to_fail(ending: asyncio.Future[tuple[Exit, str]], *others: asyncio.Future[None]) -> None:
    """Until the process has ended, or one of the others has failed, whose error is raised."""
    waiting: set[asyncio.Future[object]] = {ending, *others}  # type: ignore[arg-type]
    while not ending.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled():
                task.result()


async def _within(seconds: float, awaitable: Awaitable[object]) -> bool:
    """Whether it came to its end in time."""
    try:
        async with asyncio.timeout(seconds):
            await awaitable
    except TimeoutError:
        return False
    return True


def how_it_ended(end: Exit) -> str:
    """The end of a process, for a person."""
    return f"signal {end.signal}" if end.code is None else f"code {end.code}"


def wall_ms() -> int:
    """Unix time in ms."""
    return int(datetime.now(UTC).timestamp() * 1000)
