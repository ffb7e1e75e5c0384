"""What the supervisor takes, and what it costs: `python -m bench.supervising pump|flood|kill|rest|state|resume [--bytes N] [--times N] [--seconds N]`.

Prints one JSON object. `pump` is a terminal read within this process; the others are whole sandboxes under bubblewrap, whose
supervisors are processes of their own, with pictures of the terminal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from axiom.backends.bubblewrap import BubblewrapSandbox
from axiom.backends.contract import SandboxSpec
from axiom.channel import Channel
from axiom_sandbox.ledger import Ledger, stored_lines
from axiom_sandbox.ledger.records import decode
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.channel import (
    AgentProgram,
    CommandEnvelope,
    Envelope,
    Limits,
    Phase,
    SandboxState,
    StartAgent,
    Stop,
)
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Network
from axiom_sandbox.protocol.pictures import PictureSettings
from axiom_sandbox.snapshots import digest_of, pack
from axiom_sandbox.supervising.restoring import read_manifest
from axiom_sandbox.supervising.terminal_pump import TerminalPump
from axiom_sandbox.terminal.recording import Recording
from bench.checkpoints import fill

IDENTITY = Identity(namespace="bench", task="bench", task_id="bench", attempt=1, role=Role.AGENT)
FILES = 2_000
"""Of the workspace that is gone on with."""
LINE = "\\033[32m   Compiling\\033[0m a crate of some length v1.2.3 (/workspace/crates/some-length)"
FLOOD = "stty -opost; yes \"$(printf '%b' '" + LINE + "')\""
CRITERION = Criterion.model_validate({"name": "out", "files": {"expect": [{"path": "out"}]}})
_AGENT = """
import json, sys, time
def say(message): sys.stdout.write(json.dumps(message) + "\\n"); sys.stdout.flush()
sys.stdin.readline()
say({"type": "system", "subtype": "init", "session_id": "s", "claude_code_version": "2.1.329", "model": "m"})
for number in range(COUNT):
    time.sleep(0.02)
    use = {"type": "tool_use", "id": str(number), "name": str(time.time_ns()), "input": {}}
    say({"type": "assistant", "message": {"id": "m", "content": [use]}, "session_id": "s", "parent_tool_use_id": None})
    time.sleep(0.02)
    result = {"type": "tool_result", "tool_use_id": str(number), "content": "done"}
    say({"type": "user", "message": {"content": [result]}, "session_id": "s", "parent_tool_use_id": None})
