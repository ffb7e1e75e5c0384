"""The real agents' sessions: their files alone, in an empty home, are enough to go on, as often as it takes."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.captures.clis import CLAUDE, CODEX, GEMINI, Cli
from tests.captures.launching import command, driver, home_files
from tests.captures.playing import PLAYERS
from tests.captures.recording import LIMIT_SECONDS, Recorder, Talk, start
from tests.captures.stories import LONG, Story
from tests.fakes.scripted_model import ScriptedModel

from axiom_sandbox.drivers.contract import Driver
from e2e.support.real_clis import needs_node

pytestmark = pytest.mark.e2e

LIVES = 3
"""The first goes on where nobody was, the second in another's home, the third in a home that was taken over before."""


@pytest.mark.parametrize(
    "cli",
    [
        pytest.param(CLAUDE, id=CLAUDE.name),
        pytest.param(CODEX, id=CODEX.name),
        pytest.param(GEMINI, id=GEMINI.name, marks=needs_node),
    ],
)
async def test_a_session_killed_in_mid_tool_goes_on_from_its_files_in_another_home(cli: Cli, tmp_path: Path) -> None:  # fmt: skip
    begun: list[dict[str, Any]] = [{"shell": "echo begun"}, LONG, {"say": "Never said."}]
    story = Story("carried", [begun] * (LIVES - 1) + [[{"say": "I go on."}]])
    workspace, session = tmp_path / "workspace", ""
    workspace.mkdir()
    async with ScriptedModel(story.script) as model:
        for life in range(LIVES):
            home = tmp_path / f"home-{life}"
            machine = driver(cli.name, cli.argv(), workspace, home, os.environ["PATH"], model.url)
            furnish(machine, home, model.url)
            if life:
                carry(machine, tmp_path / f"home-{life - 1}", home)
                shutil.rmtree(tmp_path / f"home-{life - 1}")

            async def begin(known: str, machine: Driver = machine) -> Talk:
                started = command(machine, known)
                env = dict(entry.split("=", 1) for entry in started.env)
                return await start(Recorder(), started.argv, env, workspace, tmp_path / "errors")

            player = PLAYERS[cli.name](story, begin, workspace)
            player.session = session
            talk = await begin(session)
            talk.answer = player.answer
            try:
                await player.open(talk)
                asked = await player.ask(talk, "Go on.")
                assert session in ("", player.session)
                session = player.session
                if life == LIVES - 1:
                    await player.turn_over(talk, asked)
                    await talk.leave()
                else:
                    await runs(talk, workspace, player.says_that_a_command_runs)
            finally:
                await talk.kill()
    spoken = [record for record in model.requests if record.turn]
    assert len({record.conversation for record in spoken}) == 1
    assert spoken[-1].turn == LIVES


def furnish(machine: Driver, home: Path, model: str) -> None:
    for file in home_files(machine, model):
        (home / file.path).parent.mkdir(parents=True, exist_ok=True)
        (home / file.path).write_text(file.content)


def carry(machine: Driver, old: Path, new: Path) -> None:
    """The session's files alone."""
    found = [path for pattern in machine.session_files() for path in old.glob(pattern)]
    assert found
    for path in found:
        target = new / path.relative_to(old)
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, target)


async def runs(talk: Talk, workspace: Path, is_said: Any) -> None:
    """Until the long command runs, and its file is there."""
    await talk.until(is_said, "a running command")
    started = workspace / "started"
    async with asyncio.timeout(LIMIT_SECONDS):
        while not started.exists():
            await asyncio.sleep(0.02)
    started.unlink()
