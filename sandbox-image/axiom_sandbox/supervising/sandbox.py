"""What every role of the trusted side has: ledger, board, launcher, blobs, and an orderly end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from axiom_sandbox import VERSION
from axiom_sandbox.ledger.errors import LedgerFailedError
from axiom_sandbox.ledger.ledger import Ledger
from axiom_sandbox.protocol.channel import (
    Command,
    CommandEnvelope,
    Failure,
    FailureReason,
    Isolation,
    LedgerHead,
    Phase,
    SetDeadline,
    Stop,
)
from axiom_sandbox.protocol.events import (
    Closed,
    Event,
    Intervention,
    Intruder,
    IsolationProbed,
    LauncherConnected,
    SandboxFailed,
    SandboxStarted,
    WorkspaceReady,
)
from axiom_sandbox.snapshots.archives import digest_of, read_tree, unpack
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.snapshots.writing import clear
from axiom_sandbox.supervising.board import Board, write_durably
from axiom_sandbox.supervising.launcher_link import Hello, LauncherError, LauncherLink, LauncherLostError
from axiom_sandbox.supervising.settings import SandboxSettings

_FINAL = (Phase.STOPPED, Phase.FAILED)


class SandboxFailedError(Exception):
    """The sandbox cannot go on. Becomes the state's `failure`."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class RefusedError(Exception):
    """A command or upload that does not fit the present phase. The sandbox goes on."""


