"""What every role of the trusted side has: ledger, board, launcher, blobs, and an orderly end."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from axiom_sandbox import VERSION
from axiom_sandbox.durable import replace_durably
from axiom_sandbox.ledger.errors import (
    LedgerClosedError,
    LedgerFailedError,
    SegmentKeptError,
    SegmentsLeftError,
)
from axiom_sandbox.ledger.ledger import Ledger
from axiom_sandbox.protocol.channel import (
    Blob,
    Command,
    CommandEnvelope,
    Failure,
    FailureReason,
    LedgerHead,
    Phase,
    SetDeadline,
    StartAgent,
    Stop,
    StoredSegments,
    Verify,
)
from axiom_sandbox.protocol.errands import Errand, Reply
from axiom_sandbox.protocol.events import (
    FILES,
    Closed,
    Event,
    Gap,
    Intervention,
    Intruder,
    IsolationProbed,
    LauncherConnected,
    SandboxFailed,
    SandboxStarted,
    SegmentsLeft,
    WorkspaceReady,
)
from axiom_sandbox.protocol.progress import Progress
from axiom_sandbox.snapshots.archives import digest_of, read_tree, unpack
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.trees import Amount, Tree
from axiom_sandbox.snapshots.writing import clear
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.judging_isolation import judge
from axiom_sandbox.supervising.launcher_link import Hello, LauncherError, LauncherLink, LauncherLostError
from axiom_sandbox.supervising.settings import SandboxSettings
from axiom_sandbox.terminal.recording import RecordingError

_FINAL = (Phase.STOPPED, Phase.FAILED)
_END_SECONDS = 2.0
"""How long a launcher that is not connected is waited for at the end."""
_SAVING_SECONDS = 120.0
"""How long a checkpoint may take before an end that was asked for."""
_LEAVING_PARTS = 24
"""Of a hot window: segments leave together once in each, so that few events tell of it."""
_NOTED_IN_FULL = 16
_FIRST_PROGRESS_SECONDS, _NEXT_PROGRESS_SECONDS = 10.0, 30.0


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
            on_intruder=self._intruded,
            on_signal=self._launcher_signalled,
        )
        self.base_archive = self.folder / "base.tar.zst"
        self.stop_requested = asyncio.Event()
        self.stop_reason = ""
        self.is_saving = False
        """Whether whoever ends it wants a checkpoint first."""
        self.saving_seconds = _SAVING_SECONDS
        self.arrived = asyncio.Event()
        """Set when a command or the workspace arrived."""
        self._leaving = asyncio.Lock()
        self._notes: set[asyncio.Task[object]] = set()
        self._provocations = Counter[str]()
        self._parts = itertools.count()
        self._pieces = set[str]()
        """Digests that this life has announced."""
        self.deadline_ms: int | None = None
        """The deadline last given, as it was given."""
        self._steady, self._deadline_at = time.monotonic, math.inf
        self._commands = self._load_commands()
        for envelope in self._commands:
            self._note_deadline(envelope)
        for command in self.commands():
            if isinstance(command, Stop):
                self.request_stop(command.reason)

    # --- life -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Lives until stopped or failed. Never raises for a fault of the sandbox: the state says what happened."""
        if self.board.state.phase in _FINAL:
            await self.link.open()  # the launcher is to be let go
            return
        try:
            if self.ledger.head.closed:  # an earlier life came as far as this
                self._conclude(self.board.state.failure)
                await self.link.open()
                return
            await self._begin()
            following = asyncio.ensure_future(self._follow_ledger())
            try:
                await self._end(await self._outcome())
            finally:
                following.cancel()
        except (LedgerFailedError, RecordingError) as error:
            await self._fail_without_evidence(error)

    async def close(self) -> None:
        """Hangs up, and lets go of the ledger; what is durable stays."""
        await self.link.close()
        await self.ledger.release()

    async def _begin(self) -> None:
        restart = self.board.state.revision > 0
        await self.record(SandboxStarted(role=self.settings.identity.role, version=VERSION, restart=restart))
        self.board.update(awaits_segment=0)
        await self.link.open()

    async def _outcome(self) -> Failure | None:
        """Lives, unless an earlier life had come to its end already."""
        if self.board.state.failure or self.stop_requested.is_set():
            return self.board.state.failure
        living = asyncio.ensure_future(self._live())
        stopping = asyncio.ensure_future(self.stop_requested.wait())
        try:
            await asyncio.wait((living, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not living.done():
                await self.save()
        finally:
            for task in (living, stopping):
                task.cancel()
        if not living.done():
            # a stop is for what runs: it does not wait until whoever watches that has come to an end
            await self._kill_untrusted()
        return await _failure_of(living)

    async def _live(self) -> None:
        if self.uses_launcher:
            known = self.link.pinned
            await self.link.connected(
                self.settings.launcher_timeout if known else self.settings.start_timeout
            )
            await self._probe()
        await self.live()

    @property
    def uses_launcher(self) -> bool:
        """Whether this role runs anything untrusted."""
        return not self.settings.identity.role.is_one_shot

    @abstractmethod
    async def live(self) -> None:
        """What this role does once the sandbox is proven. Raises SandboxFailedError; returns when nothing is left."""

    def check(self, command: Command) -> None:
        """Whether a command of this role fits now. Raises RefusedError."""
        raise RefusedError(f"a {self.settings.identity.role} takes no {command.kind}")

    def carry_out(self, command: Command) -> None:
        """Does at once what a command, durable by now, asks for, where nobody waits for it."""

    async def save(self) -> None:
        """What this role keeps of the untrusted side before that is ended, where whoever ends it asked for that."""

    async def prepare_workspace(self, base: Tree) -> None:
        """What this role does once the base is here, before it is ready. Safe to repeat. Raises SandboxFailedError."""

    async def wind_down(self, why: str) -> None:
        """What this role finishes after everything untrusted is dead, before the ledger is closed."""

    async def _end(self, failure: Failure | None) -> None:
        """Each step may be the last of this process: the next life goes on with the same end."""
        if failure:
            self.board.update(failure=failure)
        await self._kill_untrusted()
        await self.wind_down(failure.message if failure else self.stop_reason)
        if failure:
            await self.record(SandboxFailed(reason=failure.reason, message=failure.message))
        await self.record(Closed(reason=failure.reason.value if failure else self.stop_reason or "done"))
        await self.ledger.close()
        self._conclude(failure)

    def _conclude(self, failure: Failure | None) -> None:
        self.board.update(phase=Phase.FAILED if failure else Phase.STOPPED, failure=failure)

    async def _fail_without_evidence(self, error: Exception) -> None:
        message = f"evidence cannot be made durable: {error}"
        try:
            self._conclude(Failure(reason=FailureReason.LEDGER_FAILED, message=message))
        except OSError:
            pass  # the disk refuses this, too; the channel tells it from memory
        await self._kill_untrusted()

    async def _kill_untrusted(self) -> None:
        if self.uses_launcher and self.link.pinned:
            try:
                await self.link.connected(_END_SECONDS)
                await self.link.kill()
            except LauncherLostError:
                return  # the container is gone, and everything in it
            except LauncherError as error:
                self.note(Intervention(by="supervisor", action="kill", detail=f"not complete: {error}"))

    async def end_untrusted(self, code: int) -> None:
        """Makes the launcher exit with this code, and the untrusted container with it. That it is gone is no error."""
        if self.uses_launcher and self.link.pinned:
            try:
                await self.link.connected(_END_SECONDS)
                await self.link.exit(code)
            except (LauncherError, LauncherLostError):
                return

    async def _follow_ledger(self) -> None:
        """A segment that was cut, be it by the clock, is news for whoever copies segments."""
        known = self.ledger.head
        while True:
            try:
                head = await self.ledger.changed(known)
            except LedgerClosedError:
                return
            except LedgerFailedError:
                self.request_stop("the ledger failed")
                return
            if head.segments != known.segments:
                self.board.update()
            known = head

    # --- isolation --------------------------------------------------------------------------------------------

    async def _probe(self) -> None:
        """Before anything untrusted runs, once."""
        if self.board.state.isolation is None:
            await self.probe("the agent was not started, as isolation failed")

    async def probe(self, failed: str) -> None:
        """Tries from inside what must not work, and records it. Raises SandboxFailedError, which begins with `failed`."""
        inside = self.settings.inside
        known = {
            "proxy_ports": inside.proxy_ports,
            "denied_ports": inside.denied_ports,
            "socket": inside.launcher_socket,
        }
        began = time.monotonic()
        assertions = await self.link.probe(self.settings.expect.model_copy(update=known))
        took_ms = round((time.monotonic() - began) * 1000)
        isolation = judge(self.settings.expect, assertions, took_ms)
        await self.record(IsolationProbed(passed=isolation.passed, assertions=assertions))
        before = self.board.state.isolation
        if before is None or (before.passed, before.missing_layers) != (
            isolation.passed,
            isolation.missing_layers,
        ):
            self.board.update(isolation=isolation)
        if not isolation.passed:
            found = ", ".join(isolation.failed) or "the probe tried nothing"
            raise SandboxFailedError(FailureReason.ISOLATION_FAILED, f"{failed}: {found}")

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

    async def receive_hidden(self, criterion: str, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes an archive of hidden tests, where the role has a use for it. Raises RefusedError."""
        raise RefusedError(f"{self.settings.identity.role} takes no hidden tests")

    def take_errand(self, identifier: str) -> Errand | None:
        """The errand, for the gateway that does it now; None: there is none to do."""
        return None

    def receive_reply(self, identifier: str, reply: Reply) -> None:
        """What came of an errand."""

    async def receive_conduct(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes what an agent did, where the role has a use for it. Raises RefusedError."""
        raise RefusedError(f"{self.settings.identity.role} takes no conduct")

    async def receive_part(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes a part of a checkpoint, where the role has a use for one. Raises RefusedError."""
        raise RefusedError(f"{self.settings.identity.role} takes no checkpoint")

    def give_up_checkpoint(self, why: str) -> None:
        """The checkpoint cannot be brought. Raises RefusedError."""
        raise RefusedError(f"{self.settings.identity.role} takes no checkpoint")

    def note_trouble(self, text: str) -> None:
        """What the gateway says of inputs that it cannot bring; "" when that is over."""
        if text != self.board.state.trouble:
            self.board.update(trouble=text)

    def note_storage_trouble(self, text: str) -> None:
        """What the gateway says of object storage; "" when that is over."""
        if text != self.board.state.storage_trouble:
            self.board.update(storage_trouble=text)

    async def _receive(self, chunks: AsyncIterator[bytes], target: Path, digest: str) -> None:
        """Several gateways may bring the same archive at once."""
        part = target.with_name(f"{target.name}.part-{next(self._parts)}")
        hashed, amount = hashlib.sha256(), Amount()
        try:
            async with self.telling("receiving", amount):
                with part.open("wb") as file:
                    async for chunk in chunks:
                        file.write(chunk)
                        hashed.update(chunk)
                        amount.bytes += len(chunk)
            found = hashed.hexdigest()
            if found != digest:
                raise RefusedError(f"the archive has the digest {found}, not {digest}")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    async def take_base(self, into: Path | None) -> None:
        """Waits for the base archive, checks it, and unpacks it where that is asked for. Raises SandboxFailedError."""
        if self.board.state.workspace:
            return
        self.board.update(phase=Phase.WAITING_FOR_WORKSPACE, awaits_checkpoint=self.settings.checkpoint)
        await self.wait_until(self.base_archive.exists, "the workspace was awaited")
        amount = Amount()
        try:
            async with self.telling("unpacking", amount):
                tree = await asyncio.to_thread(self.read_base, into, amount)
        except (SnapshotError, OSError) as error:
            message = f"the workspace cannot be unpacked: {error}"
            if self.settings.workspace_bytes is not None and "more than" in str(error):
                message += ", 70% of limits.resources.storage; raise that, or the class's ceiling"
            raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error
        size = sum(entry.size for entry in tree.entries.values())
        await self.record(WorkspaceReady(digest=tree.digest, files=len(tree.entries), size=size))
        await self.prepare_workspace(tree)
        self.board.update(
            awaits_checkpoint="",
            workspace=tree.digest,
            workspace_bytes=size,
            workspace_files=len(tree.entries),
            phase=Phase.READY,
            trouble="",
            progress=None,
        )

    def read_base(self, into: Path | None, amount: Amount) -> Tree:
        """What is in the base archive, in place of what lies in a folder where one is given. Raises SnapshotError, OSError."""
        most = self.settings.workspace_bytes
        if into is not None:
            clear(into)
            return unpack(self.base_archive, into, amount=amount, most_bytes=most)
        tree = read_tree(self.base_archive)
        if most is not None and sum(entry.size for entry in tree.entries.values()) > most:
            raise SnapshotError(f"its files have more than {most:,} bytes")
        return tree

    # --- commands ---------------------------------------------------------------------------------------------

    async def take_command(self, envelope: CommandEnvelope) -> None:
        """Takes a command once, however often it is sent: durable first, then carried out. Raises RefusedError."""
        if envelope.key in {taken.key for taken in self._commands}:
            return
        command = envelope.command
        if not isinstance(command, Stop | SetDeadline):
            if self.board.state.phase in _FINAL:
                raise RefusedError(f"nothing is begun in phase {self.board.state.phase}")
            self.check(command)
        envelope = envelope.model_copy(update={"taken_ms": _now_ms()})
        taken = [*self._commands, envelope]
        lines = (one.model_dump_json().encode() + b"\n" for one in taken)
        replace_durably(self.folder / "commands.jsonl", b"".join(lines))
        self._commands = taken
        self._note_deadline(envelope)
        self._carry_out(command)
        self.arrived.set()

    def _carry_out(self, command: Command) -> None:
        match command:
            case Stop(reason=reason, checkpoint=checkpoint):
                self.is_saving |= checkpoint
                self.board.update(stopping=reason)
                self.request_stop(reason)
            case SetDeadline(deadline_ms=moved):
                self.note(Intervention(by="operator", action="SetDeadline", detail=str(moved)))
            case _:
                self.carry_out(command)
        if self.board.state.deadline_ms != self.deadline_ms:
            self.board.update(deadline_ms=self.deadline_ms)

    def commands(self) -> list[Command]:
        """Every command taken so far, in order."""
        return [taken.command for taken in self._commands]

    def _note_deadline(self, envelope: CommandEnvelope) -> None:
        """Clocks are looked at once, here: afterwards the deadline comes nearer by a clock that only goes forward."""
        deadline = _deadline_in(envelope.command)
        if deadline is None:
            return
        now, taken = _now_ms(), envelope.taken_ms or _now_ms()
        left = deadline - (envelope.sent_ms or taken) - max(now - taken, 0)
        self.deadline_ms, self._deadline_at = deadline, self._steady() + left / 1000

    def seconds_left(self) -> float:
        """Until the deadline last given, at least 0; without end before one was given."""
        return max(self._deadline_at - self._steady(), 0)

    def request_stop(self, reason: str) -> None:
        """Ends this sandbox in order: from the control plane, or from the pod's own hook."""
        if not self.stop_requested.is_set():
            self.stop_reason = reason
            self.stop_requested.set()

    def leave(self, saving_grace: float) -> None:
        """Its pod comes to its end: what the untrusted side is doing is kept first, if there is time for it."""
        self.saving_seconds = saving_grace
        self.is_saving = saving_grace > 0
        self.request_stop("the sandbox was told to end")

    async def wait_until(self, ready: Callable[[], bool], meanwhile: str) -> None:
        """Waits until `ready()` is true, looking again whenever something arrives.

        Raises SandboxFailedError at the deadline; `meanwhile` is the rest of "limits.deadline passed while …".
        """
        while not ready():
            self.arrived.clear()
            try:
                left = self.seconds_left()
                async with asyncio.timeout(None if math.isinf(left) else left):
                    await self.arrived.wait()
            except TimeoutError:
                message = f"limits.deadline passed while {meanwhile}"
                raise SandboxFailedError(FailureReason.DEADLINE_EXCEEDED, message) from None

    def _load_commands(self) -> list[CommandEnvelope]:
        file = self.folder / "commands.jsonl"
        lines = file.read_bytes().splitlines() if file.exists() else []
        return [CommandEnvelope.model_validate_json(line) for line in lines]

    @asynccontextmanager
    async def telling(self, stage: str, amount: Amount) -> AsyncIterator[None]:
        """Shows in the state how far something has come, if it takes long. Rarely: each time may be written to a status."""

        async def tell() -> None:
            await asyncio.sleep(_FIRST_PROGRESS_SECONDS)
            while True:
                progress = Progress(stage=stage, bytes=amount.bytes, files=amount.files)
                self.board.update(progress=progress)
                await asyncio.sleep(_NEXT_PROGRESS_SECONDS)

        telling = asyncio.ensure_future(tell())
        try:
            yield
        finally:
            telling.cancel()

    # --- the hot window of the ledger -------------------------------------------------------------------------

    def _head(self) -> LedgerHead:
        head, window = self.ledger.head, self.settings.hot_window_seconds
        if window is None or head.closed or not self.has_read_its_ledger:
            return head
        part = window / _LEAVING_PARTS
        edge = math.floor(datetime.now(UTC).timestamp() / part) * part - window
        return head.model_copy(update={"leaving": self.ledger.older_than(datetime.fromtimestamp(edge, UTC))})

    @property
    def has_read_its_ledger(self) -> bool:
        """Whether nothing of it is still to be read from its beginning."""
        return True

    async def mind_what_leaves(self, records: int) -> None:
        """Takes up what this role needs of the ledger up to this record. Raises SegmentsLeftError."""

    async def let_go_of_segments(self, stored: StoredSegments) -> None:
        """Removes segments that object storage gave back. Raises RefusedError; then they stay.

        What is needed of them is read first, then the ledger tells of it, then it is noted that they are elsewhere, and then they are
        removed: an end in between loses nothing. Whoever asks for it and does not wait for the answer does not stop it.
        """
        await asyncio.shield(asyncio.ensure_future(self._let_go_of_segments(stored)))

    async def _let_go_of_segments(self, stored: StoredSegments) -> None:
        async with self._leaving:
            last = stored.first + len(stored.digests) - 1
            if last > (leaving := self._head().leaving):
                raise RefusedError(f"segment {last} is not leaving; those up to {leaving} are")
            try:
                proven = await self.ledger.prove_stored(stored.first, stored.digests)
                await self.mind_what_leaves(proven.records)
                left = SegmentsLeft(first=stored.first, last=last, records=proven.records, hash=proven.head)
                await self.record(left)
                await self.ledger.let_go(proven)
            except (SegmentKeptError, SegmentsLeftError, LedgerClosedError) as error:
                raise RefusedError(str(error)) from error
        self.board.update()

    async def receive_segment(self, number: int, chunks: AsyncIterator[bytes]) -> None:
        """Takes a segment back that had left, where the role has a use for it. Raises RefusedError."""
        raise RefusedError(f"{self.settings.identity.role} awaits no segment")

    # --- evidence ---------------------------------------------------------------------------------------------

    async def record(self, *events: Event) -> int:
        """Makes events durable; the last one's sequence number. Raises LedgerFailedError."""
        position = await self.ledger.append(*events)
        if gaps := sum(isinstance(event, Gap) and event.what != FILES for event in events):
            self.board.update(gaps=self.board.state.gaps + gaps)
        return position.seq

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
        self.board.add_blobs(Blob(name=name, digest=digest, size=target.stat().st_size))
        return digest

    async def keep_pieces(self, pieces: Mapping[str, bytes | Path]) -> tuple[str, ...]:
        """Keeps pieces of evidence that may be there already, such as equal pictures; the digest of each, in order.

        A file is moved. The name of each is what it is called here and the beginning of its digest. Raises OSError.
        """
        kept = [await asyncio.to_thread(self._kept, name, piece) for name, piece in pieces.items()]
        if new := [blob for blob, is_new in kept if is_new]:
            self.board.add_blobs(*new)
        return tuple(blob.digest for blob, _ in kept)

    def _kept(self, name: str, piece: bytes | Path) -> tuple[Blob, bool]:
        if isinstance(piece, bytes):
            part = self.folder / "blobs" / f"part-{next(self._parts)}"
            part.write_bytes(piece)
            piece = part
        digest, size = digest_of(piece), piece.stat().st_size
        target = self.blob_path(digest)
        is_new = digest not in self._pieces
        self._pieces.add(digest)
        piece.replace(target)
        return Blob(name=f"{name}-{digest[:16]}", digest=digest, size=size), is_new

    def blob_path(self, digest: str) -> Path:
        """Where a blob lies."""
        return self.folder / "blobs" / digest

    def _launcher_connected(self, hello: Hello) -> None:
        self.note(
            LauncherConnected(version=hello.version, kernel=hello.kernel, landlock_abi=hello.landlock_abi)
        )

    def _launcher_signalled(self, number: int) -> None:
        if count := self._provoked("signal"):
            detail = f"PID 1 got signal {number}{count}"
            self.note(Intervention(by="unknown", action="signal", detail=detail))

    def _intruded(self, detail: str) -> None:
        if count := self._provoked("launcher"):
            self.note(Intruder(door="launcher", detail=f"{detail}{count}"))

    def _provoked(self, kind: str) -> str:
        """What to add to the note; empty for no note. A hostile side repeats without end what must stay a few records."""
        self._provocations[kind] += 1
        count = self._provocations[kind]
        return f" (number {count})" if count <= _NOTED_IN_FULL or count.bit_count() == 1 else ""


async def _failure_of(living: asyncio.Future[None]) -> Failure | None:
    try:
        await living
    except asyncio.CancelledError:
        return None
    except SandboxFailedError as error:
        return Failure(reason=error.reason, message=str(error))
    except LauncherLostError as error:
        return Failure(reason=FailureReason.LAUNCHER_LOST, message=str(error))
    except (LedgerFailedError, RecordingError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the task must end with its reason
        return Failure(reason=FailureReason.INTERNAL_ERROR, message=f"{type(error).__name__}: {error}")
    return None


def _deadline_in(command: Command) -> int | None:
    match command:
        case SetDeadline(deadline_ms=deadline) | Verify(deadline_ms=deadline):
            return deadline
        case StartAgent(envelope=envelope):
            return envelope.limits.deadline_ms
        case _:
            return None


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
