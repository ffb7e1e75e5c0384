"""Whole local runs: real bubblewrap, real supervisors as processes of their own, the planner and the carrier between."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import AgentTask, AgentTaskStatus
from axiom.api.conditions import ConditionType
from axiom.api.loading import parse_class, parse_task
from axiom.backends.bubblewrap import BubblewrapSandbox
from axiom.backends.contract import SandboxSpec
from axiom.planning.statuses import condition
from axiom.running.local import LocalRun
from axiom.running.workspaces import make_base
from axiom.storage.folder import FolderStore
from axiom_sandbox.ledger.checking import verify
from axiom_sandbox.protocol.channel import SandboxState
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Verdict

OUT = {"name": "out", "files": {"expect": [{"path": "out", "matches": "^done\n?$"}]}}
CONTROL_GROUPS = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup/memory")]


def shell(script: str, **spec: Any) -> AgentClass:
    """An agent that is a shell script; "$1" is its prompt."""
    given = {
        "command": ["/bin/sh", "-c", script, "agent", "$(AXIOM_PROMPT)"],
        "screenshots": {"terminal": False},
    }
    return parse_class({"metadata": {"name": "shell"}, "spec": {**given, **spec}})


def task(**spec: Any) -> AgentTask:
    limits = {"maxRounds": 1, "deadline": "2m", **spec.pop("limits", {})}
    body = {"agentClassName": "shell", "prompt": "do it", "criteria": [OUT], "limits": limits, **spec}
    metadata = {"name": "t", "namespace": "n", "uid": f"u-{time.monotonic_ns()}"}
    return parse_task({"metadata": metadata, "spec": body})


@dataclass
class Play:
    """One run, and what can be known of it while it runs and afterwards."""

    folder: Path
    task: AgentTask
    agent_class: AgentClass
    credentials: dict[str, str] = field(default_factory=dict)
    sandboxes: list[BubblewrapSandbox] = field(default_factory=list)
    statuses: list[AgentTaskStatus] = field(default_factory=list)

    async def play(self) -> AgentTaskStatus:
        scratch = self.folder / "scratch"
        scratch.mkdir()
        base = await make_base(self.task.spec.workspace, scratch, self.folder / "runs")
        run = LocalRun(
            task=self.task,
            agent_class=self.agent_class,
            base=base,
            store=FolderStore(self.folder / "store"),
            folder=scratch,
            make_sandbox=self._make,
            credentials=self.credentials,
            on_status=self.statuses.append,
        )
        return await run.run()

    def _make(self, spec: SandboxSpec, changed: Callable[[], None]) -> BubblewrapSandbox:
        own = self.folder / "scratch" / f"{spec.identity.attempt}-{spec.identity.slot}"
        own.mkdir()
        self.sandboxes.append(BubblewrapSandbox(spec, own, changed))
        return self.sandboxes[-1]

    async def agent(self, wanted: Callable[[SandboxState], bool]) -> BubblewrapSandbox:
        """The agent's sandbox, as soon as its state is as wanted."""
        async with asyncio.timeout(60):
            while not any(box.spec.identity.role is Role.AGENT for box in self.sandboxes):
                await asyncio.sleep(0.01)
            box = next(box for box in self.sandboxes if box.spec.identity.role is Role.AGENT)
            while not listens(box._sockets / "channel.sock"):
                await asyncio.sleep(0.01)
            async with box.attach() as channel:
                state = await channel.state()
                while not wanted(state):
                    state = await channel.state(since=state.revision)
        return box

    def workspace(self) -> Path:
        return self.sandboxes[0]._folder / "workspace"

    def lines(self, slot: str = "agent", attempt: int = 1) -> list[bytes]:
        """The sealed ledger."""
        folder = self.folder / f"store/tasks/n/{self.task.uid}/attempts/{attempt}/{slot}/ledger"
        unpack = zstandard.ZstdDecompressor().decompressobj
        segments = [unpack().decompress(file.read_bytes()) for file in sorted(folder.iterdir())]
        return b"".join(segments).splitlines(keepends=True)

    def events(self, name: str, slot: str = "agent") -> list[dict[str, Any]]:
        records = [json.loads(line) for line in self.lines(slot)]
        return [record["payload"] for record in records if record["event"] == name]

    def check_evidence(self) -> None:
        """The chain is whole, up to the head that the status names."""
        status = self.statuses[-1]
        assert status.ledger is not None
        findings = verify(self.lines(attempt=status.attempt), status.ledger.head)
        assert findings.intact, findings.broken

    def check_nothing_is_left(self) -> None:
        """No process, no control group, no socket."""
        for box in self.sandboxes:
            assert not box._sockets.exists()
            assert not processes_with(str(box._sockets)), box.spec.identity
            groups = [group for root in CONTROL_GROUPS for group in root.glob(f"axiom-*-{box._sockets.name}")]
            assert groups == []


def listens(path: Path) -> bool:
    """A socket's file is there before anybody listens at it."""
    with socket.socket(socket.AF_UNIX) as trial:
        return trial.connect_ex(str(path)) == 0


def processes_with(text: str) -> list[int]:
    """Processes whose command line or environment holds this text."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if text.encode() in (process / "cmdline").read_bytes() + (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def why(status: AgentTaskStatus) -> str:
    """The reason of Complete."""
    found = condition(status, ConditionType.COMPLETE)
    assert found is not None
    return found.reason.value


__all__ = ["OUT", "Play", "Verdict", "processes_with", "shell", "task", "why"]
