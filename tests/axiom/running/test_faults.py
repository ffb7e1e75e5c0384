"""Agents and accidents that a run has to survive: each ends properly, says why, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.running.runs import OUT, Play, Verdict, shell, task, why

from axiom.backends.cgroups import ControlGroup
from axiom.backends.contract import CannotRunError
from axiom.storage.store import StorageError

pytestmark = pytest.mark.sandbox

FLOOD = 2**27
"""Bytes: twice what is recorded. A gibibyte is written in a pod (e2e/test_hostile_agents.py)."""
BOMB = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"""


async def finished(play: Play) -> tuple[Any, str]:
    async with asyncio.timeout(120):
        status = await play.play()
    play.check_nothing_is_left()
    return status, why(status)


async def test_a_supervisor_killed_while_the_agent_works_is_started_again(tmp_path: Path) -> None:
    script = "echo one; while ! [ -e go ]; do sleep 0.02; done; rm go; echo two; echo done > out"
    play = Play(tmp_path, task(), shell(script))
    playing = asyncio.create_task(finished(play))
    box = await play.agent(lambda state: state.first_output_ms is not None)
    assert box.supervisor is not None
    killed = box.supervisor.pid
    box.supervisor.kill()
    async with asyncio.timeout(60):
        while box.supervisor.pid == killed:
            await asyncio.sleep(0.01)
    (play.workspace() / "go").touch()
    status, _ = await playing

    assert (status.verdict, status.attempt) == (Verdict.PASS, 1)
    play.check_evidence()
    assert [item["restart"] for item in play.events("sandbox_started")] == [False, True]
    assert "started again" in play.events("gap")[0]["reason"]
    assert len(play.events("agent_started")) == len(play.events("claim")) == 1
    assert status.claim.text.endswith("two")


async def test_a_supervisor_that_cannot_live_costs_attempts_and_its_last_words_are_told(
    tmp_path: Path,
) -> None:
    play = Play(tmp_path, task(), shell("sleep 60"))

    async def kill_all() -> None:
        while True:
            for box in play.sandboxes:
                if box._bwrap and box.supervisor and box.supervisor.returncode is None:
                    (box._folder / "supervisor.log").write_text("MemoryError: it was too much")
                    box.supervisor.kill()
            await asyncio.sleep(0.01)

    killing = asyncio.create_task(kill_all())
    try:
        status, reason = await finished(play)
    finally:
        killing.cancel()
    assert (status.verdict, reason) == (None, "AttemptsExhausted")
    assert status.message == (
        "3 sandboxes were lost; the sandbox of attempt 3 was lost: MemoryError: it was too much"
    )


async def test_a_lost_sandbox_gives_a_new_attempt(tmp_path: Path) -> None:
    play = Play(
        tmp_path, task(), shell("echo begun; while ! [ -e go ]; do sleep 0.02; done; rm go; echo done > out")
    )
    playing = asyncio.create_task(finished(play))
    box = await play.agent(lambda state: state.first_output_ms is not None)
    assert box._bwrap is not None
    box._bwrap.kill()
    async with asyncio.timeout(60):
        while len(play.sandboxes) < 2 or not (play.sandboxes[1]._folder / "state" / "fed-1").exists():
            await asyncio.sleep(0.01)
    (play.sandboxes[1]._folder / "workspace" / "go").touch()
    status, _ = await playing
    assert (status.verdict, status.attempt, status.lost_attempts) == (Verdict.PASS, 2, 1)
    play.check_evidence()


async def test_an_agent_that_ignores_sigterm_past_its_deadline(tmp_path: Path) -> None:
    script = "trap '' TERM INT HUP; while :; do echo still here; sleep 0.1; done"
    play = Play(tmp_path, task(limits={"deadline": "8s"}), shell(script))
    status, reason = await finished(play)
    assert (status.verdict, reason) == (Verdict.FAIL, "DeadlineExceeded")
    assert "limits.deadline" in status.message
    play.check_evidence()
    accepted = datetime.fromisoformat(status.accepted_time)
    ended = datetime.fromisoformat(json.loads(play.lines()[-1])["time_utc"])
    assert (ended - accepted).total_seconds() < 8 + 11


async def test_a_silent_agent_that_ignores_sigterm(tmp_path: Path) -> None:
    play = Play(tmp_path, task(limits={"idle": "1s"}), shell("trap '' TERM; while :; do sleep 0.1; done"))
    status, reason = await finished(play)
    assert (status.verdict, reason) == (Verdict.FAIL, "IdleExceeded")
    assert status.message.startswith("silent for longer than limits.idle (1 s), and what the agent left")
    assert status.claim.says == "None"
    play.check_evidence()


async def test_a_silent_agent_whose_work_is_done_passes(tmp_path: Path) -> None:
    play = Play(tmp_path, task(limits={"idle": "1s"}), shell("echo done > out; sleep 60"))
    status, reason = await finished(play)
    assert (status.verdict, reason) == (Verdict.PASS, "Passed")


