"""The agent's sandbox: rounds, each played, frozen, and its workspace captured from outside.

Every step is durable before the next: a supervisor that is started again goes on where the ledger, the state and the
launcher say that it was.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from axiom_sandbox.drivers.contract import Driver, Ended, Place, Said, UnsupportedError
from axiom_sandbox.drivers.registry import make_driver
from axiom_sandbox.durable import replace_durably
from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    Command,
    FailureReason,
    GiveFeedback,
    InterruptAgent,
    Phase,
    Resize,
    SetBudget,
    SetVendor,
    StartAgent,
    TakeCheckpoint,
    TellAgent,
    TerminalSize,
)
from axiom_sandbox.protocol.checkpoints import (
    Why,
)
from axiom_sandbox.protocol.criteria import CriterionType
from axiom_sandbox.protocol.events import (
    FILES,
    CheckpointRestored,
    ClaimMade,
    Event,
    Gap,
    Intervention,
    TaskDeclared,
    ToolReturn,
    UserMessage,
)
from axiom_sandbox.protocol.launching import Exit
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.trees import Amount, Tree
from axiom_sandbox.supervising.attending import Means
from axiom_sandbox.supervising.capturing import Capturer, outcome_of
from axiom_sandbox.supervising.checkpointing import Checkpointer, home_selection
from axiom_sandbox.supervising.conversation import Talk
from axiom_sandbox.supervising.history import History, read_history
from axiom_sandbox.supervising.lookout import Lookout
from axiom_sandbox.supervising.moments import Moment, Shown, moment_of
from axiom_sandbox.supervising.orders import answers_in, budget_in, is_stopped, prompt_of, size_in, start_in
from axiom_sandbox.supervising.origin import Origin
from axiom_sandbox.supervising.photography import Photography
from axiom_sandbox.supervising.questions import assisted_rounds
from axiom_sandbox.supervising.recorded import Recorded
from axiom_sandbox.supervising.restraints import BudgetRestraint
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox, SandboxFailedError
from axiom_sandbox.supervising.saving import Saver
from axiom_sandbox.supervising.settings import Inside, SandboxSettings
from axiom_sandbox.supervising.terminal_pump import recorded_tail
from axiom_sandbox.supervising.turns import Round, exited
from axiom_sandbox.supervising.watching_files import FileWatch
from axiom_sandbox.terminal.recording import Recording
from axiom_sandbox.terminal.screens import EmulatorMissingError, make_screen
from axiom_sandbox.terminal.seeking import packed_recording

_ORDER_SECONDS = 5.0
"""How long a tool's return waits for what changed before it to be told."""
_BASED = "based"
"""File that says when the base was in place."""


