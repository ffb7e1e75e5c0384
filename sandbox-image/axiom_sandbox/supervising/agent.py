"""The agent's sandbox: rounds under a terminal, watched; then frozen, and its workspace captured from outside.

Every step is durable before the next: a supervisor that is started again goes on where the ledger, the state and the
launcher say that it was.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from axiom_sandbox.drivers.contract import Command as DriverCommand
from axiom_sandbox.drivers.contract import Driver, Ended, Place, Step, Turn
from axiom_sandbox.drivers.expanding import expand, variables
from axiom_sandbox.drivers.registry import make_driver
from axiom_sandbox.protocol.channel import (
    Command,
    FailureReason,
    GiveFeedback,
    Phase,
    Resize,
    RoundOutcome,
    StartAgent,
    TerminalSize,
)
from axiom_sandbox.protocol.events import (
    AgentExited,
    AgentStarted,
    Captured,
    ClaimMade,
    Event,
    Gap,
    Intervention,
    TaskDeclared,
    UserMessage,
)
from axiom_sandbox.protocol.launching import Exit, Lockdown, ProcessLimits, Start, Tty
from axiom_sandbox.protocol.verdicts import Claim
from axiom_sandbox.snapshots.archives import read_tree
from axiom_sandbox.snapshots.captures import CaptureResult, capture
from axiom_sandbox.snapshots.errors import PatchError, SnapshotError
from axiom_sandbox.snapshots.patches import make_patch
from axiom_sandbox.supervising.board import write_durably
from axiom_sandbox.supervising.descriptors import write_all
from axiom_sandbox.supervising.history import ENDED_BY_WATCHDOG, History, read_history
from axiom_sandbox.supervising.launcher_link import Handover, LauncherError
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox, SandboxFailedError
from axiom_sandbox.supervising.settings import Inside, SandboxSettings
from axiom_sandbox.supervising.terminal_pump import TerminalPump, recorded_tail
from axiom_sandbox.supervising.watchdog import Watchdog
from axiom_sandbox.terminal.keys import bracketed_paste
from axiom_sandbox.terminal.recording import Recording

_OWN_THREADS = 64
"""Launcher and supervisor run as the same user, and their threads count against the kernel's limit, too."""
_TERMINATION_GRACE = 2.0
_EXIT_SECONDS = 30.0
_HANG_UP_GRACE = 0.5
_MOST_FINDINGS = 200


@dataclass
class _OpenRound:
    """A round whose claim is not recorded yet."""

    number: int
    tail: bytes = b""

    @property
    def process(self) -> str:
        """The launcher's name for its process."""
        return _process_name(self.number)


