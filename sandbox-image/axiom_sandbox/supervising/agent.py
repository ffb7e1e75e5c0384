"""The agent's sandbox: rounds, each played, frozen, and its workspace captured from outside.

Every step is durable before the next: a supervisor that is started again goes on where the ledger, the state and the
launcher say that it was.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from axiom_sandbox.drivers.contract import Driver, Ended, Place, UnsupportedError
from axiom_sandbox.drivers.registry import make_driver
from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    Command,
    FailureReason,
    GiveFeedback,
    InterruptAgent,
    Phase,
    Resize,
    RoundOutcome,
    StartAgent,
    TellAgent,
    TerminalSize,
)
from axiom_sandbox.protocol.events import (
    FILES,
    Captured,
    ClaimMade,
    Event,
    Gap,
    Intervention,
    TaskDeclared,
    UserMessage,
)
from axiom_sandbox.protocol.launching import Exit
from axiom_sandbox.protocol.verdicts import Claim
from axiom_sandbox.snapshots.captures import CaptureResult
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.supervising.attending import Means
from axiom_sandbox.supervising.capturing import PATCH, capture_files
from axiom_sandbox.supervising.conversation import Conversation
from axiom_sandbox.supervising.history import History, read_history
from axiom_sandbox.supervising.questions import assisted_rounds
from axiom_sandbox.supervising.recalling import write_conduct
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox, SandboxFailedError
from axiom_sandbox.supervising.settings import Inside, SandboxSettings
from axiom_sandbox.supervising.turns import Round, exited
from axiom_sandbox.supervising.watching_files import FileWatch
from axiom_sandbox.terminal.casts import BadCastError
from axiom_sandbox.terminal.recording import Recording
from axiom_sandbox.terminal.seeking import pack

_MOST_FINDINGS = 200


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

    async def live(self) -> None:
        """Base → rounds, until stopped."""
        await self.take_base(self.settings.workspace)
        await self.wait_until(lambda: self._start is not None, "the agent's start was awaited")
        start = self._start
        assert start is not None
        means = self._means = await self._prepare(start)
        await self._watch_files()
        while True:
            state = self.board.state
            number = state.round if state.phase is Phase.RUNNING else max(state.round + 1, start.round)
            await self.wait_until(
                lambda number=number: self._prompt(number) is not None,  # type: ignore[misc]
                f"the verdict on round {number - 1} was awaited",
            )
            await self._play(means, number)

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
                    make_driver(command.program, place_of(self.settings.inside, ""))
                except LookupError as error:
                    raise RefusedError(str(error)) from error
            case GiveFeedback(round=number):
                if state.phase is not Phase.ROUND_ENDED or number != state.round + 1:
                    raise RefusedError(
                        f"round {number} cannot begin in phase {state.phase} of round {state.round}"
                    )
            case Resize():
                if self._round is None or self._round.present is None:
                    raise RefusedError(f"there is no terminal in phase {state.phase}")
            case TellAgent() | InterruptAgent() | AnswerApproval():
                if self._conversation is None:
                    raise RefusedError(
                        f"no agent that could hear it is at work in phase {state.phase};"
                        " an agent of mode Terminal or of driver Generic cannot be spoken to"
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
        match command:
            case Resize(terminal=size) if self._round and self._round.present and self._round.present.pump:
                self._round.present.pump.resize(size.columns, size.rows)
            case AnswerApproval() if self._round and self._round.present:
                self._do(self._round.present.answer(command))
            case TellAgent(text=text, by=by) if talk:
                self._do(self._tell(talk, number, text, by))
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
                return command.prompt
            if isinstance(command, GiveFeedback) and number == command.round:
                return command.text
        return None

    def _terminal_size(self, start: StartAgent) -> TerminalSize:
        sizes = [command.terminal for command in self.commands() if isinstance(command, Resize)]
        return sizes[-1] if sizes else start.program.terminal

    async def _prepare(self, start: StartAgent) -> Means:
        driver = make_driver(start.program, place_of(self.settings.inside, start.token))
        if start.session:
            driver.go_on_in(start.session)
        history: History = await read_history(self.ledger, driver)
        size = start.program.terminal
        self._recording = self._open_recording(size)
        return Means(
            settings=self.settings,
            start=start,
            driver=driver,
            link=self.link,
            board=self.board,
            recording=self._recording,
            recording_file=self._recording_file,
            history=history,
            folder=self.folder,
            record=self.record,
            seconds_left=self.seconds_left,
            terminal_size=lambda: self._terminal_size(start),
            answers=lambda: [one for one in self.commands() if isinstance(one, AnswerApproval)],
            jitter=random.random,
        )

    async def _watch_files(self) -> None:
        if self.board.state.phase is Phase.RUNNING:
            reason = (
                "the supervisor was started again: what changed meanwhile is in the round's capture alone"
            )
            await self.record(Gap(what=FILES, start=0, end=0, size=0, reason=reason))
        self._files = FileWatch(self.settings.workspace, self.record)
        await self._files.begin()

    # --- while an agent works ---------------------------------------------------------------------------------

    @property
    def _conversation(self) -> Conversation | None:
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

    async def _tell(self, talk: Conversation, number: int, text: str, by: str) -> None:
        await self.record(
            Intervention(by=by, action="tell", detail=""), UserMessage(round=number, text=text, by=by)
        )
        try:
            await talk.do(lambda: self._driver.send(text))
        except UnsupportedError as error:
            await self.record(Intervention(by=by, action="tell", detail=f"not told: {error}"))

    async def _interrupt(self, talk: Conversation, by: str) -> None:
        await self.record(Intervention(by=by, action="interrupt", detail=""))
        try:
            await talk.do(self._driver.interrupt)
        except UnsupportedError as error:
            await self.record(Intervention(by=by, action="interrupt", detail=f"not done: {error}"))

    # --- one round --------------------------------------------------------------------------------------------

    async def _play(self, means: Means, number: int) -> None:
        """Plays a round, or goes on with one that an earlier life of this process began."""
        claim = means.history.claims.get(number)
        prompt = self._prompt(number)
        assert prompt is not None
        played = Round(means, number, prompt)
        if claim is None:
            self._round = played
            await self._declare(means, number, prompt)
            try:
                ended = await played.play()
            except SandboxFailedError as error:
                if error.reason is FailureReason.START_FAILED:
                    self._round = None  # nothing ran, so there is no end to record
                raise
            claim = await self._record_end(means, number, ended)
            self._round = None
        await self._record_work(number, claim)
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

    async def _record_end(self, means: Means, number: int, ended: Ended) -> Claim:
        left = await self.link.freeze()
        said = means.driver.claim(ended)
        events: list[Event] = [
            exited(number, ended.exit),
            ClaimMade(round=number, claim=said.claim, statements=said.statements),
        ]
        if left:
            detail = f"{left} processes left behind"
            events.append(Intervention(by="supervisor", action="freeze", detail=detail))
        await self.record(*events)
        return said.claim

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
        said = means.driver.claim(Ended(exit_, why or "stopped", broken.tail))
        await self.record(
            *means.driver.ended().events,
            exited(number, exit_),
            ClaimMade(round=number, claim=said.claim, statements=said.statements),
        )
        broken_off = RoundOutcome(
            round=number,
            claim=said.claim,
            changes="",
            changed_paths=0,
            findings=0,
            fingerprint="",
            assisted=self._is_assisted(number),
        )
        self.board.update(rounds=(*self.board.state.rounds, broken_off))

    async def _record_work(self, number: int, claim: Claim) -> None:
        """Captures the workspace. Safe to repeat: everything is frozen, so it comes out the same."""
        await self.link.freeze()
        if self._files:
            await self._files.settle()
        result, changes, diff = await self._capture(number)
        conduct = await self._conduct(number)
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
        await self.ledger.cut("the round ended")
        outcome = RoundOutcome(
            round=number,
            claim=claim,
            changes=changes,
            changed_paths=len(found.changes),
            findings=len(found.findings),
            fingerprint=result.fingerprint,
            assisted=self._is_assisted(number),
            conduct=conduct,
        )
        self.board.update(phase=Phase.ROUND_ENDED, rounds=(*self.board.state.rounds, outcome))

    async def _conduct(self, number: int) -> str:
        """Digest of what the agent did so far, where a criterion asks for that; else nothing."""
        start = self._start
        assert start is not None
        if not any(criterion.type.reads_conduct for criterion in start.envelope.criteria):
            return ""
        file = self.folder / f"conduct-{number}.json"
        await write_conduct(self.ledger, start.program.speaks, file)
        return await self.keep_blob(f"conduct-{number}", file)

    async def _capture(self, number: int) -> tuple[CaptureResult, str, str]:
        folder = self.folder / f"capture-{number}"
        try:
            result = await asyncio.to_thread(
                capture_files, self.base_archive, self.settings.workspace, folder
            )
        except (SnapshotError, OSError) as error:
            message = f"the workspace cannot be captured: {error}"
            raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error
        changes = await self.keep_blob(f"changes-{number}", result.archive)
        diff = await self.keep_blob(f"diff-{number}", folder / PATCH)
        await asyncio.to_thread(shutil.rmtree, folder)
        return result, changes, diff


def place_of(inside: Inside, token: str) -> Place:
    """Where the agent works, for its driver."""
    return Place(
        workspace=inside.workspace,
        home=inside.home,
        proxy_url=inside.proxy_url,
        path=inside.path,
        token=token,
    )