say({"type": "result", "subtype": "success", "is_error": False, "result": "done", "session_id": "s"})
"""


# --- the terminal alone -----------------------------------------------------------------------------------------------


async def pump(size: int, folder: Path) -> dict[str, Any]:
    """A terminal that is written as fast as it is read, into recording and ledger; everything of it is recorded."""
    master, slave = os.openpty()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    recording = Recording.open(folder / "recording.cast", 120, 40, limit=8 * size)
    ledger = Ledger.open(folder / "ledger", IDENTITY, lambda: datetime.now(UTC))

    async def record(*events: Any) -> int:
        return (await ledger.append(*events)).seq

    heard = 0

    def on_output(count: int) -> None:
        nonlocal heard
        heard += count

    async def look(_: bytes) -> None:
        """What is shown is looked through in a sandbox."""

    pumped = TerminalPump(master, recording, record, on_output, noted=0, look=look, size=(120, 40))
    running = asyncio.ensure_future(pumped.run())
    await pumped.shows.wait()
    script = f"{FLOOD} | head -c {size}"
    writer = subprocess.Popen(["/bin/sh", "-c", script], stdin=slave, stdout=slave, stderr=slave)
    os.sched_setaffinity(writer.pid, {max(os.sched_getaffinity(writer.pid) | _cores())})
    os.close(slave)
    began, used = time.perf_counter(), time.process_time()
    await pumped.finish(3600)
    await running
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    recording.close()
    await ledger.close()
    writer.wait()
    noted = sum(
        record.payload["size"] for record in _records(folder / "ledger") if record.event == "terminal"
    )
    assert noted == heard == size, (noted, heard, size)
    return {
        "bytes": size,
        "mb_per_second": size / seconds / 1e6,
        "mb_per_processor_second": size / processor / 1e6,
        "passed_over": pumped.screen.skipped,
        "resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _cores() -> set[int]:
    return set(range(os.cpu_count() or 1))


# --- whole sandboxes --------------------------------------------------------------------------------------------------


@dataclass
class Running:
    """A sandbox, its base in place."""

    box: BubblewrapSandbox
    channel: Channel
    folder: Path

    async def start(self, program: AgentProgram) -> None:
        """The agent begins."""
        limits = Limits(
            deadline_ms=int(time.time() * 1000) + 3_600_000,
            idle_seconds=3600,
            storage_bytes=2**34,
            processes=256,
        )
        envelope = Envelope(prompt="-", criteria=(CRITERION,), limits=limits, agent_class="-", max_rounds=1)
        await self.send(StartAgent(envelope=envelope, program=program, prompt="-"))

    async def send(self, command: Any) -> None:
        """A command, once."""
        await self.channel.send(CommandEnvelope(key=uuid.uuid4().hex, command=command))

    async def reached(self, phase: Phase) -> SandboxState:
        """Waits for it."""
        state = await self.channel.state()
        while state.phase is not phase:
            assert state.phase is not Phase.FAILED, state.failure
            state = await self.channel.state(since=state.revision)
        return state

    def status(self, name: str) -> int:
        """A line of the supervisor's /proc/PID/status, in KiB."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:")))

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self.box.supervisor is not None
        return self.box.supervisor.pid

    def processor_seconds(self) -> float:
        """What the supervisor used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def sandbox(
    base: Path | None = None, checkpoint: str = "", parts: Path | None = None
) -> AsyncIterator[Running]:
    """One that is ready for its agent: on a base archive, or on a checkpoint whose parts lie in a folder."""
    with tempfile.TemporaryDirectory(dir="build") as name:
        folder = Path(name).resolve()
        if base is None:
            (folder / "base").mkdir()
            base = folder / "base.tar.zst"
            pack(folder / "base", base)
        spec = SandboxSpec(IDENTITY, Network.LOOPBACK, 512, 2**31, checkpoint=checkpoint)
        box = BubblewrapSandbox(spec, folder, lambda: None)
        await box.start()
        try:
            async with box.attach() as channel:
                running = Running(box, channel, folder)
                await running.reached(Phase.WAITING_FOR_WORKSPACE)
                if parts:
                    manifest = read_manifest((parts / checkpoint).read_bytes())
                    for digest in (*(part.digest for part in manifest.parts), checkpoint):
                        await channel.put_checkpoint(parts / digest, digest)
                await channel.put_workspace(base, digest_of(base))
                await running.reached(Phase.READY)
                yield running
        finally:
            await box.stop()


def program(script: str) -> AgentProgram:
    """A shell script on a terminal that is photographed."""
    return AgentProgram(command=("/bin/sh", "-c", script), pictures=PictureSettings(terminal=True))


async def flood(size: int) -> dict[str, Any]:
    """An agent that writes so many bytes to its terminal as fast as they are read."""
    async with sandbox() as running:
        began = time.perf_counter()
        await running.start(program(f"{FLOOD} | head -c {size}"))
        state = await running.reached(Phase.ROUND_ENDED)
        seconds = time.perf_counter() - began
        peak = running.status("VmHWM") / 1024
        await running.send(Stop(reason="done"))
        await running.reached(Phase.STOPPED)
        records = list(_records(running.folder / "state" / "ledger"))
    noted = sum(record.payload["size"] for record in records if record.event == "terminal")
    gaps = [record.payload for record in records if record.event == "gap"]
    missing = sum(gap["size"] for gap in gaps if gap["what"] == "recording")
    kept = next((gap["start"] for gap in gaps if gap["what"] == "recording"), noted)
    assert noted == size, (noted, size)
    assert kept + missing == size, gaps
    assert [gap for gap in gaps if gap["what"] != "recording"] == [], gaps
    return {
        "bytes": size,
        "mb_per_second": size / seconds / 1e6,
        "resident_mib": peak,
        "kept": kept,
        "declared_missing": missing,
        "screenshots": sum(record.event == "screenshot" for record in records),
        "rounds": len(state.rounds),
    }


async def kill(times: int) -> dict[str, Any]:
    """From the command to stop until nothing of a flooding agent lives."""
    took = []
    for number in range(times):
        async with sandbox() as running:
            mark = f"flood{os.getpid()}n{number}"
            await running.start(program(f"FLOOD={mark}; export FLOOD; {FLOOD}"))
            state = await running.reached(Phase.RUNNING)
            while state.first_output_ms is None:
                state = await running.channel.state(since=state.revision)
            await asyncio.sleep(1)
            processes = _marked(mark)
            assert processes
            began = time.perf_counter()
            stopping = asyncio.ensure_future(running.send(Stop(reason="enough")))
            while any(_lives(process) for process in processes):
                await asyncio.sleep(0.002)
            took.append(time.perf_counter() - began)
            assert not _marked(mark)
            await stopping
    return {"seconds": sorted(took)}


def _marked(mark: str) -> list[Path]:
    """Folders of the processes that have this in their environment."""
    wanted, found = f"FLOOD={mark}".encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if wanted in (folder / "environ").read_bytes():
                    found.append(folder)
            except OSError:
                continue
    return found


def _lives(process: Path) -> bool:
    """Whether a process still runs. Looking for others costs so much that what is measured would wait for it."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def rest(seconds: float) -> dict[str, Any]:
    """A supervisor whose agent does nothing, once what began with it has ended."""
    async with sandbox() as running:
        await running.start(program("echo begun; sleep 3600"))
        await running.reached(Phase.RUNNING)
        await asyncio.sleep(40)
        used, began = running.processor_seconds(), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (running.processor_seconds() - used) / (time.perf_counter() - began)
        return {"resident_mib": running.status("VmRSS") / 1024, "share_of_a_core": share, "seconds": seconds}


