"""The agent's sandbox: rounds under a terminal, watched; then frozen, and its workspace captured from outside."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from axiom_sandbox.protocol.channel import (
    Command,
    FailureReason,
    GiveFeedback,
    Limits,
    Phase,
    Resize,
    RoundOutcome,
    StartAgent,
)
from axiom_sandbox.protocol.events import (
    AgentExited,
    AgentStarted,
    Captured,
    ClaimMade,
    Gap,
    Intervention,
    TaskDeclared,
    UserMessage,
)
from axiom_sandbox.protocol.launching import Exit, Lockdown, ProcessLimits, Start, Tty
from axiom_sandbox.protocol.verdicts import Claim, Saying
from axiom_sandbox.snapshots.archives import read_tree
from axiom_sandbox.snapshots.captures import CaptureResult, capture
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.patches import make_patch
from axiom_sandbox.supervising.expanding import Turn, expand, plan_turn, variables
from axiom_sandbox.supervising.launcher_link import Handover, LauncherError
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox, SandboxFailedError
from axiom_sandbox.supervising.settings import SandboxSettings
from axiom_sandbox.supervising.terminal_pump import TerminalPump
from axiom_sandbox.supervising.usage import folder_bytes
from axiom_sandbox.terminal.keys import bracketed_paste
from axiom_sandbox.terminal.recording import Recording
from axiom_sandbox.terminal.text import printable

_TERMINATION_GRACE = 2.0
_PROCESS_LIMIT_SECONDS = 5
_STORAGE_SHARE = 0.8
_CLAIM_CHARACTERS = 2_000


@dataclass(frozen=True)
class _End:
    """How a round's process came to its end."""

    exit: Exit
    ended_by_us: str = ""


