"""A supervisor that dies at any event, and is started again: nothing is done twice, nothing that was durable is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.supervising.benches import Bench, Life, Mortal, dying, open_bench, pack_base, start

from axiom_sandbox.protocol.channel import GiveFeedback, Phase, PromptDelivery, Stop
from axiom_sandbox.protocol.events import (
    AgentExited,
    AgentStarted,
    Captured,
    ClaimMade,
    Closed,
    Event,
    Intervention,
    IsolationProbed,
    SandboxStarted,
    Terminal,
    UserMessage,
    WorkspaceReady,
)
from axiom_sandbox.protocol.verdicts import Saying
from axiom_sandbox.snapshots import digest_of

pytestmark = pytest.mark.sandbox

EVENTS = [
    SandboxStarted,
    IsolationProbed,
    WorkspaceReady,
    UserMessage,
    AgentStarted,
    Terminal,
    AgentExited,
    Captured,
]


async def die_and_begin_again(bench: Bench, life: Life) -> Life:
    assert isinstance(life.sandbox, Mortal)
    await asyncio.wait_for(life.sandbox.died.wait(), 30)
    await life.end()
    return await bench.begin()


async def bring(life: Life, archive: Path) -> None:
    """What a carrier does, whenever it is called for."""
    await life.reached(Phase.WAITING_FOR_WORKSPACE)
    await life.channel.put_workspace(archive, digest_of(archive))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("event", EVENTS)
async def test_a_round_goes_on_where_the_supervisor_died(
    tmp_path: Path, event: type[Event], before: bool
) -> None:
    async with open_bench(tmp_path) as bench:
        archive = pack_base(tmp_path, {"kept": "old\n"})
        life = await bench.begin(dying(event, before))
        bringing = asyncio.ensure_future(bring(life, archive))
        bringing.add_done_callback(lambda done: done.cancelled() or done.exception())
        command = start(
            "read told; echo $told >> out; echo done it; exit 3", prompt_delivery=PromptDelivery.STDIN
        )
        await life.send(command, key="start")
        life = await die_and_begin_again(bench, life)
        await life.send(command, key="start")
        if (
            await life.until(lambda state: state.phase is not Phase.STARTING)
        ).phase is Phase.WAITING_FOR_WORKSPACE:
            await bring(life, archive)
        state = await life.reached(Phase.ROUND_ENDED, 1)

        assert (bench.workspace / "out").read_text() == "do it\n"
        [outcome] = state.rounds
        assert (outcome.claim.says, outcome.claim.text) == (Saying.FAILURE, "done it")
        for name in ("task_declared", "user_msg", "agent_started", "agent_exited", "claim"):
            assert len(bench.events(name)) == 1, name
        assert [item["restart"] for item in bench.events("sandbox_started")][-1] == (
            life is not bench.lives[0]
        )
        noted = [(item["start"], item["size"]) for item in bench.events("terminal")]
        assert sum(size for _, size in noted) == noted[-1][0] + noted[-1][1]
        bench.check_chain()

        await life.send(GiveFeedback(round=2, text="again"))
        await life.reached(Phase.ROUND_ENDED, 2)
        assert (bench.workspace / "out").read_text() == "do it\nagain\n"


async def test_output_while_the_supervisor_is_away_is_not_lost(tmp_path: Path) -> None:
    script = "echo one; while ! [ -e go ]; do sleep 0.01; done; seq 300; echo last"
    async with open_bench(tmp_path) as bench:
        life = await bench.ready(make=dying(Terminal, True))
        await life.send(start(script))
        assert isinstance(life.sandbox, Mortal)
        await asyncio.wait_for(life.sandbox.died.wait(), 30)
        await life.end()
        (bench.workspace / "go").touch()
        life = await bench.begin()
        await life.reached(Phase.ROUND_ENDED, 1)
        gaps = {gap["what"]: gap["reason"] for gap in bench.events("gap")}
        assert gaps.keys() == {"terminal", "files"}
        assert all("started again" in reason for reason in gaps.values())
        await life.send(Stop(reason="enough"))
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        recording = bench.recording(state).decode()
        assert all(word in recording for word in ("one", "300", "last"))


async def test_a_recording_outlives_a_supervisor_that_ends_while_it_winds_down(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready(make=dying(ClaimMade, True))
        await life.send(start("echo seen; sleep 600"))
        await life.until(lambda state: state.first_output_ms is not None)
        await life.send(Stop(reason="enough"))
        life = await die_and_begin_again(bench, life)
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        assert b"seen" in bench.recording(state)


async def test_a_turn_that_the_watchdog_ended_stays_one_that_it_ended(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready(make=dying(Intervention, False))
        await life.send(
            start(
                "echo thinking; trap 'exit 0' TERM; while :; do sleep 0.1; done", limits={"idle_seconds": 1}
            )
        )
        life = await die_and_begin_again(bench, life)
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert state.rounds[0].claim.says is Saying.NONE
        assert "limits.idle" in state.rounds[0].claim.text


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_an_end_that_was_begun_is_brought_to_its_end(tmp_path: Path, before: bool) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready(make=dying(Closed, before))
        await life.send(start("true"))
        await life.reached(Phase.ROUND_ENDED, 1)
        await life.send(Stop(reason="enough"))
        life = await die_and_begin_again(bench, life)
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        assert state.ledger.closed
        bench.check_chain()


async def test_a_failure_that_was_found_is_not_forgotten(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready(make=dying(Closed, True))
        await life.send(start("", command=("/no/agent",)))
        life = await die_and_begin_again(bench, life)
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert "/no/agent" in state.failure.message


async def test_a_ledger_that_was_closed_before_the_state_said_so(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("true"))
        await life.reached(Phase.ROUND_ENDED, 1)
        await life.sandbox.ledger.close()
        await life.end()
        life = await bench.begin()
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        assert state.ledger.closed
        await life.end()
        life = await bench.begin()
        await asyncio.wait_for(life.running, 60)
        assert (await life.channel.state()).phase is Phase.STOPPED


async def test_what_was_said_of_a_stopped_sandbox_holds(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(Stop(reason="enough"))
        await life.until(lambda state: state.phase is Phase.STOPPED)
        refused: Any
        with pytest.raises(Exception, match="nothing is begun in phase Stopped") as refused:
            await life.send(start("true"))
        assert "409" in str(refused.value)
