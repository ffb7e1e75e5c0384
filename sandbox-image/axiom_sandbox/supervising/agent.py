"""The agent's sandbox: rounds, each played, frozen, and its workspace captured from outside.

Every step is durable before the next: a supervisor that is started again goes on where the ledger, the state and the
launcher say that it was.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import random
import shutil
import termios
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from axiom_sandbox.drivers.contract import Driver, Ended, Place, Said, UnsupportedError
from axiom_sandbox.drivers.registry import make_driver
from axiom_sandbox.durable import replace_durably
from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    Command,
    FailureReason,
    GiveFeedback,
    InterruptAgent,
    Phase,
    Resize,
    RoundOutcome,
    SetBudget,
    SetVendor,
    StartAgent,
    Stop,
    TakeCheckpoint,
    TellAgent,
    TerminalSize,
)
from axiom_sandbox.protocol.checkpoints import (
    DriverMoment,
    Manifest,
    PartName,
    Restored,
    TerminalMoment,
    Why,
)
from axiom_sandbox.protocol.criteria import CriterionType
from axiom_sandbox.protocol.events import (
    FILES,
    Captured,
    Checkpointed,
    CheckpointFailed,
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
from axiom_sandbox.protocol.pictures import PictureReason
from axiom_sandbox.secrets.scanning import Scanner
from axiom_sandbox.signals.injections import Detector
from axiom_sandbox.signals.sentry import Sentry
from axiom_sandbox.snapshots.captures import CaptureResult
from axiom_sandbox.snapshots.comparing import changed_percent
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.messages import Given, code_in
from axiom_sandbox.snapshots.texts import texts_of
from axiom_sandbox.snapshots.trees import Amount, Tree
from axiom_sandbox.supervising.attending import Means
from axiom_sandbox.supervising.browser import Browser
from axiom_sandbox.supervising.camera import Camera
from axiom_sandbox.supervising.capturing import PATCH, capture_given, capture_workspace, final_message
from axiom_sandbox.supervising.checkpointing import Checkpointer, Moment, home_selection
from axiom_sandbox.supervising.conversation import Talk
from axiom_sandbox.supervising.history import History, read_history
from axiom_sandbox.supervising.launcher_link import LauncherError, LauncherLostError
from axiom_sandbox.supervising.page_camera import PageCamera
from axiom_sandbox.supervising.picture_folder import picture_folder
from axiom_sandbox.supervising.questions import assisted_rounds
from axiom_sandbox.supervising.recalling import write_conduct
from axiom_sandbox.supervising.restoring import (
    RestoreError,
    interventions_of,
    parts_missing,
    read_manifest,
    restore,
    states_of,
)
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox, SandboxFailedError
from axiom_sandbox.supervising.settings import Inside, SandboxSettings
from axiom_sandbox.supervising.studio import Studio
from axiom_sandbox.supervising.terminal_pump import TAIL_BYTES, recorded_tail
from axiom_sandbox.supervising.turns import Round, exited
from axiom_sandbox.supervising.watching_files import FileWatch
from axiom_sandbox.terminal.casts import BadCastError
from axiom_sandbox.terminal.recording import Recording
from axiom_sandbox.terminal.screens import EmulatorMissingError, ScreenState, View, make_screen
from axiom_sandbox.terminal.seeking import pack
from axiom_sandbox.terminal.text import printable
from axiom_sandbox.terminal.unfinished import unfinished

_MOST_FINDINGS = 200
_PICTURE_SECONDS, _LAST_PICTURE_SECONDS = 30.0, 5.0
"""How long the last pictures of a round, and of the sandbox, may take."""
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
        self._settling: asyncio.Future[None] | None = None
        """The pictures of the last round's end."""
        self._orders_files = False
        """Whether what a tool changed must be told before that it came back."""
        self._view: View | None = None
        self._screen: ScreenState | None = None
        self._tail = b""
        """The last that the terminal of an ended process showed."""
        self._given_up = ""
        """Why the checkpoint cannot be brought."""
        self._base_tree: Tree | None = None
        """What is in the base archive, once that was read."""
        self._held = False
        """The round's processes have ended or are frozen for good."""
        self._checkpointer = Checkpointer(
            settings, self.folder, self._read_base_once, self.board, self.keep_blob
        )
        self._camera: Camera | None = None
        self._sentry = Sentry(Scanner(), Detector())
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    async def live(self) -> None:
        """Base → rounds, until stopped."""
        await self.take_base(None if self._awaits_other_files else self.settings.workspace)
        self._let_go_of_packs()
        await self.wait_until(lambda: self._start is not None, "the agent's start was awaited")
        start = self._start
        assert start is not None
        means = self._means = await self._prepare(start)
        await self._watch_files()
        if start.checkpoint_seconds:
            self._do(self._keep_saving(start.checkpoint_seconds))
        if self.board.state.phase is not Phase.RUNNING:
            self._do(self._look_at_base())
        while True:
            state = self.board.state
            number = state.round if state.phase is Phase.RUNNING else max(state.round + 1, start.round)
            await self._idle(number)
            await self._play(means, number)

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

    async def _tell_signals(self, events: tuple[Event, ...], last: int) -> None:
        """What a person should know of in these records is told in records of its own, after them."""
        number, first = self.board.state.round, last - len(events) + 1
        found = [
            signal
            for seq, event in enumerate(events, first)
            for signal in self._sentry.look(event, seq, number)
        ]
        if found:
            await super().record(*found)

    async def _look_at_terminal(self, data: bytes) -> None:
        """Looks at what was shown; nothing is the end of a process, and so of its last line."""
        text, number = self._decoder.decode(data, final=not data), self.board.state.round
        found = await asyncio.to_thread(self._sentry.look_at_terminal, text, number)
        if not data:
            found += self._sentry.finish_terminal(number)
        if found:
            await super().record(*found)

    async def _look_at_base(self) -> None:
        """While the agent works already: what it reads first is there, and what is found is for others."""
        texts = texts_of(self.base_archive)
        while one := await asyncio.to_thread(next, texts, None):
            path, text = one
            if found := await asyncio.to_thread(self._sentry.look_at_file, path, text, 0):
                await super().record(*found)

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
                if self._start is not None:
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
                self._do(self._save_while_working(Why.DEMAND))
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
        if self._camera:
            if self.board.state.failure:
                self._camera.press(PictureReason.FAILURE)
            await self._until_settled()
            await self._settle_pictures(_LAST_PICTURE_SECONDS)
            await self._camera.close()
        if self._recording_file.exists():  # of this life, or of one that ended while it wound down
            (self._recording or self._open_recording(TerminalSize())).close()
            packed = await asyncio.to_thread(self._pack_recording)
            await self.keep_blob("recording", packed)
            self._recording_file.unlink(missing_ok=True)

    def _pack_recording(self) -> Path:
        """With an index; as it is where the disk has no room for that, or it cannot be read as a recording."""
        packed = self._recording_file.with_suffix(".cast.zst")
        try:
            with self._recording_file.open("rb") as source, packed.open("wb") as target:
                pack(source, target)
                target.flush()
                os.fsync(target.fileno())
        except (OSError, BadCastError):
            packed.unlink(missing_ok=True)
            return self._recording_file
        return packed

    # --- what was asked for -----------------------------------------------------------------------------------

    @property
    def _recording_file(self) -> Path:
        return self.folder / "recording.cast"

    @property
    def _start(self) -> StartAgent | None:
        return next((command for command in self.commands() if isinstance(command, StartAgent)), None)

    def _open_recording(self, size: TerminalSize) -> Recording:
        return Recording.open(
            self._recording_file, size.columns, size.rows, title=self.settings.identity.task
        )

    def _is_assisted(self, number: int) -> bool:
        return number in assisted_rounds(self.commands())

    def _prompt(self, number: int) -> str | None:
        for command in self.commands():
            if isinstance(command, StartAgent) and number == command.round:
                return self._first_prompt(command)
            if isinstance(command, GiveFeedback) and number == command.round:
                return command.text
        return None

    def _first_prompt(self, start: StartAgent) -> str:
        """An agent that goes on where a checkpoint was taken knows the task already."""
        restored, means = self._restored, self._means
        if restored is None or means is None:
            return start.prompt
        goes_on = (
            bool(restored.driver.session) if means.driver.structured else bool(start.program.resume_command)
        )
        return start.going_on if goes_on and start.going_on else start.prompt

    def _terminal_size(self, start: StartAgent) -> TerminalSize:
        sizes = [command.terminal for command in self.commands() if isinstance(command, Resize)]
        if sizes:
            return sizes[-1]
        was = self._restored.terminal if self._restored else None
        return TerminalSize(columns=was.columns, rows=was.rows) if was else start.program.terminal

    async def _prepare(self, start: StartAgent) -> Means:
        driver = make_driver(start.program, place_of(self.settings.inside, start.token))
        restored, earlier = self._restored, list[Intervention]()
        self._checkpointer.first = start.next_checkpoint
        based_ns = int((self.folder / _BASED).read_text())
        self._checkpointer.based_ns = self._checkpointer.quiet_ns = based_ns
        self._checkpointer.selection = home_selection(driver.session_files())
        self._checkpointer.keeping = start.keeping
        if restored:
            states = await asyncio.to_thread(states_of, self._parts_folder, restored)
            self._checkpointer.go_on_from(restored, self.settings.checkpoint, states)
            earlier = interventions_of(self._parts_folder, restored)
            driver.memory.total = restored.driver.total
            driver.memory.total_micro_usd = restored.driver.total_micro_usd
            start = start.model_copy(update={"session": restored.driver.session})
        if start.session:
            driver.go_on_in(start.session)
        history: History = await read_history(self.ledger, driver, earlier)
        size = self._terminal_size(start)
        self._recording = self._open_recording(size)
        return Means(
            settings=self.settings,
            start=start,
            driver=driver,
            link=self.link,
            board=self.board,
            recording=self._recording,
            recording_file=self._recording_file,
            camera=self._set_up_camera(start),
            history=history,
            folder=self.folder,
            record=self.record,
            look_at_terminal=self._look_at_terminal,
            seconds_left=self.seconds_left,
            terminal_size=lambda: self._terminal_size(start),
            budget=lambda: budget_in(self.commands()),
            answers=lambda: [one for one in self.commands() if isinstance(one, AnswerApproval)],
            jitter=random.random,
            vendor_answers=lambda: self.wait_until(
                lambda: not self.board.state.vendor_down, "the agent's vendor was awaited"
            ),
            restored=restored,
        )

    async def _watch_files(self) -> None:
        if self.board.state.phase is Phase.RUNNING:
            reason = (
                "the supervisor was started again: what changed meanwhile is in the round's capture alone"
            )
            await self.record(Gap(what=FILES, start=0, end=0, size=0, reason=reason))
        assert self._start is not None
        self._orders_files = any(one.type is CriterionType.RAN for one in self._start.envelope.criteria)
        self._files = FileWatch(self.settings.workspace, self.record)
        await self._files.begin()

    def _set_up_camera(self, start: StartAgent) -> Camera:
        wanted = start.program.pictures
        camera = self._camera = Camera(
            studio=Studio([start.token]) if wanted.terminal else None,
            folder=picture_folder(self.settings, wanted.folder) if wanted.folder else None,
            scratch=self.folder / "picture",
            record=self.record,
            keep=self.keep_pieces,
            clock=time.monotonic,
        )
        self._do(camera.run())
        pages = PageCamera(
            pages=wanted.pages,
            browser=Browser(self.settings.browser, self.link),
            dial=self.link.dial,
            record=self.record,
            keep=self.keep_pieces,
            clock=time.monotonic,
            may_look=lambda: self.board.state.phase is Phase.RUNNING,
            round=lambda: camera.round,
        )
        self._do(pages.run())
        return camera

    async def _until_settled(self) -> None:
        """The last round's pictures are in the ledger. Raises LedgerFailedError."""
        settling, self._settling = self._settling, None
        if settling:
            await settling

    async def _settle_pictures(self, seconds: float) -> None:
        if self._camera:
            await self._camera.settle(seconds)

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

    async def _play(self, means: Means, number: int) -> None:
        """Plays a round, or goes on with one that an earlier life of this process began."""
        claim = means.history.claims.get(number)
        self._held = claim is not None
        prompt = self._prompt(number)
        assert prompt is not None
        await self._until_settled()
        played = Round(means, number, prompt)
        means.camera.round = number
        if claim is None:
            self._round = played
            await self._declare(means, number, prompt)
            try:
                ended = await played.play()
                self._tail, self._view, self._screen = ended.tail, played.view, played.screen
            except SandboxFailedError as error:
                if error.reason is FailureReason.START_FAILED:
                    self._round = None  # nothing ran, so there is no end to record
                raise
            if found := means.overspent(number):
                await self.record(found)
            claim = await self._record_end(means, number, ended)
            self._round = None
        await self._record_work(claim)
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

    async def _record_end(self, means: Means, number: int, ended: Ended) -> ClaimMade:
        async with means.still:
            left = await self.link.freeze()
            self._held = True
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
        broken_off = RoundOutcome(
            round=number,
            claim=claim.claim,
            changes="",
            changed_paths=0,
            findings=0,
            fingerprint="",
            assisted=self._is_assisted(number),
            rebuttal=claim.rebuttal,
        )
        self.board.update(rounds=(*self.board.state.rounds, broken_off))

    async def _record_work(self, claim: ClaimMade) -> None:
        """Captures the workspace. Safe to repeat: everything is frozen, so it comes out the same."""
        number = claim.round
        await self.link.freeze()
        if self._files:
            await self._files.settle()
        # Drawn meanwhile and afterwards: what is shown is taken already, and the verdict does not wait for a picture.
        self._settling = asyncio.ensure_future(self._settle_pictures(_PICTURE_SECONDS))
        result, changes, diff = await self._capture(claim)
        conduct = await self._conduct(claim)
        found = result.changes
        await self.record(
            Captured(
                round=number,
                changes=changes,
                diff=diff,
                fingerprint=result.fingerprint,
                paths=len(found.changes),
                findings=found.findings[:_MOST_FINDINGS],
            )
        )
        await self._save(Why.TURN)
        await self.ledger.cut("the round ended")
        outcome = RoundOutcome(
            round=number,
            claim=claim.claim,
            changes=changes,
            changed_paths=len(found.changes),
            findings=len(found.findings),
            fingerprint=result.fingerprint,
            changed_percent=await self._changed_percent(number, diff, result.fingerprint),
            assisted=self._is_assisted(number),
            conduct=conduct,
            rebuttal=claim.rebuttal,
        )
        spent = self._means.history.overspent if self._means else None
        self.board.update(
            phase=Phase.ROUND_ENDED,
            rounds=(*self.board.state.rounds, outcome),
            overspent=spent.reason if spent and spent.round == number else "",
        )

    async def _changed_percent(self, number: int, diff: str, fingerprint: str) -> int | None:
        """How much of the result is new since the round before; None where that is not known or no patch shows it."""
        last = next((one for one in self.board.state.rounds if one.round == number - 1), None)
        kept = next((blob for blob in self.board.state.blobs if blob.name == f"diff-{number - 1}"), None)
        if last is None or kept is None:
            return None
        if kept.digest == diff:
            return 0 if last.fingerprint == fingerprint else None
        try:
            return await asyncio.to_thread(changed_percent, self.blob_path(kept.digest), self.blob_path(diff))
        except OSError:
            return None  # stored, and gone from here

    async def _conduct(self, claim: ClaimMade) -> str:
        """Digest of what the agent did so far, where a criterion or a statement of its is held against that; else nothing."""
        start = self._start
        assert start is not None
        if not claim.statements and not any(one.reads_conduct for one in start.envelope.criteria):
            return ""
        file = self.folder / f"conduct-{claim.round}.json"
        await write_conduct(self.ledger, start.program.speaks, file)
        return await self.keep_blob(f"conduct-{claim.round}", file)

    async def _capture(self, claim: ClaimMade) -> tuple[CaptureResult, str, str]:
        number, base = claim.round, self.base_archive
        folder = self.folder / f"capture-{number}"
        assert self._start is not None
        try:
            if self._start.envelope.candidate is CandidateSource.MESSAGE:
                given = await self._code_given(claim)
                tree = await asyncio.to_thread(self._read_base_once)
                result = await asyncio.to_thread(capture_given, base, tree, given, folder)
            else:
                tree, root = await asyncio.to_thread(self._read_base_once), self.settings.workspace
                result = await asyncio.to_thread(capture_workspace, base, tree, root, folder)
        except (SnapshotError, OSError) as error:
            message = f"the workspace cannot be captured: {error}"
            raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error
        changes = await self.keep_blob(f"changes-{number}", result.archive)
        diff = await self.keep_blob(f"diff-{number}", folder / PATCH)
        await asyncio.to_thread(shutil.rmtree, folder)
        return result, changes, diff

    async def _code_given(self, claim: ClaimMade) -> Given:
        """The files of the agent's final message. One that is not spoken with says it on its terminal."""
        assert self._start is not None
        path, message = self._start.envelope.message_path, await final_message(self.ledger, claim.round)
        if message is not None:
            return await asyncio.to_thread(code_in, message, path)
        tail = self._tail or recorded_tail(self._recording_file)
        shown = printable(tail, len(tail)) or claim.claim.text
        return await asyncio.to_thread(code_in, shown, path, is_tail=len(tail) >= TAIL_BYTES)

    # --- checkpoints ------------------------------------------------------------------------------------------

    async def record(self, *events: Event) -> int:
        """Makes events durable, and minds what a checkpoint tells of, and what there is to photograph."""
        if self._files and self._orders_files and any(isinstance(event, ToolReturn) for event in events):
            await self._files.catch_up(_ORDER_SECONDS)
        seq = await super().record(*events)
        await self._tell_signals(events, seq)
        if self._camera:
            self._camera.notice(events)
        if self._means:
            self._means.history.note(events)
        return seq

    async def save(self) -> None:
        """A last checkpoint, unless the last one is as the agent still is."""
        if not self.is_saving or self._means is None or self.board.state.round == 0:
            return
        last, state = self._checkpointer.last, self.board.state
        if last and self._held and last.turn_over and last.round == state.round:
            return
        is_asked = any(isinstance(command, Stop) for command in self.commands())
        try:
            async with asyncio.timeout(self.saving_seconds):
                await self._save_while_working(Why.SUSPEND if is_asked else Why.LEAVING, for_good=True)
        except TimeoutError:
            why = f"there were {self.saving_seconds:.0f} s for it, and it takes longer"
            self.board.update(checkpoint_trouble=why)

    async def _keep_saving(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self._round is not None and not self._held:
                await self._save_while_working(Why.TIMER)

    async def _save_while_working(self, why: Why, *, for_good: bool = False) -> None:
        """Freezes the agent for as long as its files are read. `for_good`: it is ended afterwards."""
        assert self._means is not None
        async with self._means.still:
            await self._save(why, thaw=not for_good)

    async def _save(self, why: Why, *, thaw: bool = False) -> None:
        """Takes one, or says why there is none: the agent's work does not depend on it. Raises LedgerFailedError."""
        assert self._means is not None
        number, works = self.board.state.round, not self._held
        began = time.monotonic()
        frozen_ms = 0
        try:
            await self._checkpointer.prepare()
            began = time.monotonic()
            try:
                if works:
                    await self.link.freeze()
                files = await self._checkpointer.read_files()
                moment = self._moment(self._means, number, turn_over=not works)
            finally:
                if works and thaw:
                    await self.link.thaw()
                frozen_ms = round((time.monotonic() - began) * 1000) if works else 0
            taken = await self._checkpointer.keep(files, moment, why)
        except (SnapshotError, OSError, LauncherError, LauncherLostError) as error:
            await self.record(CheckpointFailed(why=why, round=number, reason=str(error)))
            self.board.update(checkpoint_trouble=str(error))
            return
        await self.record(
            Checkpointed(
                number=taken.number,
                digest=taken.digest,
                why=why,
                round=number,
                size=taken.size,
                frozen_ms=frozen_ms,
            )
        )
        self._checkpointer.announce(taken)

    def _moment(self, means: Means, number: int, *, turn_over: bool) -> Moment:
        memory, present = means.driver.memory, self._round.present if self._round else None
        pump = present.pump if present else None
        screen = pump.screen.snapshot() if pump else self._screen
        view = pump.screen.view() if pump else self._view
        tail = (
            present.pump.tail
            if present and present.pump
            else self._tail or recorded_tail(self._recording_file)
        )
        return Moment(
            round=number,
            turn_over=turn_over,
            last_prompt=means.history.last_prompt,
            state=self.board.state.agent,
            driver=DriverMoment(
                name=means.driver.name,
                mode=means.start.program.mode,
                session=means.driver.session(),
                version=memory.version,
                total=memory.total,
                total_micro_usd=memory.total_micro_usd,
            ),
            terminal=self._terminal_moment(means, tail, view),
            tail=tail,
            screen=screen.restoring if screen else b"",
            interventions=tuple(means.history.interventions),
            interventions_so_far=means.history.interventions_so_far,
            ledger=self.ledger.head,
        )

    def _terminal_moment(self, means: Means, tail: bytes, view: View | None) -> TerminalMoment:
        present = self._round.present if self._round else None
        attributes = present.pump.attributes() if present and present.pump else None
        size = means.terminal_size()
        return TerminalMoment(
            columns=size.columns,
            rows=size.rows,
            raw=bool(attributes and not attributes[3] & termios.ICANON),
            termios=tuple(attributes[:6]) if attributes else None,
            control_characters=tuple(_ordinal(one) for one in attributes[6]) if attributes else (),
            output_bytes=means.recording.output_bytes,
            cursor=view.cursor if view else None,
            alternate=view.alternate if view else False,
            modes=tuple(sorted(view.modes)) if view else (),
            title=view.title if view else "",
            unfinished=unfinished(tail).hex(),
        )

    @property
    def _parts_folder(self) -> Path:
        return self.folder / "restored"

    @cached_property
    def _restored(self) -> Manifest | None:
        """The checkpoint that this sandbox began from; not asked for before that is known."""
        state = self.board.state.restored
        if state is None or not state.ok:
            return None
        return read_manifest((self._parts_folder / state.digest).read_bytes())

    async def receive_part(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes the manifest of the checkpoint that is awaited, or a part of it. Raises RefusedError."""
        if not self.board.state.awaits_checkpoint:
            raise RefusedError(f"no checkpoint is awaited in phase {self.board.state.phase}")
        self._parts_folder.mkdir(exist_ok=True)
        if not (self._parts_folder / digest).exists():
            await self._receive(chunks, self._parts_folder / digest, digest)
        self.arrived.set()

    def give_up_checkpoint(self, why: str) -> None:
        """It cannot be brought, so it does not hold."""
        if self.board.state.awaits_checkpoint:
            self._given_up = why
            self.arrived.set()

    @property
    def _awaits_other_files(self) -> bool:
        """Whether a checkpoint's files come in place of the base's."""
        known = self.board.state.restored
        return bool(self.settings.checkpoint) and (known is None or known.ok)

    def _read_base_once(self) -> Tree:
        if self._base_tree is None:
            self._base_tree = self.read_base(None, Amount())
        return self._base_tree

    async def prepare_workspace(self, base: Tree) -> None:
        """Puts the checkpoint in place, or says why it does not hold; what to do then is not decided here."""
        self._base_tree = base
        if self._awaits_other_files:
            await self._begin_from(self.settings.checkpoint, self.board.state.restored)
        replace_durably(self.folder / _BASED, str(time.time_ns()).encode())

    async def _begin_from(self, digest: str, known: Restored | None) -> None:
        number = 0
        try:
            await self.wait_until(lambda: self._is_there(digest), "the checkpoint was awaited")
            if self._given_up:
                raise RestoreError(self._given_up)
            manifest = await asyncio.to_thread(
                restore,
                self._parts_folder,
                digest,
                self.base_archive,
                self.settings.workspace,
                self.settings.home,
            )
            number = manifest.number
            interventions_of(self._parts_folder, manifest)
            restored = Restored(digest=digest, number=number, ok=True)
        except RestoreError as error:
            restored = Restored(digest=digest, number=number, ok=False, message=str(error))
            await self._put_base_in_place()
        if restored != known:
            await self.record(
                CheckpointRestored(number=number, digest=digest, ok=restored.ok, message=restored.message)
            )
            self.board.update(restored=restored)

    async def _put_base_in_place(self) -> None:
        try:
            await asyncio.to_thread(self.read_base, self.settings.workspace, Amount())
        except (SnapshotError, OSError) as error:
            message = f"the workspace cannot be unpacked: {error}"
            raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error

    def _let_go_of_packs(self) -> None:
        """What they held is in place, and they are in object storage; here they would only take room."""
        if self._restored:
            for part in self._restored.parts:
                if part.name is PartName.PACK:
                    (self._parts_folder / part.digest).unlink(missing_ok=True)

    def _is_there(self, digest: str) -> bool:
        return bool(self._given_up) or not parts_missing(self._parts_folder, digest)


def _claimed(number: int, said: Said) -> ClaimMade:
    return ClaimMade(round=number, claim=said.claim, statements=said.statements, rebuttal=said.rebuttal)


def _ordinal(character: bytes | int) -> int:
    return character if isinstance(character, int) else character[0]


def budget_in(commands: Iterable[Command]) -> int | None:
    """What the task may spend, as the last of these commands that speaks of it says. Pure."""
    budget = None
    for command in commands:
        match command:
            case StartAgent(envelope=envelope):
                budget = envelope.limits.budget_micro_usd
            case SetBudget(budget_micro_usd=changed):
                budget = changed
            case _:
                pass
    return budget


def place_of(inside: Inside, token: str) -> Place:
    """Where the agent works, for its driver."""
    return Place(
        workspace=inside.workspace,
        home=inside.home,
        proxy_url=inside.proxy_url,
        path=inside.path,
        token=token,
    )