async def test_an_agent_that_exits_at_once(tmp_path: Path) -> None:
    play = Play(tmp_path, task(), shell("exit 7"))
    status, reason = await finished(play)
    assert (status.verdict, reason) == (Verdict.FAIL, "Failed")
    assert (status.claim.says, status.claim.exit_code) == ("Failure", 7)
    assert "out" in status.message
    assert not status.claim_disagreement


async def test_an_agent_that_fills_its_disk(tmp_path: Path) -> None:
    limits = {"resources": {"storage": "64Mi"}}
    play = Play(
        tmp_path, task(limits=limits), shell("i=0; while :; do head -c 8M /dev/zero > $i; i=$((i+1)); done")
    )
    status, reason = await finished(play)
    assert (status.verdict, reason) == (Verdict.FAIL, "StorageExceeded")
    assert "limits.resources.storage" in status.message
    play.check_evidence()


async def test_an_agent_that_leaves_daemons_behind(tmp_path: Path) -> None:
    daemon = "trap '' TERM HUP; exec >/dev/null 2>&1; : > /tmp/up-$0; while :; do sleep 0.1; done"
    started = " && ".join(f"[ -e /tmp/up-{number} ]" for number in (1, 2, 3))
    script = f'for i in 1 2 3; do setsid sh -c "{daemon}" $i & done; until {started}; do sleep 0.05; done; echo done > out'.replace(
        "$0", "\\$0"
    )
    play = Play(tmp_path, task(), shell(script))
    status, _ = await finished(play)
    assert status.verdict is Verdict.PASS
    assert any("left behind" in item["detail"] for item in play.events("intervention"))


@pytest.mark.thorough
async def test_an_agent_that_writes_more_to_its_terminal_than_is_recorded(tmp_path: Path) -> None:
    script = f"stty -opost; head -c {FLOOD} /dev/zero | tr '\\0' x; echo done > out; echo; echo that was it"
    play = Play(tmp_path, task(), shell(script))
    playing = asyncio.create_task(finished(play))
    box = await play.agent(lambda state: state.first_output_ms is not None)
    assert box.supervisor is not None
    most, process = 0, Path(f"/proc/{box.supervisor.pid}/status")
    while not playing.done() and not (play.workspace() / "out").exists():
        try:
            lines = process.read_text().splitlines()
        except OSError:
            break  # it has ended
        most = max([most, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
        await asyncio.sleep(0.2)
    status, _ = await playing
    assert status.verdict is Verdict.PASS
    assert status.claim.text.endswith("that was it")
    assert most < 150 * 1024
    [gap] = play.events("gap")
    assert (gap["what"], gap["end"] >= FLOOD) == ("recording", True)
    assert sum(item["size"] for item in play.events("terminal")) == gap["end"]


def has_process_limit() -> bool:
    group = ControlGroup.create("axiom-tests-try", 64, 2**30)
    if group is None:
        return False
    try:
        return any(
            (folder / "pids.max").read_text().strip() == "64"
            for folder in group.folders
            if (folder / "pids.max").exists()
        )
    finally:
        group.remove()


@pytest.mark.skipif(
    os.geteuid() == 0 and not has_process_limit(), reason="as root only a control group bounds processes"
)
async def test_an_agent_that_forks_without_end(tmp_path: Path) -> None:
    """The bomb is never started outside a group that the kernel bounds: `has_process_limit` has tried it."""
    agent = shell(
        f'echo begun; exec {sys.executable} -Sc "$BOMB"',
        env=[{"name": "BOMB", "value": BOMB}],
        ceilings={"processes": 64},
        local={"readOnlyPaths": sorted({sys.prefix, sys.base_prefix} - {"/usr"})},
    )
    play = Play(tmp_path, task(), agent)
    playing = asyncio.create_task(finished(play))
    box = await play.agent(lambda state: state.first_output_ms is not None)
    if os.geteuid() == 0:
        assert box._group is not None
        limits = [folder / "pids.max" for folder in box._group.folders if (folder / "pids.max").exists()]
        assert [int(limit.read_text()) for limit in limits] == [80]
    status, reason = await playing
    assert (status.verdict, reason) == (Verdict.FAIL, "ProcessLimitExceeded")
    assert "ceilings.processes" in status.message
    play.check_evidence()


async def test_storage_that_refuses_ends_the_run_and_says_so(tmp_path: Path) -> None:
    play = Play(tmp_path, task(), shell("echo done > out"))
    playing = asyncio.create_task(play.play())
    await play.agent(lambda state: state.workspace != "")
    (tmp_path / "store" / ".unfinished").rmdir()
    (tmp_path / "store" / ".unfinished").write_text("in the way")
    with pytest.raises(CannotRunError, match="evidence cannot be stored") as caught:
        async with asyncio.timeout(60):
            await playing
    assert isinstance(caught.value.__cause__, StorageError)
    play.check_nothing_is_left()


async def test_a_run_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path, task(criteria=[OUT]), shell("echo begun; sleep 60"))
    playing = asyncio.create_task(play.play())
    await play.agent(lambda state: state.first_output_ms is not None)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    play.check_nothing_is_left()