class AgentSandbox(Sandbox):
    """Role `agent`."""

    def __init__(self, settings: SandboxSettings) -> None:
        super().__init__(settings)
        self._recording: Recording | None = None
        self._means: Means | None = None
        self._round: Round | None = None
        """The round whose claim is not recorded yet."""
        self._errands: set[asyncio.Task[None]] = set()
        self._files: FileWatch | None = None
        self._orders_files = False
        """Whether what a tool changed must be told before that it came back."""
        self._last_shown: Shown | None = None
        """What the terminal of the last process showed at its end."""
        self._base_tree: Tree | None = None
        """What is in the base archive, once that was read."""
        self._origin = Origin(settings, self.folder, self.board)
        self._checkpointer = Checkpointer(
            settings, self.folder, self._read_base_once, self.board, self.keep_blob
        )
        self._recorded = Recorded(self)
        self._saver: Saver | None = None
        self._photography: Photography | None = None
        self._lookout = Lookout(super().record, lambda: self.board.state.round)

    async def live(self) -> None:
        """Base → rounds, until stopped."""
        await self.take_base(None if self._origin.counts else self.settings.workspace)
        self._origin.let_go_of_packs()
        await self.wait_until(lambda: start_in(self.commands()) is not None, "the agent's start was awaited")
        start = start_in(self.commands())
        assert start is not None
        means = self._means = await self._prepare(start)
        saver = self._saver = Saver(
            self._checkpointer, self.link, self.board, self.record, self._moment, means.still
        )
        capturer = Capturer(self, start, self._read_base_once, self._recorded.account)
        await self._watch_files(start)
        if start.checkpoint_seconds:
            self._do(saver.keep_saving(start.checkpoint_seconds, lambda: self._round is not None))
        if self.board.state.phase is not Phase.RUNNING:
            self._do(self._lookout.look_at_base(self.base_archive))
        while True:
            state = self.board.state
            number = state.round if state.phase is Phase.RUNNING else max(state.round + 1, start.round)
            await self._idle(number)
            await self._play(means, saver, capturer, number)

    async def _idle(self, number: int) -> None:
        """Waits for a round's prompt, and meanwhile probes again, at times that nobody inside foresees.

        What the agent left behind is frozen by then. Raises SandboxFailedError: at the deadline, or if isolation does not hold
        any more.
        """
        meanwhile = f"the verdict on round {number - 1} was awaited"
        waiting = asyncio.ensure_future(self.wait_until(lambda: self._prompt(number) is not None, meanwhile))
        try:
            while True:
                pause = random.SystemRandom().uniform(*self.settings.probe_again_seconds)
                done, _ = await asyncio.wait((waiting,), timeout=pause)
                if done:
                    return await waiting
                await self.probe("no further round begins, as isolation does not hold any more")
        finally:
            waiting.cancel()

    async def close(self) -> None:
        """As Sandbox.close."""
        if self._files:
            await self._files.close()
        await super().close()

    def check(self, command: Command) -> None:
        """StartAgent once, then GiveFeedback for the round after the one that ended; what goes to a working agent while it works."""
        state = self.board.state
        match command:
            case StartAgent():
                if start_in(self.commands()) is not None:
                    raise RefusedError("the agent was started already")
                try:
                    driver = make_driver(command.program, place_of(self.settings.inside, ""))
                    if driver.on_screen:
                        make_screen(1, 1).close()
                except (LookupError, EmulatorMissingError) as error:
                    raise RefusedError(str(error)) from error
            case GiveFeedback(round=number):
                if state.phase is not Phase.ROUND_ENDED or number != state.round + 1:
                    raise RefusedError(
                        f"round {number} cannot begin in phase {state.phase} of round {state.round}"
                    )
            case TakeCheckpoint():
                if self._means is None or self.board.state.round == 0:
                    raise RefusedError("the agent has not been started, so there is nothing to keep")
            case Resize():
                if self._round is None or self._round.present is None:
                    raise RefusedError(f"there is no terminal in phase {state.phase}")
            case SetBudget() | SetVendor():
                pass
            case TellAgent() | InterruptAgent() | AnswerApproval():
                if self._conversation is None:
                    raise RefusedError(
                        f"no agent that could hear it is at work in phase {state.phase};"
                        " an agent of driver Generic cannot be spoken to"
                    )
                if isinstance(command, TellAgent) and not self._driver.hears:
                    raise RefusedError(
                        f"a {self._driver.name} agent cannot be told anything while it works; interrupt it, or let it end"
                    )
                if isinstance(command, AnswerApproval) and command.question not in self._questions:
                    raise RefusedError(
                        f"no approval {command.question!r} is asked for; it was answered, or withdrawn"
                    )
            case _:
                raise RefusedError(f"an agent's sandbox takes no {command.kind}")

    def carry_out(self, command: Command) -> None:
        """What is for a working agent; a round begins by itself once its prompt is there."""
        talk, number = self._conversation, self.board.state.round
        if (assisted := assisted_rounds(self.commands())) != self.board.state.assisted_rounds:
            self.board.update(assisted_rounds=assisted)
        if (budget := budget_in(self.commands())) != self.board.state.budget_micro_usd:
            self.board.update(budget_micro_usd=budget)
        match command:
            case Resize(terminal=size) if self._round and self._round.present and self._round.present.pump:
                self._round.present.pump.resize(size.columns, size.rows)
            case AnswerApproval() if self._round and self._round.present:
                self._do(self._round.present.answer(command))
            case StartAgent() if self.board.state.vendor_down is None:
                self.board.update(vendor_down="")
            case SetVendor(down=down):
                self.board.update(vendor_down=down)
            case TellAgent(text=text, by=by) if talk:
                self._do(self._tell(talk, number, text, by))
            case TakeCheckpoint(request=request):
                self.board.update(checkpoint_request=request)
                if self._saver:
                    self._do(self._saver.interrupt(Why.DEMAND))
            case InterruptAgent(by=by) if talk:
                self._do(self._interrupt(talk, by))
            case _:
                pass

    async def wind_down(self, why: str) -> None:
        """Records the end of a round that was broken off; the recording is complete, and becomes a blob."""
        for errand in self._errands:
            errand.cancel()
        if self._round and self._means:
            await self._break_off(self._means, self._round, why)
        if self._files:
            await self._files.settle()
            await self._files.close()
        if self._photography:
            await self._photography.close(failed=self.board.state.failure is not None)
        if self._recording_file.exists():  # of this life, or of one that ended while it wound down
            (self._recording or self._open_recording(TerminalSize())).close()
            packed = await asyncio.to_thread(packed_recording, self._recording_file)
            await self.keep_blob("recording", packed)
            self._recording_file.unlink(missing_ok=True)

    # --- what was asked for -----------------------------------------------------------------------------------

    @property
    def _recording_file(self) -> Path:
        return self.folder / "recording.cast"

    def _open_recording(self, size: TerminalSize) -> Recording:
        return Recording.open(
            self._recording_file, size.columns, size.rows, title=self.settings.identity.task
        )

    def _prompt(self, number: int) -> str | None:
        structured = self._means is not None and self._means.driver.structured
        return prompt_of(self.commands(), number, self._origin.manifest, structured)

    async def _prepare(self, start: StartAgent) -> Means:
        driver = make_driver(start.program, place_of(self.settings.inside, start.token))
        restored, earlier = self._origin.manifest, list[Intervention]()
        self._checkpointer.first = start.next_checkpoint
        based_ns = int((self.folder / _BASED).read_text())
        self._checkpointer.based_ns = self._checkpointer.quiet_ns = based_ns
        self._checkpointer.selection = home_selection(driver.session_files())
        self._checkpointer.keeping = start.keeping
        if restored:
            states = await asyncio.to_thread(self._origin.states, restored)
            self._checkpointer.go_on_from(restored, self._origin.digest, states)
            earlier = self._origin.interventions(restored)
            driver.memory.total = restored.driver.total
            driver.memory.total_micro_usd = restored.driver.total_micro_usd
            start = start.model_copy(update={"session": restored.driver.session})
        if start.session:
            driver.go_on_in(start.session)
        history: History = await read_history(self._recorded.lines(), driver, earlier)
        self._recording = self._open_recording(size_in(self.commands(), start, restored))
        photography = self._photography = Photography(
            self.settings,
            start,
            self.link,
            self.board,
            scratch=self.folder / "picture",
            record=self.record,
            keep=self.keep_pieces,
        )
        for errand in photography.errands():
            self._do(errand)
        return Means(
            settings=self.settings,
            start=start,
            driver=driver,
            link=self.link,
            board=self.board,
            recording=self._recording,
            recording_file=self._recording_file,
            camera=photography.camera,
            history=history,
            folder=self.folder,
            record=self.record,
            look_at_terminal=self._lookout.look_at_terminal,
            seconds_left=self.seconds_left,
            terminal_size=lambda: size_in(self.commands(), start, restored),
            budget=BudgetRestraint(history, start.spent_micro_usd, lambda: budget_in(self.commands())),
            answers=lambda: answers_in(self.commands()),
            jitter=random.random,
            vendor_answers=lambda: self.wait_until(
                lambda: not self.board.state.vendor_down, "the agent's vendor was awaited"
            ),
            restored=restored,
        )

    async def _watch_files(self, start: StartAgent) -> None:
        if self.board.state.phase is Phase.RUNNING:
            reason = (
                "the supervisor was started again: what changed meanwhile is in the round's capture alone"
            )
            await self.record(Gap(what=FILES, start=0, end=0, size=0, reason=reason))
        self._orders_files = any(one.type is CriterionType.RAN for one in start.envelope.criteria)
        self._files = FileWatch(self.settings.workspace, self.record)
        await self._files.begin()

    # --- while an agent works ---------------------------------------------------------------------------------

    @property
    def _conversation(self) -> Talk | None:
        present = self._round.present if self._round else None
        return present.conversation if present else None

    @property
    def _questions(self) -> set[str]:
        return set(self._means.driver.memory.questions) if self._means else set()

    @property
    def _driver(self) -> Driver:
        assert self._means is not None
        return self._means.driver

    def _do(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _tell(self, talk: Talk, number: int, text: str, by: str) -> None:
        await self.record(
            Intervention(by=by, action="tell", detail=""), UserMessage(round=number, text=text, by=by)
        )
        try:
            await talk.do(lambda: self._driver.send(text))
        except UnsupportedError as error:
            await self.record(Intervention(by=by, action="tell", detail=f"not told: {error}"))

    async def _interrupt(self, talk: Talk, by: str) -> None:
        await self.record(Intervention(by=by, action="interrupt", detail=""))
        try:
            await talk.do(self._driver.interrupt)
        except UnsupportedError as error:
            await self.record(Intervention(by=by, action="interrupt", detail=f"not done: {error}"))

    # --- one round --------------------------------------------------------------------------------------------

    async def _play(self, means: Means, saver: Saver, capturer: Capturer, number: int) -> None:
        """Plays a round, or goes on with one that an earlier life of this process began."""
        claim = means.history.claims.get(number)
        saver.turn_over = claim is not None
        prompt = self._prompt(number)
        assert prompt is not None
        if self._photography:
            await self._photography.settled()
        played = Round(means, number, prompt)
        means.camera.round = number
        if claim is None:
            self._round = played
            await self._declare(means, number, prompt)
            try:
                ended = await played.play()
                self._last_shown = Shown(ended.tail, played.view, played.screen)
            except SandboxFailedError as error:
                if error.reason is FailureReason.START_FAILED:
                    self._round = None  # nothing ran, so there is no end to record
                raise
            if found := means.budget.spent(number, self.board.state.vitals):
                await self.record(found)
            claim = await self._record_end(means, saver, number, ended)
            self._round = None
        await self._record_work(means, saver, capturer, claim)
        await self.link.release(played.process)

    async def _declare(self, means: Means, number: int, prompt: str) -> None:
        if number not in means.history.told:
            message = UserMessage(round=number, text=prompt)
            first = number == means.start.round
            await self.record(
                *((TaskDeclared(envelope=means.start.envelope), message) if first else (message,))
            )
            means.history.told.add(number)
        if self.board.state.phase is not Phase.RUNNING:
            self.board.update(phase=Phase.RUNNING, round=number)

    async def _record_end(self, means: Means, saver: Saver, number: int, ended: Ended) -> ClaimMade:
        async with means.still:
            left = await self.link.freeze()
            saver.turn_over = True
        claim = _claimed(number, means.driver.claim(ended))
        events: list[Event] = [exited(number, ended.exit), claim]
        if left:
            detail = f"{left} processes left behind"
            events.append(Intervention(by="supervisor", action="freeze", detail=detail))
        await self.record(*events)
        return claim

    async def _break_off(self, means: Means, broken: Round, why: str) -> None:
        """Everything untrusted is dead, or its container is gone: records what is known of the round."""
        self._round = None
        if self.link.knows(broken.process) is None:
            return
        try:
            async with asyncio.timeout(1):
                exit_ = await self.link.exited(broken.process)
        except TimeoutError:
            exit_ = Exit()
        number = broken.number
        claim = _claimed(number, means.driver.claim(Ended(exit_, why or "stopped", broken.tail)))
        await self.record(*means.driver.ended().events, exited(number, exit_), claim)
        broken_off = outcome_of(claim, None, assisted_rounds(self.commands()))
        self.board.update(rounds=(*self.board.state.rounds, broken_off))

    async def _record_work(self, means: Means, saver: Saver, capturer: Capturer, claim: ClaimMade) -> None:
        """Captures the workspace. Safe to repeat: everything is frozen, so it comes out the same."""
        number = claim.round
        await self.link.freeze()
        if self._files:
            await self._files.settle()
        if self._photography:
            self._photography.end_round()
        work = await capturer.capture(claim, self._shown.tail)
        await self.record(work.event(number))
        await saver.save(Why.TURN)
        await self.ledger.cut("the round ended")
        outcome = outcome_of(claim, work, assisted_rounds(self.commands()))
        spent = means.history.overspent
        self.board.update(
            phase=Phase.ROUND_ENDED,
            rounds=(*self.board.state.rounds, outcome),
            overspent=spent.reason if spent and spent.round == number else "",
        )

    # --- what was recorded ------------------------------------------------------------------------------------

    @property
    def has_read_its_ledger(self) -> bool:
        """What it has to know of it, it knows."""
        return self._recorded.is_minded and (self._means is not None or start_in(self.commands()) is None)

    async def mind_what_leaves(self, records: int) -> None:
        """What the agent did."""
        await self._recorded.account.catch_up(records)

    async def receive_segment(self, number: int, chunks: AsyncIterator[bytes]) -> None:
        """Takes back a segment that had left and is awaited. Raises RefusedError."""
        await self._recorded.receive(number, chunks)

    # --- checkpoints ------------------------------------------------------------------------------------------

    async def record(self, *events: Event) -> int:
        """Makes events durable, and minds what a checkpoint tells of, and what there is to photograph."""
        if self._files and self._orders_files and any(isinstance(event, ToolReturn) for event in events):
            await self._files.catch_up(_ORDER_SECONDS)
        seq = await super().record(*events)
        await self._lookout.look_at(events, seq)
        if self._photography:
            self._photography.camera.notice(events)
        if self._means:
            self._means.history.note(events)
        return seq

    async def save(self) -> None:
        """A last checkpoint, unless the last one is as the agent still is."""
        if self.is_saving and self._saver and self.board.state.round > 0:
            why = Why.SUSPEND if is_stopped(self.commands()) else Why.LEAVING
            await self._saver.save_last(why, self.saving_seconds)

    @property
    def _shown(self) -> Shown:
        """What the agent's terminal shows, or showed last."""
        present = self._round.present if self._round else None
        if present and (pump := present.pump):
            return Shown(pump.tail, pump.screen.view(), pump.screen.snapshot(), pump.attributes())
        last = self._last_shown or Shown(b"")
        return last if last.tail else replace(last, tail=recorded_tail(self._recording_file))

    def _moment(self, turn_over: bool) -> Moment:
        means = self._means
        assert means is not None
        return moment_of(
            self.board.state.round,
            turn_over=turn_over,
            state=self.board.state.agent,
            driver=means.driver,
            mode=means.start.program.mode,
            history=means.history,
            shown=self._shown,
            size=means.terminal_size(),
            output_bytes=means.recording.output_bytes,
            ledger=self.ledger.head,
        )

    # --- what it begins from ----------------------------------------------------------------------------------

    async def receive_part(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes the manifest of the checkpoint that is awaited, or a part of it. Raises RefusedError."""
        if not self.board.state.awaits_checkpoint:
            raise RefusedError(f"no checkpoint is awaited in phase {self.board.state.phase}")
        await self._origin.receive(chunks, digest, self._receive)
        self.arrived.set()

    def give_up_checkpoint(self, why: str) -> None:
        """It cannot be brought, so it does not hold."""
        if self.board.state.awaits_checkpoint:
            self._origin.give_up(why)
            self.arrived.set()

    def _read_base_once(self) -> Tree:
        if self._base_tree is None:
            self._base_tree = self.read_base(None, Amount())
        return self._base_tree

    async def prepare_workspace(self, base: Tree) -> None:
        """Puts the checkpoint in place, or says why it does not hold; what to do then is not decided here."""
        self._base_tree = base
        if self._origin.counts:
            await self._begin_from_checkpoint()
        replace_durably(self.folder / _BASED, str(time.time_ns()).encode())

    async def _begin_from_checkpoint(self) -> None:
        await self.wait_until(self._origin.is_decided, "the checkpoint was awaited")
        found = await self._origin.put_in_place(self.base_archive)
        if not found.ok:
            await self._put_base_in_place()
        if found != self.board.state.restored:
            await self.record(
                CheckpointRestored(
                    number=found.number, digest=found.digest, ok=found.ok, message=found.message
                )
            )
            self.board.update(restored=found)

    async def _put_base_in_place(self) -> None:
        try:
            await asyncio.to_thread(self.read_base, self.settings.workspace, Amount())
        except (SnapshotError, OSError) as error:
            message = f"the workspace cannot be unpacked: {error}"
            raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error


def _claimed(number: int, said: Said) -> ClaimMade:
    return ClaimMade(round=number, claim=said.claim, statements=said.statements, rebuttal=said.rebuttal)


def place_of(inside: Inside, token: str) -> Place:
    """Where the agent works, for its driver."""
    return Place(
        workspace=inside.workspace,
        home=inside.home,
        proxy_url=inside.proxy_url,
        path=inside.path,
        token=token,
    )