class AgentSandbox(Sandbox):
    """Role `agent`."""

    def __init__(self, settings: SandboxSettings) -> None:
        super().__init__(settings)
        self._recording: Recording | None = None
        self._pump: TerminalPump | None = None
        self._last_output = 0.0

    async def live(self) -> None:
        """Base → rounds, until stopped."""
        await self.take_base(self.settings.workspace)
        await self.wait_until(lambda: self._start is not None)
        start = self._start
        assert start is not None
        terminal = start.program.terminal
        self._recording = Recording.open(
            self.folder / "recording.cast", terminal.columns, terminal.rows, title=self.settings.identity.task
        )
        while True:
            state = self.board.state
            if state.phase is Phase.RUNNING:
                await self._round(start, state.round, again=True)
            else:
                number = state.round + 1
                await self.wait_until(lambda number=number: self._prompt(number) is not None)
                await self._round(start, number, again=False)

    def accept(self, command: Command) -> None:
        """StartAgent once, then GiveFeedback for the round after the one that ended."""
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
            case Resize(terminal=size):
                if self._pump is None:
                    raise RefusedError(f"there is no terminal in phase {state.phase}")
                self._pump.resize(size.columns, size.rows)
            case _:
                raise RefusedError(f"an agent's sandbox takes no {command.kind}")

    async def wind_down(self) -> None:
        """The recording is complete: it becomes a blob."""
        if self._recording:
            self._recording.close()
            await self.keep_blob("recording", self.folder / "recording.cast")

    @property
    def _start(self) -> StartAgent | None:
        return next((command for command in self.commands() if isinstance(command, StartAgent)), None)

    def _prompt(self, number: int) -> str | None:
        for command in self.commands():
            if isinstance(command, StartAgent) and number == command.round:
                return command.prompt
            if isinstance(command, GiveFeedback) and number == command.round:
                return command.text
        return None

    # --- one round --------------------------------------------------------------------------------------------

    async def _round(self, start: StartAgent, number: int, again: bool) -> None:
        prompt = self._prompt(number)
        assert prompt is not None
        name = f"agent-{number}"
        known = self.link.knows(name)
        turn = plan_turn(
            start.program,
            self.settings.inside,
            {},
            start.token,
            prompt,
            resume=number > 1 and self._session_exists(),
        )
        if not again:
            await self._declare(start, number, prompt)
            self.board.update(phase=Phase.RUNNING, round=number)
        if known is None:
            handover = await self._start_process(start, name, turn, number)
        elif known.exit is None:
            handover = await self.link.take_fds(name)
            await self._note_restart()
        else:
            await self._note_restart()
            handover = await self.link.take_fds(name)
        end, tail = await self._watch(start, name, turn if known is None else None, handover)
        await self._finish_round(number, end, tail)
        await self.link.release(name)

    def _session_exists(self) -> bool:
        return bool(self.board.state.rounds)

    async def _declare(self, start: StartAgent, number: int, prompt: str) -> None:
        if number == start.round:
            await self.record(TaskDeclared(envelope=start.envelope))
            self._write_home(start)
        await self.record(UserMessage(round=number, text=prompt))

    async def _note_restart(self) -> None:
        assert self._recording is not None
        at = self._recording.output_bytes
        reason = "the supervisor was restarted; output it had read and not yet written is lost"
        await self.record(Gap(what="terminal", start=at, end=at, size=0, reason=reason))

    def _write_home(self, start: StartAgent) -> None:
        known = variables(self.settings.inside, start.token)
        for item in start.program.home_files:
            target = self.settings.home / item.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(expand(item.content, known))

    async def _start_process(self, start: StartAgent, name: str, turn: Turn, number: int) -> Handover:
        inside, limits, size = self.settings.inside, start.envelope.limits, start.program.terminal
        await self.link.thaw()
        try:
            handover = await self.link.start(
                Start(
                    name=name,
                    argv=turn.argv,
                    env=turn.env,
                    cwd=inside.workspace,
                    tty=Tty(cols=size.columns, rows=size.rows),
                    stdin="pipe" if turn.stdin is not None else "tty",
                    stdout="tty",
                    stderr="tty",
                    lockdown=Lockdown(
                        network=inside.network,
                        proxy_ports=inside.proxy_ports,
                        denied_ports=inside.denied_ports,
                        write_paths=inside.write_paths,
                        limits=ProcessLimits(
                            file_size=limits.storage_bytes,
                            processes=limits.processes,
                            open_files=limits.open_files,
                        ),
                    ),
                )
            )
        except LauncherError as error:
            message = f"the agent's command {turn.argv[0]!r} cannot be started ({error.stage}: {error})"
            raise SandboxFailedError(FailureReason.START_FAILED, message) from error
        await self.record(AgentStarted(round=number, argv=turn.shown_argv, pid=handover.pid))
        return handover

    async def _watch(
        self, start: StartAgent, name: str, turn: Turn | None, handover: Handover
    ) -> tuple[_End, bytes]:
        """Reads the terminal and keeps the limits until the process has ended."""
        assert self._recording is not None
        self._last_output = asyncio.get_running_loop().time()
        pump = self._pump = TerminalPump(handover.fds["tty"], self._recording, self.record, self._heard)
        pump.open()
        pumping = asyncio.ensure_future(pump.run())
        feeding = asyncio.ensure_future(self._feed(name, turn, handover, pump))
        watching = asyncio.ensure_future(self._keep_limits(start.envelope.limits, pumping))
        ending = asyncio.ensure_future(self.link.exited(name))
        ended_by_us = ""
        try:
            await asyncio.wait((ending, watching), return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                ended_by_us = watching.result()
                await self.record(Intervention(by="watchdog", action="end", detail=ended_by_us))
                await self._terminate(name, ending)
            end = await asyncio.wait_for(ending, 30)
            await pump.drain(0.5)
        finally:
            self._pump = None
            for task in (watching, feeding, ending):
                task.cancel()
            await asyncio.gather(watching, feeding, ending, return_exceptions=True)
            if not pumping.done():
                await pump.drain(0)
            await asyncio.gather(pumping, return_exceptions=True)
        return _End(end, ended_by_us), pump.tail

    async def _feed(self, name: str, turn: Turn | None, handover: Handover, pump: TerminalPump) -> None:
        """Gives the prompt, by pipe or by typing."""
        stdin = handover.fds.get("stdin")
        if stdin is not None:
            data = turn.stdin if turn else None
            await asyncio.to_thread(_write_and_close, stdin, data or b"")
            await self.link.close_fd(name, "stdin")
        if turn and turn.typed is not None:
            await pump.write(bracketed_paste(turn.typed) + b"\r")

    def _heard(self) -> None:
        self._last_output = asyncio.get_running_loop().time()
        if self.board.state.first_output_ms is None:
            self.board.update(first_output_ms=int(datetime.now(UTC).timestamp() * 1000))

    async def _keep_limits(self, limits: Limits, pumping: asyncio.Future[None]) -> str:
        """Looks every second. Returns when the turn must end; raises SandboxFailedError when the task must."""
        loop = asyncio.get_running_loop()
        crowded = 0
        while True:
            await asyncio.sleep(1)
            if pumping.done():
                pumping.result()  # a terminal that hung up is no news; a ledger that failed is raised here
            deadline = self.deadline_ms or limits.deadline_ms
            if datetime.now(UTC).timestamp() * 1000 > deadline:
                raise SandboxFailedError(
                    FailureReason.DEADLINE_EXCEEDED, "limits.deadline passed while the agent worked"
                )
            if loop.time() - self._last_output > limits.idle_seconds:
                return f"silent for longer than limits.idle ({limits.idle_seconds:.0f} s)"
            used = await asyncio.to_thread(self._used_bytes)
            if used > _STORAGE_SHARE * limits.storage_bytes:
                await self.link.freeze()
                raise SandboxFailedError(
                    FailureReason.STORAGE_EXCEEDED,
                    f"workspace, home and /tmp hold {used:,} bytes, more than {_STORAGE_SHARE:.0%} of"
                    f" limits.resources.storage ({limits.storage_bytes:,})",
                )
            crowded = crowded + 1 if await self.link.count_processes() >= 0.9 * limits.processes else 0
            if crowded >= _PROCESS_LIMIT_SECONDS:
                raise SandboxFailedError(
                    FailureReason.PROCESS_LIMIT_EXCEEDED,
                    f"the agent kept {limits.processes} processes busy, all that its class allows (ceilings.processes)",
                )

    def _used_bytes(self) -> int:
        folders = (self.settings.workspace, self.settings.home, self.settings.tmp)
        return sum(folder_bytes(folder) for folder in folders if folder is not None)

    async def _terminate(self, name: str, ending: asyncio.Future[Exit]) -> None:
        """Asks the process group to end, then ends it."""
        await self.link.signal(name, signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(ending), _TERMINATION_GRACE)
        except TimeoutError:
            await self.link.kill()

    # --- a round's end ----------------------------------------------------------------------------------------

    async def _finish_round(self, number: int, end: _End, tail: bytes) -> None:
        left = await self.link.freeze()
        await self.record(
            AgentExited(
                round=number,
                code=end.exit.code,
                signal=end.exit.signal,
                user_ms=end.exit.user_ms,
                system_ms=end.exit.system_ms,
                max_rss_kib=end.exit.max_rss_kib,
            )
        )
        claim = claim_of(end.exit, end.ended_by_us, printable(tail, _CLAIM_CHARACTERS))
        await self.record(ClaimMade(round=number, claim=claim))
        if left:
            await self.record(
                Intervention(by="supervisor", action="freeze", detail=f"{left} processes left behind")
            )
        result, changes, diff = await self._capture(number)
        await self.record(
            Captured(
                round=number,
                changes=changes,
                diff=diff,
                fingerprint=result.fingerprint,
                paths=len(result.changes.changes),
                findings=result.changes.findings[:200],
            )
        )
        await self.ledger.cut("the round ended")
        outcome = RoundOutcome(
            round=number,
            claim=claim,
            changes=changes,
            changed_paths=len(result.changes.changes),
            findings=len(result.changes.findings),
            fingerprint=result.fingerprint,
        )
        kept = tuple(earlier for earlier in self.board.state.rounds if earlier.round != number)
        self.board.update(phase=Phase.ROUND_ENDED, rounds=(*kept, outcome))

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
        make_patch(self.base_archive, result.archive, patch)
        return result


def claim_of(end: Exit, ended_by_us: str, text: str) -> Claim:
    """What the end of the agent's process says in its own word. Pure."""
    if ended_by_us:
        return Claim(
            says=Saying.SILENT, exit_code=end.code, signal=end.signal, text=f"[{ended_by_us}]\n{text}"
        )
    says = Saying.DONE if end.code == 0 else Saying.FAILED
    return Claim(says=says, exit_code=end.code, signal=end.signal, text=text)


def _write_and_close(fd: int, data: bytes) -> None:
    os.set_blocking(fd, True)
    with os.fdopen(fd, "wb") as pipe:
        try:
            pipe.write(data)
        except BrokenPipeError:
            return  # the agent did not read its prompt to the end, which is its own affair
