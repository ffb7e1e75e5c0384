"""The verifier's sandbox: base and changes in, candidates through the launcher, a verdict out; and again after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.supervising.benches import (
    Bench,
    Life,
    Mortal,
    MortalVerifier,
    dying,
    open_bench,
    pack_base,
    soon,
    start,
)

from axiom.channel import CommandRefusedError
from axiom_sandbox.protocol.channel import FailureReason, Phase, Stop, Verify
from axiom_sandbox.protocol.conduct import Conduct, ToolUse
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.events import CriterionChecked, Event, ProcessRan
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.launching import Expectation, Network
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.snapshots import capture, digest_of, read_tree, unpack
from axiom_sandbox.supervising.browser import Browser
from axiom_sandbox.supervising.verifier import LauncherRoom, VerifierSandbox
from axiom_sandbox.verifying.rooms import Job

pytestmark = pytest.mark.sandbox
ROLE = {"role": Role.VERIFIER, "changes": {"expect": Expectation(network=Network.NONE)}}
COMMAND = Criterion.model_validate({"name": "same", "command": {"argv": ["grep", "-q", "done", "out"]}})


def make_changes(folder: Path, base: Path, files: dict[str, str]) -> Path:
    tree = folder / "changed"
    unpack(base, tree)
    for path, content in files.items():
        (tree / path).write_text(content)
    return capture(read_tree(base), tree, folder / "capture").archive


async def supply(bench: Bench, life: Life, files: dict[str, str]) -> None:
    """What the gateway brings."""
    base = pack_base(bench.folder, {"kept": "x"})
    await life.reached(Phase.WAITING_FOR_WORKSPACE)
    await life.channel.put_workspace(base, digest_of(base))
    await life.reached(Phase.READY)
    changes = make_changes(bench.folder, base, files)
    await life.channel.put_changes(changes, digest_of(changes))


def order(*criteria: Criterion, seconds: float = 60) -> Verify:
    return Verify(round=1, criteria=criteria, deadline_ms=soon(seconds))


async def test_a_verdict_stands_after_base_and_changes_came(tmp_path: Path) -> None:
    async with open_bench(tmp_path, **ROLE) as bench:
        life = await bench.begin(VerifierSandbox)
        await life.send(order(COMMAND), key="verify")
        await supply(bench, life, {"out": "done\n"})
        state = await life.reached(Phase.VERIFIED)
        assert state.verification is not None
        assert state.verification.verdict is Verdict.PASS
        assert {item["code"] for item in bench.events("process")} == {0}
        with pytest.raises(CommandRefusedError, match="ordered already"):
            await life.send(order(COMMAND))
        with pytest.raises(CommandRefusedError, match="takes no StartAgent"):
            await life.send(start("true"))
        await life.send(Stop(reason="the verdict stands"))
        await life.until(lambda state: state.phase is Phase.STOPPED)
        bench.check_chain()


async def test_criteria_on_what_the_agent_did_are_decided_by_what_the_gateway_brings(tmp_path: Path) -> None:
    tools = Criterion.model_validate({"name": "tools", "toolUse": {"called": [{"tool": "Bash"}]}})
    use = ToolUse(seq=4, round=1, tool="Bash", input="{}", returned=5, ok=True)
    brought = tmp_path / "conduct.json"
    brought.write_text(Conduct(speaks=True, tools=(use,)).model_dump_json())
    async with open_bench(tmp_path, **ROLE) as bench:
        life = await bench.begin(VerifierSandbox)
        await life.send(order(tools), key="verify")
        await life.channel.put_conduct(brought, digest_of(brought))
        await supply(bench, life, {"out": "done\n"})
        state = await life.reached(Phase.VERIFIED)
        assert state.verification is not None
        assert state.verification.verdict is Verdict.PASS


@pytest.mark.parametrize("event", [ProcessRan, CriterionChecked])
async def test_a_verification_that_was_cut_short_is_done_anew(tmp_path: Path, event: type[Event]) -> None:
    async with open_bench(tmp_path, **ROLE) as bench:
        life = await bench.begin(dying(event, before=True, kind=MortalVerifier))
        await life.send(order(COMMAND), key="verify")
        await supply(bench, life, {"out": "done\n"})
        assert isinstance(life.sandbox, Mortal)
        await asyncio.wait_for(life.sandbox.died.wait(), 30)
        await life.end()
        life = await bench.begin(VerifierSandbox)
        state = await life.reached(Phase.VERIFIED)
        assert state.verification is not None
        assert state.verification.verdict is Verdict.PASS
        bench.check_chain()


async def test_the_deadline_ends_a_verification(tmp_path: Path) -> None:
    slow = Criterion.model_validate({"name": "slow", "command": {"argv": ["sleep", "30"], "timeout": "30s"}})
    async with open_bench(tmp_path, **ROLE) as bench:
        life = await bench.begin(VerifierSandbox)
        await supply(bench, life, {"out": "done\n"})
        await life.send(order(slow, seconds=1.5))
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert state.failure.reason is FailureReason.DEADLINE_EXCEEDED
        assert await life.sandbox.link.count_threads() == 0


async def test_the_clean_room_ends_bounds_and_forgets_what_ran_there(tmp_path: Path) -> None:
    async with open_bench(tmp_path, **ROLE) as bench:
        life = await bench.begin(VerifierSandbox)
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        link = life.sandbox.link
        room = LauncherRoom(link, bench.settings, Browser(bench.settings.browser, link))

        async def run(script: str, **options: Any) -> Any:
            given = {"timeout": 20.0, **options}
            return await room.run(
                Job("test", ("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"}, "/workspace", **given)
            )

        said = await run("echo out; echo err >&2; exit 3")
        assert (said.code, said.output, said.timed_out) == (3, b"out\nerr\n", False)
        fed = await run("cat <&3 >&4", feeds={"in": b"x" * 300_000}, channels=("copy",))
        assert fed.channels == {"copy": b"x" * 300_000}
        unread = await run("exit 0", feeds={"in": b"x" * 300_000})
        assert unread.code == 0
        flood = await run("head -c 100000 /dev/zero; echo end", max_output=1000)
        assert (len(flood.output), flood.output[-4:], flood.dropped) == (1000, b"end\n", 99_004)
        long = await run("head -c 100000 /dev/zero >&3", channels=("c",), max_channel=10)
        assert len(long.channels["c"]) == 10
        hung = await run("trap '' TERM; sleep 60 & sleep 60", timeout=0.3)
        assert hung.timed_out
        assert hung.signal == 9
        await run("touch /tmp/mine ~/mine; (sleep 60 &) ; echo left")
        clean = await run("ls /tmp /home/agent; ps -e | grep -c sleep")
        assert b"mine" not in clean.output
        missing = await room.run(Job("test", ("/no/such",), {}, "/workspace", timeout=5))
        assert missing.start_error.startswith("exec: ")
        offline = await run("python3 -c 'import socket; socket.socket()' 2>&1; echo $?")
        assert offline.output != b"0\n"
        assert life.sandbox.link.names == ()
