"""An agent that uses up what it shares with its supervisor, spoken with through the channel, and what that came to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from axiom.channel import Channel
from axiom_sandbox.ledger.checking import verify
from axiom_sandbox.protocol.channel import FailureReason, Phase, SandboxState, Stop
from e2e.support.local_runs import unpacked
from e2e.support.sandboxes import base_archive, give, reached, start_agent

STOPPED = ("cpu", "churn", "memory", "descriptors", "pty", "signals")
"""What goes on until it is stopped."""
ENDED = {"disk": FailureReason.STORAGE_EXCEEDED, "inodes": FailureReason.STORAGE_EXCEEDED}
"""What the supervisor ends by itself, and how."""
KINDS = (*STOPPED, *ENDED)
STOP_SECONDS = 2.0
SILENT_SECONDS = 2.0
STORAGE_BYTES = 64 * 2**20
PROCESSES = 128
_PATIENCE_SECONDS = 120
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Starved:
    """One agent's life."""

    kind: str
    slowest_answer: float
    """Seconds that the supervisor took at most to say how it is, meanwhile."""
    silence: float
    """Seconds between the last note of terminal output and the command to stop, or an earlier end."""
    end: float
    """Seconds from the command to stop until everything of the agent's was dead."""
    failure: FailureReason | None
    broken: str
    """What is wrong with the ledger; "" for nothing."""
    ticks: int
    """Those of the agent's that stand in the recording."""

    def check(self) -> None:
        """Recording went on, the stop took effect, and the evidence is whole. Raises AssertionError."""
        assert self.failure is ENDED.get(self.kind), self
        assert self.broken == "", self
        assert self.ticks > 0, self
        assert self.end < STOP_SECONDS, self
        assert self.silence < SILENT_SECONDS, self


async def starve(
    channel: Channel,
    kind: str,
    command: tuple[str, ...],
    seconds: float,
    folder: Path,
    begun: Callable[[], None] = lambda: None,
) -> Starved:
    """A whole life. `seconds` is how long the agent may do what it does before it is stopped; `begun` is told before that."""
    await make_ready(channel, folder)
    limits = {"storage_bytes": STORAGE_BYTES, "processes": PROCESSES}
    await give(channel, start_agent(f"starve {kind}", command, **limits))
    await reached(channel, lambda state: state.first_output_ms is not None)
    await asyncio.to_thread(begun)
    slowest, until, looking = 0.0, time.monotonic() + seconds, True
    while looking:
        asked = time.monotonic()
        state = await channel.state(timeout=0)
        slowest = max(slowest, time.monotonic() - asked)
        looking = time.monotonic() < until or (kind in ENDED and time.monotonic() < until + _PATIENCE_SECONDS)
        if state.phase is Phase.FAILED:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    sent = time.time()
    if state.phase is not Phase.FAILED:
        await give(channel, Stop(reason="the test is over"))
    state = await over(channel)
    lines = [line async for line in channel.events()]
    records = [json.loads(line) for line in lines]
    [exited] = [when(record) for record in records if record["event"] == "agent_exited"]
    noted = [when(record) for record in records if record["event"] == "terminal"]
    lived = min(sent, exited)
    return Starved(
        kind=kind,
        slowest_answer=slowest,
        silence=lived - max(at for at in noted if at <= max(lived, noted[0])),
        end=exited - sent,
        failure=state.failure.reason if state.failure else None,
        broken=verify(lines, state.ledger.head).broken or "",
        ticks=(await recording(channel, state, folder)).count("tick "),
    )


async def make_ready(channel: Channel, folder: Path) -> None:
    """Waits for the probe, and pushes a workspace."""
    folder.mkdir(parents=True, exist_ok=True)
    await reached(channel, lambda state: state.phase is Phase.WAITING_FOR_WORKSPACE)
    archive, info = base_archive(folder, {"README.md": "Starve.\n"})
    await channel.put_workspace(archive, info.digest)
    await reached(channel, lambda state: state.phase is Phase.READY)


async def over(channel: Channel) -> SandboxState:
    """The state in which everything is over, in order or not."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        state = await channel.state(timeout=0)
        while state.phase not in (Phase.STOPPED, Phase.FAILED):
            state = await channel.state(state.revision)
    return state


async def recording(channel: Channel, state: SandboxState, folder: Path) -> str:
    """What the recording holds, as it lies in the sandbox."""
    [blob] = [blob for blob in state.blobs if blob.name == "recording"]
    target = folder / "recording.cast"
    await channel.fetch_blob(blob.digest, target)
    return unpacked(target.read_bytes()).decode()


def when(record: dict[str, str]) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(record["time_utc"]).timestamp()
