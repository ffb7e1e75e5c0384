"""A sandbox whose untrusted side is real, and whose trusted side lives in the test's own process.

So its life can be ended at any event and begun again, as by `kill -9`, while the launcher and the agent go on.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from aiohttp import web

from axiom.backends.bubblewrap import BubblewrapSandbox
from axiom.backends.contract import SandboxSpec
from axiom.backends.host import find_launcher
from axiom.channel import Channel
from axiom_sandbox.ledger.checking import verify
from axiom_sandbox.ledger.files import stored_lines
from axiom_sandbox.ledger.records import Record, decode
from axiom_sandbox.protocol.channel import (
    AgentProgram,
    Command,
    CommandEnvelope,
    Envelope,
    Limits,
    Phase,
    SandboxState,
    StartAgent,
)
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.events import Event
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Network
from axiom_sandbox.snapshots import digest_of, pack
from axiom_sandbox.supervising.agent import AgentSandbox
from axiom_sandbox.supervising.sandbox import Sandbox
from axiom_sandbox.supervising.serving import serve
from axiom_sandbox.supervising.settings import SandboxSettings
from axiom_sandbox.supervising.verifier import VerifierSandbox
from axiom_sandbox.terminal.seeking import has_index, unpacking

PATIENCE = 60
CRITERION = Criterion.model_validate({"name": "out", "files": {"expect": [{"path": "out"}]}})


def soon(seconds: float) -> int:
    """Unix time in ms, so many seconds from now."""
    return int((datetime.now(UTC).timestamp() + seconds) * 1000)


def start(
    script: str,
    *,
    prompt: str = "do it",
    number: int = 1,
    limits: dict[str, Any] | None = None,
    **program: Any,
) -> StartAgent:
    """The start of an agent that is a shell script."""
    given = {"deadline_ms": soon(600), "idle_seconds": 600, "storage_bytes": 2**30, "processes": 128}
    return StartAgent(
        envelope=Envelope(
            prompt=prompt,
            criteria=(CRITERION,),
            limits=Limits(**{**given, **(limits or {})}),
            agent_class="shell",
            max_rounds=3,
        ),
        program=AgentProgram(**{"command": ("/bin/sh", "-c", script), **program}),
        prompt=prompt,
        round=number,
    )


class Mortal(Sandbox):
    """A trusted side whose process dies right before or right after the first event of a kind is durable."""

    event: type[Event]
    before: bool
    died: asyncio.Event

    async def record(self, *events: Event) -> None:
        if self.died.is_set():
            raise asyncio.CancelledError
        hit = any(isinstance(event, self.event) for event in events)
        if not (hit and self.before):
            await super().record(*events)
        if hit:
            self.died.set()
            await asyncio.Event().wait()


class MortalAgent(Mortal, AgentSandbox):
    """Role `agent`."""


class MortalVerifier(Mortal, VerifierSandbox):
    """Role `verifier`."""


def dying(
    event: type[Event], before: bool, kind: type[Mortal] = MortalAgent
) -> Callable[[SandboxSettings], Sandbox]:
    """Makes a trusted side that dies at this event."""

    def make(settings: SandboxSettings) -> Sandbox:
        made = kind(settings)
        made.event, made.before, made.died = event, before, asyncio.Event()
        return made

    return make


@dataclass
class Life:
    """One life of the trusted side's process."""

    sandbox: Sandbox
    runner: web.AppRunner
    running: asyncio.Task[None]
    channel: Channel
    others: set[asyncio.Task[Any]]
    """Tasks that were there before."""

    async def until(self, wanted: Callable[[SandboxState], bool]) -> SandboxState:
        async with asyncio.timeout(PATIENCE):
            state = await self.channel.state()
            while not wanted(state):
                assert state.phase not in (Phase.FAILED, Phase.STOPPED), state
                state = await self.channel.state(since=state.revision)
            return state

    async def reached(self, phase: Phase, number: int = 0) -> SandboxState:
        return await self.until(lambda state: state.phase is phase and state.round >= number)

    async def send(self, command: Command, key: str = "") -> None:
        await self.channel.send(CommandEnvelope(key=key or uuid.uuid4().hex, command=command))

    async def end(self) -> None:
        """As `kill -9` would: what is durable stays, nothing else is done."""
        if self.running in self.others:
            return
        self.others.add(self.running)
        mine = asyncio.all_tasks() - self.others | {self.running}
        mine.discard(asyncio.current_task())  # type: ignore[arg-type]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        await self.sandbox.close()
        await self.runner.cleanup()
        await self.channel.close()


@dataclass
class Bench:
    """One sandbox: the untrusted side runs for as long as the context is open."""

    folder: Path
    role: Role = Role.AGENT
    network: Network = Network.LOOPBACK
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from those of a local run."""
    lives: list[Life] = field(default_factory=list)
    launcher: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        trial = int(self.role is Role.VERIFIER)
        identity = Identity(
            namespace="n", task="t", task_id="u", attempt=1, role=self.role, round=trial, trial=trial
        )
        spec = SandboxSpec(identity, self.network, 512, 2**31)
        self.box = BubblewrapSandbox(spec, self.folder / "sandbox", lambda: None)
        self.box.prepare()
        self.settings = self.box.settings().model_copy(update=self.changes)

    @property
    def workspace(self) -> Path:
        return self.settings.workspace

    async def begin(self, make: Callable[[SandboxSettings], Sandbox] = AgentSandbox) -> Life:
        others = asyncio.all_tasks()
        sandbox = make(self.settings)
        runner = await serve(sandbox, self.settings)
        running = asyncio.create_task(sandbox.run())
        life = Life(sandbox, runner, running, self.box.attach(), others)
        self.lives.append(life)
        return life

    async def ready(self, files: dict[str, str] | None = None, **begin: Any) -> Life:
        """A first life, with the base in place."""
        life = await self.begin(**begin)
        archive = pack_base(self.folder, files or {})
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(archive, digest_of(archive))
        await life.reached(Phase.READY)
        return life

    def first_process(self) -> int:
        """PID 1 of the sandbox, as this machine counts."""
        assert self.launcher is not None
        pid = self.launcher.pid
        [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def records(self) -> list[Record]:
        return [decode(line) for line in stored_lines(self.settings.state / "ledger")]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [record.payload for record in self.records() if record.event == name]

    def check_chain(self) -> None:
        found = verify(stored_lines(self.settings.state / "ledger"), None)
        assert found.intact, found.broken

    def blob(self, state: SandboxState, name: str) -> bytes:
        [digest] = [blob.digest for blob in state.blobs if blob.name == name]
        return (self.settings.state / "blobs" / digest).read_bytes()

    def recording(self, state: SandboxState) -> bytes:
        """Unpacked."""
        packed = BytesIO(self.blob(state, "recording"))
        assert has_index(packed)
        return unpacking(packed).read()


def pack_base(folder: Path, files: dict[str, str]) -> Path:
    """Files → a base archive."""
    tree, archive = folder / "base", folder / "base.tar.zst"
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
    tree.mkdir(exist_ok=True)
    pack(tree, archive)
    return archive


@asynccontextmanager
async def open_bench(folder: Path, **options: Any) -> AsyncIterator[Bench]:
    bench = Bench(folder, **options)
    command = bench.box.command(find_launcher())
    launcher = bench.launcher = await asyncio.create_subprocess_exec(*command, start_new_session=True)
    try:
        yield bench
    finally:
        for life in bench.lives:
            await life.end()
        launcher.kill()
        await launcher.wait()
        await bench.box.stop()
