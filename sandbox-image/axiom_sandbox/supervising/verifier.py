"""The verifier's sandbox: the base and the changes come in, the candidate's code runs through the launcher, a verdict stands."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from axiom_sandbox.protocol.channel import Command, FailureReason, Phase, Verification, Verify
from axiom_sandbox.protocol.conduct import MAX_CONDUCT, Conduct
from axiom_sandbox.protocol.criteria import CriterionName
from axiom_sandbox.protocol.errands import Errand, Reply
from axiom_sandbox.protocol.events import Event
from axiom_sandbox.protocol.launching import Channel, Exit, Lockdown, Network, ProcessLimits, Start
from axiom_sandbox.protocol.pages import Form, Shot, Shown
from axiom_sandbox.snapshots.writing import clear
from axiom_sandbox.supervising.browser import Browser
from axiom_sandbox.supervising.descriptors import write_all
from axiom_sandbox.supervising.errands import ErrandBoard
from axiom_sandbox.supervising.launcher_link import Handover, LauncherError, LauncherLink, LauncherLostError
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox, SandboxFailedError
from axiom_sandbox.supervising.settings import SandboxSettings
from axiom_sandbox.verifying.driver import Consulting, verify
from axiom_sandbox.verifying.hiding import MOUNT_FOLDER
from axiom_sandbox.verifying.rooms import LOOKED, READY, Job, Look, Outcome, RoomError, Seen

_FILE_BYTES = 1024**3
_PROCESSES = 512
_OPEN_FILES = 4096
_PICTURE_BYTES = 96 * 1024**2
"""Of all pictures of one verification, compressed; ordinary pages have some hundred kilobytes."""
_DRAIN_SECONDS = 2.0
_NAMES: TypeAdapter[str] = TypeAdapter(CriterionName)


class VerifierSandbox(Sandbox):
    """Role `verifier`."""

    def __init__(self, settings: SandboxSettings) -> None:
        super().__init__(settings)
        self.changes_archive = self.folder / "changes.tar.zst"
        self._errands = ErrandBoard(lambda ids: self.board.update(errands=ids))

    async def live(self) -> None:
        """Base and changes → verdict."""
        await self.take_base(None)
        await self.wait_until(
            lambda: self._order is not None and self.changes_archive.exists(), "the changes were awaited"
        )
        order = self._order
        assert order is not None
        if self.board.state.verification is None:
            self.board.update(phase=Phase.RUNNING, round=order.round)
            self.board.update(phase=Phase.VERIFIED, verification=await self._verify(order))
            await self.ledger.cut("the verdict stands")
        await asyncio.Event().wait()

    def check(self, command: Command) -> None:
        """Verify, once."""
        if not isinstance(command, Verify):
            raise RefusedError(f"a verifier takes no {command.kind}")
        if self._order is not None:
            raise RefusedError("a verification was ordered already")

    async def receive_changes(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes the changes archive. Raises RefusedError."""
        if not self.changes_archive.exists():
            await self._receive(chunks, self.changes_archive, digest)
            self.arrived.set()

    def take_errand(self, identifier: str) -> Errand | None:
        """The errand, for the gateway that does it now."""
        return self._errands.take(identifier)

    def receive_reply(self, identifier: str, reply: Reply) -> None:
        """What came of an errand."""
        self._errands.bring(identifier, reply)

    async def receive_conduct(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes what the agent did. Raises RefusedError."""
        if not self._conduct_file.exists():
            await self._receive(chunks, self._conduct_file, digest)

    async def receive_hidden(self, criterion: str, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes the archive of a criterion's hidden tests. Raises RefusedError."""
        if not _is_criterion_name(criterion):
            raise RefusedError(f"{criterion!r} is no criterion's name")
        target = self._hidden_folder / criterion
        if not target.exists():
            self._hidden_folder.mkdir(exist_ok=True)
            await self._receive(chunks, target, digest)
            self.note_trouble("")

    @property
    def _conduct_file(self) -> Path:
        return self.folder / "conduct.json"

    def _conduct(self) -> Conduct | None:
        """None where nobody brought it: there is no agent, or one whose sandbox did not write it."""
        if not self._conduct_file.exists() or self._conduct_file.stat().st_size > MAX_CONDUCT:
            return None
        return Conduct.model_validate_json(self._conduct_file.read_bytes())

    @property
    def _hidden_folder(self) -> Path:
        return self.folder / "hidden"

    def _hidden(self, order: Verify) -> dict[str, Path]:
        """Where hidden tests and baselines of each criterion lie: brought by the gateway, or mounted."""
        names = [criterion.name for criterion in order.criteria if criterion.brings]
        brought = {name: self._hidden_folder / name for name in names}
        return {name: path if path.exists() else MOUNT_FOLDER / name for name, path in brought.items()}

    @property
    def _order(self) -> Verify | None:
        return next((command for command in self.commands() if isinstance(command, Verify)), None)

    async def _verify(self, order: Verify) -> Verification:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        await self._forget_candidates()
        try:
            async with asyncio.timeout(self.seconds_left()):
                return await verify(
                    LauncherRoom(self.link, self.settings, Browser(self.settings.browser, self.link)),
                    self.base_archive,
                    self.changes_archive,
                    order.criteria,
                    order.round,
                    scratch,
                    self._tell,
                    candidate=order.candidate,
                    said=order.said,
                    keep=self.keep_pieces,
                    hidden=self._hidden(order),
                    conduct=self._conduct(),
                    consulting=Consulting(
                        self._errands, order.prompt, order.judges, order.agent_vendor, order.reached
                    ),
                )
        except TimeoutError:
            message = "limits.deadline passed while the criteria were being decided"
            raise SandboxFailedError(FailureReason.DEADLINE_EXCEEDED, message) from None

    async def _tell(self, event: Event) -> None:
        await self.record(event)

    async def _forget_candidates(self) -> None:
        """An earlier life of this process may have ended in the middle: what it ran counts for nothing."""
        await self.link.kill()
        for name in self.link.names:
            await self.link.release(name)


def _is_criterion_name(text: str) -> bool:
    try:
        _NAMES.validate_python(text)
    except ValidationError:
        return False
    return True


class LauncherRoom:
    """The clean room: runs the candidate's code in the untrusted container, with no network at all, or its own loopback."""

    def __init__(self, link: LauncherLink, settings: SandboxSettings, browser: Browser) -> None:
        self._browser = browser
        self._link, self._settings, self._inside = link, settings, settings.inside
        self.tree: Path = settings.workspace
        self.workspace = settings.inside.workspace
        self.python = settings.inside.python
        self.tools = settings.inside.tools
        self._count, self._room_for_pictures = 0, _PICTURE_BYTES

    async def run(self, job: Job) -> Outcome:
        """Runs one job; every process of it is dead when this returns."""
        self._count += 1
        name = f"candidate-{self._count}"
        try:
            return await self._run(name, job)
        except LauncherLostError as error:
            raise RoomError(str(error)) from error

    async def _run(self, name: str, job: Job) -> Outcome:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.to_thread(self._empty_leftovers)
        try:
            handover = await self._link.start(self._start(name, job))
        except LauncherError as error:
            return Outcome(start_error=f"{error.stage}: {error}", duration=loop.time() - began)
        output = _Collector(job.max_output, keep_tail=True)
        channels = {channel: _Collector(job.max_channel) for channel in job.channels}
        readers = [
            asyncio.ensure_future(_read(handover.fds.pop(fd), collector))
            for fd, collector in (("stdout", output), ("stderr", output), *channels.items())
        ]
        feeders = [
            asyncio.ensure_future(_feed(handover.fds.pop(feed), data)) for feed, data in job.feeds.items()
        ]
        for feed in (*job.feeds, *((LOOKED,) if job.looks else ())):
            await self._link.close_fd(name, feed)
        seen = list[Seen]()
        looking = asyncio.ensure_future(self._look_on(job, handover, seen))
        ended, timed_out = await self._ended(name, job.timeout)
        await self._link.kill()
        looking.cancel()
        exit_ = ended or await self._link.exited(name)
        await self._link.release(name)
        _, late = await asyncio.wait([*readers, *feeders, looking], timeout=_DRAIN_SECONDS)
        for task in late:
            task.cancel()
        handover.close()
        return Outcome(
            code=exit_.code,
            signal=exit_.signal,
            timed_out=timed_out,
            duration=loop.time() - began,
            output=bytes(output.data),
            dropped=output.dropped,
            channels={channel: bytes(collector.data) for channel, collector in channels.items()},
            seen=tuple(seen),
            resource=exit_,
        )

    async def _look_on(self, job: Job, handover: Handover, seen: list[Seen]) -> None:
        """Has the job's pages looked at, one after the other, once the program says that they are there."""
        if not job.looks:
            return
        await _read(handover.fds.pop(READY), _Collector(0))
        for look in job.looks:
            seen += [await self._seen(look)]
        os.close(handover.fds.pop(LOOKED))

    async def _seen(self, look: Look) -> Seen:
        taken = await self._browser.take(_shot(look))
        packed = await asyncio.to_thread(zlib.compress, taken.picture, 1)
        self._room_for_pictures -= len(packed)
        if self._room_for_pictures < 0:
            return Seen(Shown(error="the pictures of this verification together are too large"))
        return Seen(taken.shown, packed if taken.picture else b"")

    def _empty_leftovers(self) -> None:
        """What an earlier candidate left outside the tree must not help the next."""
        for folder in (self._settings.home, self._settings.tmp):
            if folder is not None:
                clear(folder)

    async def _ended(self, name: str, timeout: float) -> tuple[Exit | None, bool]:
        try:
            async with asyncio.timeout(timeout):
                return await self._link.exited(name), False
        except TimeoutError:
            return None, True

    def _start(self, name: str, job: Job) -> Start:
        inside = self._inside
        return Start(
            name=name,
            argv=job.argv,
            env=tuple(f"{key}={value}" for key, value in job.env.items()),
            cwd=job.cwd,
            stdin="null",
            stdout="pipe",
            stderr="pipe",
            channels=(
                *(Channel(name=feed, direction="in") for feed in job.feeds),
                *(Channel(name=channel) for channel in job.channels),
                *((Channel(name=READY), Channel(name=LOOKED, direction="in")) if job.looks else ()),
            ),
            lockdown=Lockdown(
                network=Network.LOOPBACK if job.loopback else Network.NONE,
                denied_ports=inside.denied_ports if job.loopback else (),
                write_paths=inside.write_paths,
                limits=ProcessLimits(
                    file_size=_FILE_BYTES,
                    processes=_PROCESSES if inside.own_user else 0,
                    open_files=_OPEN_FILES,
                ),
            ),
        )


def _shot(look: Look) -> Shot:
    return Shot(
        port=look.port,
        path=look.path,
        width=look.width,
        height=look.height,
        seconds=look.seconds,
        form=Form.PIXELS,
    )


class _Collector:
    """Bytes from a pipe, bounded: the first of them, or with `keep_tail` the last."""

    def __init__(self, most: int, keep_tail: bool = False) -> None:
        self.data, self.dropped = bytearray(), 0
        self._most, self._keep_tail = most, keep_tail

    def add(self, data: bytes) -> None:
        self.data += data
        over = len(self.data) - self._most
        if over > 0:
            self.dropped += over
            if self._keep_tail:
                del self.data[:over]
            else:
                del self.data[self._most :]


async def _read(fd: int, collector: _Collector) -> None:
    """Reads a pipe to its end. Owns the descriptor."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    done = asyncio.Event()

    def readable() -> None:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        if data:
            collector.add(data)
        else:
            done.set()

    loop.add_reader(fd, readable)
    try:
        await done.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def _feed(fd: int, data: bytes) -> None:
    """Writes a pipe and ends it. What the candidate does not read it cannot use. Owns the descriptor."""
    try:
        await write_all(fd, data)
    finally:
        os.close(fd)
