"""The backend of one machine: what it starts, what it hides, what it needs, and that nothing stays."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.running.runs import processes_with

import axiom.backends.cgroups
from axiom.backends.bubblewrap import BubblewrapSandbox
from axiom.backends.cgroups import ControlGroup
from axiom.backends.contract import CannotRunError, SandboxSpec
from axiom.backends.host import find_launcher
from axiom.planning.observed import Presence
from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Network

IDENTITY = Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT)


def sandbox(folder: Path, **spec: Any) -> tuple[BubblewrapSandbox, list[Presence]]:
    seen: list[Presence] = []
    given = {"identity": IDENTITY, "network": Network.STRICT, "processes": 100, "memory_bytes": 2**30, **spec}
    made = BubblewrapSandbox(SandboxSpec(**given), folder / "box", lambda: seen.append(made.presence))
    return made, seen


@pytest.mark.sandbox
async def test_a_sandbox_lives_from_start_to_stop_and_may_be_stopped_twice(tmp_path: Path) -> None:
    box, seen = sandbox(tmp_path)
    await box.start()
    async with box.attach() as channel:
        state = await channel.state()
        while state.phase is Phase.STARTING:
            state = await channel.state(since=state.revision)
        assert state.isolation is not None
        assert state.isolation.passed
    assert box.presence is Presence.RUNNING
    if os.geteuid() == 0:
        assert box._group is not None
        assert all((folder / "cgroup.procs").read_text() for folder in box._group.folders)
    await box.stop()
    await box.stop()
    assert seen == [Presence.RUNNING, Presence.GONE]
    assert processes_with(str(box._sockets)) == []
    assert not box._sockets.exists()
    assert not any(folder.exists() for folder in (box._group.folders if box._group else ()))


@pytest.mark.sandbox
async def test_a_path_that_cannot_be_mounted_is_the_sandbox_s_last_word(tmp_path: Path) -> None:
    box, seen = sandbox(tmp_path, read_only_paths=(Path("/no/such/path"),))
    await box.start()
    async with asyncio.timeout(30):
        while box.presence is not Presence.GONE:
            await asyncio.sleep(0.01)
    assert "/no/such/path" in box.diagnosis()
    await box.stop()
    assert seen[-1] is Presence.GONE


async def test_a_trusted_side_that_cannot_start_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'this Python is broken' >&2; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    box, _ = sandbox(tmp_path)
    with pytest.raises(CannotRunError, match="trusted side does not start: this Python is broken"):
        await box.start()
    assert not box._sockets.exists()


async def test_without_bwrap_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    box, _ = sandbox(tmp_path)
    with pytest.raises(CannotRunError, match="bubblewrap cannot be started"):
        await box.start()
    assert processes_with(str(box._sockets)) == []
    assert not box._sockets.exists()


def test_the_launcher_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "launcher").touch()
    monkeypatch.setenv("AXIOM_LAUNCHER", str(tmp_path / "launcher"))
    assert find_launcher() == tmp_path / "launcher"


def test_a_folder_that_the_kernel_does_not_answer_for_is_no_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pids", "memory"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(axiom.backends.cgroups, "_ROOT", tmp_path)
    assert ControlGroup.create("axiom-try", 10, 2**30) is None
    assert list(tmp_path.glob("*/*")) == []
    (tmp_path / "cgroup.controllers").touch()
    assert ControlGroup.create("axiom-try", 10, 2**30) is None
    assert not (tmp_path / "axiom-try").exists()


def test_other_users_than_root_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ControlGroup.create("axiom-try", 10, 2**30) is None