class Sandbox(ABC):
    """One sandbox's trusted side. `run` is its whole life; everything else is called by the channel meanwhile."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.folder = settings.state
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "blobs").mkdir(exist_ok=True)
        self.ledger = Ledger.open(self.folder / "ledger", settings.identity, lambda: datetime.now(UTC))
        self.board = Board(self.folder / "state.json", settings.identity, self._head, _now_ms)
        self.link = LauncherLink(
            settings.launcher_socket,
            self.folder / "launcher-pin",
            on_connected=self._launcher_connected,
            on_intruder=lambda detail: self.note(Intruder(door="launcher", detail=detail)),
            on_signal=self._launcher_signalled,
        )
        self.base_archive = self.folder / "base.tar.zst"
        self.stop_requested = asyncio.Event()
        self.stop_reason = ""
        self.arrived = asyncio.Event()
        """Set when a command or the workspace arrived."""
        self._notes: set[asyncio.Task[object]] = set()
        self._commands = self._load_commands()

    # --- life -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Lives until stopped or failed. Never raises for a fault of the sandbox: the state says what happened."""
        if self.board.state.phase in _FINAL:
            await self.link.open()  # the launcher is to be let go
            return
        restart = self.board.state.revision > 0
        try:
            await self.record(
                SandboxStarted(role=self.settings.identity.role, version=VERSION, restart=restart)
            )
            self.board.update()
            await self.link.open()
            living = asyncio.ensure_future(self._live())
            stopping = asyncio.ensure_future(self.stop_requested.wait())
            await asyncio.wait((living, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not living.done():
                living.cancel()
            stopping.cancel()
            failure = await _outcome(living)
            await self._end(failure)
        except LedgerFailedError as error:
            message = f"evidence cannot be made durable: {error}"
            self.board.update(
                phase=Phase.FAILED, failure=Failure(reason=FailureReason.LEDGER_FAILED, message=message)
            )
            await self._kill_untrusted()

    async def close(self) -> None:
        """Hangs up; what is durable stays."""
        await self.link.close()

    async def _live(self) -> None:
        if self.uses_launcher:
            await self.link.connected(self.settings.launcher_timeout)
            await self._probe()
        await self.live()

    @property
    def uses_launcher(self) -> bool:
        """Whether this role runs anything untrusted."""
        return True

    @abstractmethod
    async def live(self) -> None:
        """What this role does once the sandbox is proven. Raises SandboxFailedError; returns when nothing is left."""

    @abstractmethod
    def accept(self, command: Command) -> None:
        """Takes a command of this role, which is durable already. Raises RefusedError."""

    async def _end(self, failure: Failure | None) -> None:
        await self._kill_untrusted()
        await self.wind_down()
        if failure:
            await self.record(SandboxFailed(reason=failure.reason, message=failure.message))
        await self.record(Closed(reason=failure.reason.value if failure else self.stop_reason or "done"))
        await self.ledger.close()
        self.board.update(phase=Phase.FAILED if failure else Phase.STOPPED, failure=failure)

    async def wind_down(self) -> None:
        """What this role finishes after everything untrusted is dead, before the ledger is closed."""

    async def _kill_untrusted(self) -> None:
        if self.uses_launcher and self.link.pinned:
            try:
                await self.link.connected(2)
                await self.link.kill()
            except (LauncherError, LauncherLostError):
                return  # the container is gone, and everything in it

    async def end_untrusted(self) -> None:
        """Makes the launcher exit, and the untrusted container with it. That it is gone already is no error."""
        if self.uses_launcher and self.link.pinned:
            try:
                await self.link.connected(2)
                await self.link.exit(0)
            except (LauncherError, LauncherLostError):
                return

    # --- isolation --------------------------------------------------------------------------------------------

    async def _probe(self) -> None:
        if self.board.state.isolation:
            return
        assertions = await self.link.probe(self.settings.expect)
        wrong = tuple(item.name for item in assertions if not item.ok)
        passed = bool(assertions) and not wrong
        await self.record(IsolationProbed(passed=passed, assertions=assertions))
        self.board.update(isolation=Isolation(passed=passed, assertions=len(assertions), failed=wrong))
        if not passed:
            found = ", ".join(wrong) or "the probe tried nothing"
            raise SandboxFailedError(
                FailureReason.ISOLATION_FAILED, f"the agent was not started, as isolation failed: {found}"
            )

    # --- workspace --------------------------------------------------------------------------------------------

    async def receive_workspace(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes the base archive. Raises RefusedError when it is not the announced one, or a base is there already."""
        state = self.board.state
        if state.workspace:
            if state.workspace == digest:
                return
            raise RefusedError("a workspace is in place already")
        if state.phase is not Phase.WAITING_FOR_WORKSPACE:
            raise RefusedError(f"no workspace is taken in phase {state.phase}")
        await self._receive(chunks, self.base_archive, digest)
        self.arrived.set()

    async def receive_changes(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes a changes archive, where the role has a use for one. Raises RefusedError."""
        raise RefusedError(f"{self.settings.identity.role} takes no changes")

    def note_trouble(self, text: str) -> None:
        """What the gateway says of inputs that it cannot bring; "" when that is over."""
        if text != self.board.state.trouble:
            self.board.update(trouble=text)

    async def _receive(self, chunks: AsyncIterator[bytes], target: Path, digest: str) -> None:
        part = target.with_name(target.name + ".part")
        with part.open("wb") as file:
            async for chunk in chunks:
                file.write(chunk)
        found = await asyncio.to_thread(digest_of, part)
        if found != digest:
            part.unlink()
            raise RefusedError(f"the archive has the digest {found}, not {digest}")
        part.replace(target)

    async def take_base(self, into: Path | None) -> None:
        """Waits for the base archive, checks it, and unpacks it where one is asked for. Raises SandboxFailedError."""
        if self.board.state.workspace:
            return
        self.board.update(phase=Phase.WAITING_FOR_WORKSPACE)
        await self.wait_until(self.base_archive.exists)
        try:
            tree = await asyncio.to_thread(_unpacked, self.base_archive, into)
        except (SnapshotError, OSError) as error:
            message = f"the workspace cannot be unpacked: {error}"
            raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error
        size = sum(entry.size for entry in tree.entries.values())
        await self.record(WorkspaceReady(digest=tree.digest, files=len(tree.entries), size=size))
        self.board.update(workspace=tree.digest, phase=Phase.READY, trouble="")

    # --- commands ---------------------------------------------------------------------------------------------

    async def take_command(self, envelope: CommandEnvelope) -> None:
        """Takes a command once, however often it is sent. Raises RefusedError."""
        if envelope.key in {taken.key for taken in self._commands}:
            return
        command = envelope.command
        if isinstance(command, Stop):
            self.request_stop(command.reason)
        elif isinstance(command, SetDeadline):
            self.note(Intervention(by="operator", action="SetDeadline", detail=str(command.deadline_ms)))
        else:
            self.accept(command)
        self._commands.append(envelope)
        file = self.folder / "commands.jsonl"
        write_durably(file, b"".join(taken.model_dump_json().encode() + b"\n" for taken in self._commands))
        if self.board.state.deadline_ms != self.deadline_ms:
            self.board.update(deadline_ms=self.deadline_ms)
        self.arrived.set()

    def commands(self) -> list[Command]:
        """Every command taken so far, in order."""
        return [taken.command for taken in self._commands]

    @property
    def deadline_ms(self) -> int | None:
        """The deadline last given."""
        given = None
        for command in self.commands():
            match command:
                case SetDeadline(deadline_ms=moved):
                    given = moved
                case _ if (envelope := getattr(command, "envelope", None)) is not None:
                    given = envelope.limits.deadline_ms
                case _ if (until := getattr(command, "deadline_ms", None)) is not None:
                    given = until
        return given

    def request_stop(self, reason: str) -> None:
        """Ends this sandbox in order: from the control plane, or from the pod's own hook."""
        if not self.stop_requested.is_set():
            self.stop_reason = reason
            self.stop_requested.set()

    async def wait_until(self, ready: object) -> None:
        """Waits until `ready()` is true, looking again whenever something arrives."""
        assert callable(ready)
        while not ready():
            self.arrived.clear()
            if ready():
                return
            await self.arrived.wait()

    def _load_commands(self) -> list[CommandEnvelope]:
        file = self.folder / "commands.jsonl"
        lines = file.read_bytes().splitlines() if file.exists() else []
        return [CommandEnvelope.model_validate_json(line) for line in lines]

    # --- evidence ---------------------------------------------------------------------------------------------

    async def record(self, *events: Event) -> None:
        """Makes events durable. Raises LedgerFailedError."""
        await self.ledger.append(*events)
        self.board.wake()

    def note(self, event: Event) -> None:
        """Makes an event durable soon: for callbacks that cannot wait. Nothing follows once the ledger is closed."""
        if self.board.state.phase in _FINAL:
            return
        task: asyncio.Task[object] = asyncio.ensure_future(self.record(event))
        self._notes.add(task)
        task.add_done_callback(self._noted)

    def _noted(self, task: asyncio.Task[object]) -> None:
        self._notes.discard(task)
        if not task.cancelled() and isinstance(task.exception(), LedgerFailedError):
            self.request_stop("the ledger failed")

    async def keep_blob(self, name: str, file: Path) -> str:
        """Moves a file under its digest and announces it; the digest."""
        digest = await asyncio.to_thread(digest_of, file)
        target = self.blob_path(digest)
        file.replace(target)
        self.board.add_blob(name, digest, target.stat().st_size)
        return digest

    def blob_path(self, digest: str) -> Path:
        """Where a blob lies."""
        return self.folder / "blobs" / digest

    def _head(self) -> LedgerHead:
        return self.ledger.head

    def _launcher_connected(self, hello: Hello) -> None:
        self.note(
            LauncherConnected(version=hello.version, kernel=hello.kernel, landlock_abi=hello.landlock_abi)
        )

    def _launcher_signalled(self, number: int) -> None:
        self.note(Intervention(by="unknown", action="signal", detail=f"PID 1 got signal {number}"))


async def _outcome(living: asyncio.Future[None]) -> Failure | None:
    try:
        await living
    except asyncio.CancelledError:
        return None
    except SandboxFailedError as error:
        return Failure(reason=error.reason, message=str(error))
    except LauncherLostError as error:
        return Failure(reason=FailureReason.LAUNCHER_LOST, message=str(error))
    except LedgerFailedError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the task must end with its reason
        return Failure(reason=FailureReason.INTERNAL_ERROR, message=f"{type(error).__name__}: {error}")
    return None


def _unpacked(archive: Path, into: Path | None) -> Tree:
    if into is None:
        return read_tree(archive)
    clear(into)
    return unpack(archive, into)


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