async def state(times: int) -> dict[str, Any]:
    """From the moment at which an agent says that it runs a tool until that state has come through the ledger's stream."""
    async with sandbox() as running:
        script = running.folder / "workspace" / "agent.py"
        script.write_text(_AGENT.replace("COUNT", str(times)))
        command = ("/usr/bin/python3", "/workspace/agent.py")
        await running.start(
            AgentProgram(driver=DriverName.CLAUDE, command=command, pictures=PictureSettings(terminal=True))
        )
        took = []
        async for line in running.channel.events():
            record = decode(line.rstrip(b"\n"))
            detail = record.payload.get("state", {}).get("detail", "") if record.event == "state" else ""
            if detail.isdecimal():
                took.append((time.time_ns() - int(detail)) / 1e9)
            if record.event == "claim":
                break
    assert len(took) >= times * 0.9, len(took)
    return {"seconds": sorted(took)}


async def resume(times: int, size: int) -> dict[str, Any]:
    """From a sandbox's start to its agent's first byte: on a base, and on a checkpoint of the same workspace, in turns."""
    found: dict[str, list[float]] = {"cold": [], "resumed": []}
    with tempfile.TemporaryDirectory(dir="build") as name:
        folder = Path(name).resolve()
        base, parts = folder / "base.tar.zst", folder / "parts"
        fill(folder / "base", FILES, size, random.Random(1))
        pack(folder / "base", base)
        async with sandbox(base) as running:
            await running.start(program("for one in 1 2 3 4 5 6 7 8 9 10; do echo $one > changed-$one; done"))
            [taken] = (await running.reached(Phase.ROUND_ENDED)).checkpoints
            shutil.copytree(running.folder / "state" / "blobs", parts)
        for _ in range(times):
            for kind, checkpoint in (("cold", ""), ("resumed", taken.digest)):
                began = time.time()
                async with sandbox(base, checkpoint, parts if checkpoint else None) as running:
                    await running.start(program("echo begun; sleep 600"))
                    state = await running.reached(Phase.RUNNING)
                    while state.first_output_ms is None:
                        state = await running.channel.state(since=state.revision)
                    assert state.restored is None or state.restored.ok, state.restored
                    found[kind].append(state.first_output_ms / 1000 - began)
    return {"bytes": size, "files": FILES, **found}


def _records(folder: Path) -> Any:
    return (decode(line) for line in stored_lines(folder))


def main() -> None:
    """Run once and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pump", "flood", "kill", "rest", "state", "resume"])
    parser.add_argument("--bytes", type=int, default=512 * 2**20)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    match arguments.what:
        case "pump":
            with tempfile.TemporaryDirectory(dir="build") as folder:
                found = asyncio.run(pump(arguments.bytes, Path(folder)))
        case "flood":
            found = asyncio.run(flood(arguments.bytes))
        case "kill":
            found = asyncio.run(kill(arguments.times))
        case "rest":
            found = asyncio.run(rest(arguments.seconds))
        case "resume":
            found = asyncio.run(resume(arguments.times, arguments.bytes))
        case _:
            found = asyncio.run(state(arguments.times))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
