"""Trusted sides that have loaded before there is a sandbox for them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from axiom.backends.local import own_environment, trusted_command
from axiom.backends.understudies import Understudies
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.settings import SandboxSettings

ECHO = "import sys; line = sys.stdin.readline(); open(sys.argv[1], 'w').write(line)"


def settings(folder: Path) -> SandboxSettings:
    identity = Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.VERIFIER, round=1, trial=1)
    paths = dict.fromkeys(("state", "workspace", "home", "tmp", "launcher_socket", "channel_socket"), folder)
    return SandboxSettings.model_validate({"identity": identity, **paths})


class Theatre:
    """Counts what was begun; each is a process that writes down what it is told."""

    def __init__(self, folder: Path, program: str = ECHO) -> None:
        self.folder, self.program = folder, program
        self.begun: list[asyncio.subprocess.Process] = []

    async def begin(self, _: Role) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-Ic", self.program, str(self.folder / "told"), stdin=asyncio.subprocess.PIPE
        )
        self.begun.append(process)
        return process


async def test_an_understudy_is_told_its_sandbox_and_is_used_once(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    understudies = Understudies(theatre.begin)
    understudies.get_ready(Role.VERIFIER)
    understudies.get_ready(Role.VERIFIER)
    taken = await understudies.take(Role.VERIFIER, settings(tmp_path), tmp_path / "log")
    assert theatre.begun == [taken]
    assert taken is not None
    assert await taken.wait() == 0
    told, log = json.loads((tmp_path / "told").read_text())
    assert SandboxSettings.model_validate_json(told) == settings(tmp_path)
    assert log == str(tmp_path / "log")
    assert await understudies.take(Role.VERIFIER, settings(tmp_path), tmp_path / "log") is None


async def test_one_that_has_died_is_none(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path, "")
    understudies = Understudies(theatre.begin)
    understudies.get_ready(Role.VERIFIER)
    while not theatre.begun:
        await asyncio.sleep(0)
    await theatre.begun[0].wait()
    assert await understudies.take(Role.VERIFIER, settings(tmp_path), tmp_path / "log") is None


async def test_what_nobody_took_is_ended(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    understudies = Understudies(theatre.begin)
    understudies.get_ready(Role.VERIFIER)
    await understudies.close()
    assert [process.returncode for process in theatre.begun] == [-9]
    assert not (tmp_path / "told").exists()


def test_a_trusted_side_that_is_told_nothing_ends_by_itself() -> None:
    command = [*trusted_command(), "--told", Role.VERIFIER.value]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, env=own_environment(), check=False, timeout=60)
    assert ended.returncode == 0
