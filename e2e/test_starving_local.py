"""Agents that use up what there is, under bubblewrap: recording goes on, and a stop takes effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from axiom.backends.bubblewrap import BubblewrapSandbox
from axiom.backends.contract import SandboxSpec
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Network
from e2e.support.images import compile_agent
from e2e.support.starving import KINDS, PROCESSES, starve

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

SECONDS = 2


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "attacker"
    compile_agent("attacker", path)
    return path


@pytest.fixture
async def box(agent: Path, tmp_path: Path) -> AsyncIterator[BubblewrapSandbox]:
    identity = Identity(namespace="n", task="starved", task_id="u", attempt=1, role=Role.AGENT)
    spec = SandboxSpec(
        identity=identity,
        network=Network.STRICT,
        processes=PROCESSES,
        memory_bytes=2**28,
        read_only_paths=(agent,),
    )
    made = BubblewrapSandbox(spec, tmp_path / "box", lambda: None)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_recording_goes_on_and_a_stop_takes_effect(
    box: BubblewrapSandbox, agent: Path, tmp_path: Path, kind: str
) -> None:
    async with asyncio.timeout(200), box.attach() as channel:
        command = (str(agent), "$(AXIOM_PROMPT)")
        starved = await starve(channel, kind, command, SECONDS, tmp_path / "base")
    starved.check()
