"""How the supervisor's process ends, and with which code the untrusted container does."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from axiom_sandbox.protocol.channel import Command, Phase
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.running import supervise
from axiom_sandbox.supervising.sandbox import Sandbox
from axiom_sandbox.supervising.settings import SandboxSettings


class Idle(Sandbox):
    """Lives until it is told to end, or for no time at all."""

    ends_by_itself = False
    code: int | None = None

    @property
    def uses_launcher(self) -> bool:
        return False

    async def live(self) -> None:
        if not self.ends_by_itself:
            await asyncio.Event().wait()

    def check(self, command: Command) -> None:
        raise NotImplementedError

    async def end_untrusted(self, code: int) -> None:
        self.code = code


@pytest.mark.parametrize(("ends_by_itself", "code"), [(False, 143), (True, 0)])
async def test_only_a_sandbox_that_was_done_lets_its_pod_succeed(
    tmp_path: Path, ends_by_itself: bool, code: int
) -> None:
    """The kubelet forgets that it evicted a pod all of whose containers end with 0."""
    made: list[Idle] = []

    def make(settings: SandboxSettings) -> Sandbox:
        made.append(Idle(settings))
        made[0].ends_by_itself = ends_by_itself
        return made[0]

    settings = SandboxSettings(
        identity=Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT),
        state=tmp_path / "state",
        workspace=tmp_path / "workspace",
        home=tmp_path / "home",
        launcher_socket=tmp_path / "launcher.sock",
        channel_socket=tmp_path / "channel.sock",
        sealing_grace=0,
    )
    running = asyncio.create_task(supervise(make, settings))
    async with asyncio.timeout(60):
        while not made or (ends_by_itself and made[0].board.state.phase is not Phase.STOPPED):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await running
    assert made[0].board.state.phase is Phase.STOPPED
    assert made[0].code == code