class AgentSandbox(Sandbox):
    """Role `agent`."""

    def __init__(self, settings: SandboxSettings) -> None:
        super().__init__(settings)
        self._recording: Recording | None = None
        self._pump: TerminalPump | None = None
        self._history = History()
        self._open: _OpenRound | None = None
        self._driver: Driver | None = None

    async def live(self) -> None:
        """Base → rounds, until stopped."""
        await self.take_base(self.settings.workspace)
        await self.wait_until(lambda: self._start is not None, "the agent's start was awaited")
        start = self._start
        assert start is not None
        self._history = await read_history(self.ledger)
        self._driver = make_driver(start.program, place_of(self.settings.inside, start.token))
        self._open_recording(start)
        while True:
            state = self.board.state
            number = state.round if state.phase is Phase.RUNNING else max(state.round + 1, start.round)
            await self.wait_until(
                lambda number=number: self._prompt(number) is not None,  # type: ignore[misc]
                f"the verdict on round {number - 1} was awaited",
            )
            await self._round(start, number)

    def check(self, command: Command) -> None:
        """StartAgent once, then GiveFeedback for the round after the one that ended; Resize while a terminal is there."""
        state = self.board.state
        match command:
            case StartAgent():
                if self._start is not None:
                    raise RefusedError("the agent was started already")
            case GiveFeedback(round=number):
                if state.phase is not Phase.ROUND_ENDED or number != state.round + 1:
                    raise RefusedError(
                        f"round {number} cannot begin in phase {state.phase} of round {state.round}"
                    )
            case Resize():
                if self._pump is None:
                    raise RefusedError(f"there is no terminal in phase {state.phase}")
            case _:
                raise RefusedError(f"an agent's sandbox takes no {command.kind}")

    def carry_out(self, command: Command) -> None:
        """Resizes the terminal; a round begins by itself once its prompt is there."""
        if isinstance(command, Resize) and self._pump is not None:
            self._pump.resize(command.terminal.columns, command.terminal.rows)

    async def wind_down(self, why: str) -> None:
        """Records the end of a round that was broken off; the recording is complete and becomes a blob."""
        if self._open:
            await self._break_off(self._open, why)
        if self._recording:
            self._recording.close()
            await self.keep_blob("recording", self._recording_file)

    @property
    def _recording_file(self) -> Path:
        return self.folder / "recording.cast"

    @property
    def _start(self) -> StartAgent | None:
        return next((command for command in self.commands() if isinstance(command, StartAgent)), None)

    @property
    def _spoken(self) -> Driver:
        assert self._driver is not None
        return self._driver

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

    def _open_recording(self, start: StartAgent) -> None:
        size = start.program.terminal
        self._recording = Recording.open(
            self._recording_file, size.columns, size.rows, title=self.settings.identity.task
        )

    # --- one round --------------------------------------------------------------------------------------------

    async def _round(self, start: StartAgent, number: int) -> None:
        """Plays a round, or goes on with one that an earlier life of this process began."""
        claim = self._history.claims.get(number)
        if claim is None:
            self._open = _OpenRound(number)
            ended = await self._turn(start, number)
            claim = await self._record_end(number, ended)
            self._open = None
        await self._record_work(number, claim)
        await self.link.release(_process_name(number))

    async def _turn(self, start: StartAgent, number: int) -> Ended:
        """From the prompt to the end of the process."""
        prompt = self._prompt(number)
        assert prompt is not None
        await self._declare(start, number, prompt)
        turn = Turn(number, prompt, later=bool(self.board.state.rounds))
        driver = self._spoken
        command = driver.command(turn)
        if self.link.knows(_process_name(number)) is None:
            self._write_home(start)
            handover = await self._start_process(start, number, command)
        else:
            await self._note_restart()
            handover = await self.link.take_fds(_process_name(number))
        try:
            if number not in self._history.started:
                await self.record(AgentStarted(round=number, argv=command.shown_argv, pid=handover.pid))
            return await self._watch(start, number, driver.begin(turn), handover)
        finally:
            handover.close()

    async def _declare(self, start: StartAgent, number: int, prompt: str) -> None:
        if number not in self._history.told:
            message = UserMessage(round=number, text=prompt)
            first = number == start.round
            await self.record(*((TaskDeclared(envelope=start.envelope), message) if first else (message,)))
        if self.board.state.phase is not Phase.RUNNING:
            self.board.update(phase=Phase.RUNNING, round=number)

    async def _note_restart(self) -> None:
        assert self._recording is not None
        at = self._recording.output_bytes
        reason = "the supervisor was started again; output that it had read and not yet written is lost"
        await self.record(Gap(what="terminal", start=at, end=at, size=0, reason=reason))

    def _write_home(self, start: StartAgent) -> None:
        """Before the first round alone: later the home is the agent's, links that lead elsewhere included."""
        if self.board.state.rounds:
            return
        known = variables(self._spoken.place)
        for item in start.program.home_files:
            target = self.settings.home / item.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(expand(item.content, known))

    async def _start_process(self, start: StartAgent, number: int, command: DriverCommand) -> Handover:
        inside, limits, size = self.settings.inside, start.envelope.limits, self._terminal_size(start)
        request = Start(
            name=_process_name(number),
            argv=command.argv,
            env=command.env,
            cwd=inside.workspace,
            tty=Tty(cols=size.columns, rows=size.rows),
            stdin="pipe" if command.pipe_in else "tty",
            stdout="pipe" if command.pipe_out else "tty",
            stderr="tty",
            lockdown=Lockdown(
                network=inside.network,
                proxy_ports=inside.proxy_ports,
                denied_ports=inside.denied_ports,
                write_paths=inside.write_paths,
                limits=ProcessLimits(
                    file_size=limits.storage_bytes,
                    processes=limits.processes + _OWN_THREADS if inside.own_user else 0,
                    open_files=limits.open_files,
                ),
            ),
        )
        await self.link.thaw()
        try:
            return await self.link.start(request)
        except LauncherError as error:
            self._open = None  # nothing ran, so there is no end to record
            message = f"the agent's command {command.argv[0]!r} cannot be started ({error.stage}: {error})"
            raise SandboxFailedError(FailureReason.START_FAILED, message) from error

    # --- while it works ---------------------------------------------------------------------------------------

    async def _watch(self, start: StartAgent, number: int, first: Step, handover: Handover) -> Ended:
        """Reads the terminal and keeps the limits until the process has ended."""
        assert self._recording is not None
        watchdog = self._watchdog(start)
        self._pump = pump = TerminalPump(
            handover.fds.pop("tty"),
            self._recording,
            self.record,
            lambda: self._heard(watchdog),
            noted=self._history.terminal_bytes,
            tail=recorded_tail(self._recording_file) if number in self._history.told else b"",
        )
        pumping = asyncio.ensure_future(pump.run())
        feeding = asyncio.ensure_future(self._feed(number, first, handover))
        ending = asyncio.ensure_future(self._end_of_turn(number, watchdog))
        try:
            await asyncio.wait((ending, pumping), return_when=asyncio.FIRST_COMPLETED)
            if pumping.done():
                await pumping  # it ends by itself only when evidence cannot be kept
            exit_ = await ending
            await pump.finish(_HANG_UP_GRACE)
        finally:
            self._pump = None
            for task in (feeding, ending):
                task.cancel()
            await asyncio.gather(feeding, ending, return_exceptions=True)
            await pump.finish(0)
            await asyncio.wait((pumping,))
            self._history.terminal_bytes = pump.noted
            if self._open:
                self._open.tail = pump.tail
        await pumping
        return Ended(exit_, self._history.ended_by_us.get(number, ""), pump.tail)

    def _watchdog(self, start: StartAgent) -> Watchdog:
        settings, limits = self.settings, start.envelope.limits
        folders = (settings.workspace, settings.home, settings.tmp)
        return Watchdog(
            limits,
            self.link,
            tuple(folder for folder in folders if folder is not None),
            self.seconds_left,
        )

    async def _end_of_turn(self, number: int, watchdog: Watchdog) -> Exit:
        """Waits for the process to end, and ends it when the watchdog says so."""
        name = _process_name(number)
        exiting = asyncio.ensure_future(self.link.exited(name))
        watching = asyncio.ensure_future(watchdog.watch())
        try:
            await asyncio.wait((exiting, watching), return_when=asyncio.FIRST_COMPLETED)
            if not exiting.done():
                why = watching.result()
                by, action = ENDED_BY_WATCHDOG
                await self.record(Intervention(by=by, action=action, detail=why))
                self._history.ended_by_us[number] = why
                await self._terminate(name, exiting)
            async with asyncio.timeout(_EXIT_SECONDS):
                return await exiting
        finally:
            for task in (exiting, watching):
                task.cancel()
            await asyncio.gather(exiting, watching, return_exceptions=True)

    async def _terminate(self, name: str, exiting: asyncio.Future[Exit]) -> None:
        """Asks the process group to end, then ends everything."""
        await self.link.signal(name, signal.SIGTERM)
        try:
            async with asyncio.timeout(_TERMINATION_GRACE):
                await asyncio.shield(exiting)
        except TimeoutError:
            await self.link.kill()

    async def _feed(self, number: int, first: Step, handover: Handover) -> None:
        """Gives the prompt, by pipe or by typing, unless an earlier life did."""
        fed = self.folder / f"fed-{number}"
        if fed.exists():
            return
        taken = True
        if (stdin := handover.fds.pop("stdin", None)) is not None:
            try:
                taken = await write_all(stdin, first.write)
            finally:
                os.close(stdin)
            await self.link.close_fd(_process_name(number), "stdin")
        if first.typed and self._pump:
            taken = await self._pump.type(bracketed_paste(first.typed) + b"\r")
        write_durably(fed, b"")
        if not taken:
            detail = "the agent did not read all of what it was told"
            await self.record(Intervention(by="supervisor", action="prompt", detail=detail))

    def _heard(self, watchdog: Watchdog) -> None:
        watchdog.heard()
        if self.board.state.first_output_ms is None:
            self.board.update(first_output_ms=int(datetime.now(UTC).timestamp() * 1000))

    # --- a round's end ----------------------------------------------------------------------------------------

    async def _record_end(self, number: int, ended: Ended) -> Claim:
        left = await self.link.freeze()
        claim = self._spoken.claim(ended).claim
        events: list[Event] = [_exited(number, ended.exit), ClaimMade(round=number, claim=claim)]
        if left:
            detail = f"{left} processes left behind"
            events.append(Intervention(by="supervisor", action="freeze", detail=detail))
        await self.record(*events)
        return claim

    async def _break_off(self, open_round: _OpenRound, why: str) -> None:
        """Everything untrusted is dead, or its container is gone: records what is known of the round."""
        self._open = None
        if self.link.knows(open_round.process) is None:
            return
        try:
            async with asyncio.timeout(1):
                exit_ = await self.link.exited(open_round.process)
        except TimeoutError:
            exit_ = Exit()
        claim = self._spoken.claim(Ended(exit_, why or "stopped", open_round.tail)).claim
        number = open_round.number
        await self.record(_exited(number, exit_), ClaimMade(round=number, claim=claim))
        broken_off = RoundOutcome(
            round=number, claim=claim, changes="", changed_paths=0, findings=0, fingerprint=""
        )
        self.board.update(rounds=(*self.board.state.rounds, broken_off))

    async def _record_work(self, number: int, claim: Claim) -> None:
        """Captures the workspace. Safe to repeat: everything is frozen, so it comes out the same."""
        await self.link.freeze()
        result, changes, diff = await self._capture(number)
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
        )
        self.board.update(phase=Phase.ROUND_ENDED, rounds=(*self.board.state.rounds, outcome))

    async def _capture(self, number: int) -> tuple[CaptureResult, str, str]:
        folder = self.folder / f"capture-{number}"
        patch = folder / "diff.patch"
        try:
            result = await asyncio.to_thread(self._capture_files, folder, patch)
        except (SnapshotError, OSError) as error:
            message = f"the workspace cannot be captured: {error}"
            raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error
        changes = await self.keep_blob(f"changes-{number}", result.archive)
        diff = await self.keep_blob(f"diff-{number}", patch)
        await asyncio.to_thread(shutil.rmtree, folder)
        return result, changes, diff

    def _capture_files(self, folder: Path, patch: Path) -> CaptureResult:
        shutil.rmtree(folder, ignore_errors=True)
        result = capture(read_tree(self.base_archive), self.settings.workspace, folder)
        try:
            make_patch(self.base_archive, result.archive, patch)
        except PatchError as error:  # it is for people; what is verified is the archive
            patch.write_text(f"# There is no patch: {error}. The changes archive holds everything.\n")
        return result


def place_of(inside: Inside, token: str) -> Place:
    """Where the agent works, for its driver."""
    return Place(
        workspace=inside.workspace,
        home=inside.home,
        proxy_url=inside.proxy_url,
        path=inside.path,
        token=token,
    )


def _process_name(number: int) -> str:
    return f"agent-{number}"


def _exited(number: int, end: Exit) -> AgentExited:
    return AgentExited(round=number, **end.model_dump())
