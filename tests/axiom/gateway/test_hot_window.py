"""A ledger whose beginning leaves its sandbox: a real trusted side and agent, a carrier, and whoever reads it all."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.axiom.gateway.test_carrying import Given
from tests.axiom.gateway.test_streaming import World, make_task
from tests.axiom_sandbox.supervising.benches import Bench, Life, open_bench, pack_base, start
from tests.fakes.structured_agent import command

from axiom.channel import Channel, ChannelError
from axiom.gateway.carrying import Carrier
from axiom.gateway.streaming import Position, Stream
from axiom.storage.folder import FolderStore
from axiom_sandbox.ledger.checking import verify
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.channel import GiveFeedback, Phase, SandboxState, StartAgent, Stop
from axiom_sandbox.protocol.conduct import Conduct
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Identity

pytestmark = pytest.mark.sandbox

PATIENCE = 60
HOT = {"hot_window_seconds": 0.05}


@asynccontextmanager
async def carried(bench: Bench, store: FolderStore) -> AsyncIterator[None]:
    """As a gateway does: for whatever life of the sandbox is there, until all is sealed."""
    scratch = bench.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    supply = Given(pack_base(bench.folder, {}))

    async def carry() -> None:
        while True:
            try:
                async with bench.box.attach() as channel:
                    return await Carrier(channel, store, supply, scratch).carry(lambda _: None)
            except (ChannelError, OSError):
                await asyncio.sleep(0.02)

    carrying = asyncio.create_task(carry())
    for life in bench.lives:
        life.others.add(carrying)
    try:
        yield
    finally:
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)


async def until(life: Life, wanted: Callable[[SandboxState], bool]) -> SandboxState:
    """Wakes the carrier meanwhile, which looks for what has grown old twice a minute."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(state := await life.channel.state(timeout=0)):
            life.sandbox.board.update()
            await asyncio.sleep(0.02)
        return state


async def let_all_leave(life: Life) -> SandboxState:
    """All that was cut by now."""
    await life.sandbox.ledger.cut("test")
    segments = life.sandbox.ledger.head.segments
    return await until(life, lambda state: state.ledger.left >= segments)


class Reachable(World):
    """A world whose agent's sandbox is a bench's."""

    bench: Bench

    def channel_of(self, wanted: Identity) -> Channel | None:
        return self.bench.box.attach()

    def may_answer(self, wanted: Identity) -> bool:
        return True


async def read_all(bench: Bench, store: FolderStore) -> list[bytes]:
    """What a person gets who asks for the first record on."""
    task = make_task(1, complete=True).model_copy(
        update={"metadata": {"name": "t", "namespace": "n", "uid": "u"}}
    )
    world = Reachable(task)
    world.bench = bench
    lines = Stream(world, store, task, Position()).lines()
    return [line.data async for line in lines]


async def the_whole(bench: Bench, store: FolderStore, life: Life) -> Counter[str]:
    """Ends the sandbox; how often each event is in its ledger, which is whole and comes in order."""
    await life.send(Stop(reason="enough"))
    state = await life.until(lambda state: state.phase is Phase.STOPPED)
    lines = await read_all(bench, store)
    found = verify(lines, state.ledger.head)
    assert found.intact, found.broken
    records = [json.loads(line) for line in lines]
    assert [record["seq"] for record in records] == list(range(1, state.ledger.records + 1))
    told = [record["payload"] for record in records if record["event"] == "segments_left"]
    assert [one["first"] for one in told] == [1, *(one["last"] + 1 for one in told[:-1])]
    assert told[-1]["last"] == state.ledger.left
    by_seq = {record["seq"]: record["hash"] for record in records}
    assert all(by_seq[one["records"]] == one["hash"] for one in told)
    return Counter(record["event"] for record in records)


async def test_a_supervisor_that_needs_what_has_left_waits_until_it_is_brought(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    async with open_bench(tmp_path, changes=HOT) as bench:
        async with carried(bench, store):
            life = await bench.begin()
            await life.send(start("echo one; while ! [ -e go ]; do sleep 0.05; done; echo last >> out"))
            await until(life, lambda state: state.first_output_ms is not None)
            await let_all_leave(life)
        await life.end()

        life = await bench.begin()
        await life.until(lambda state: state.awaits_segment == 1)
        (bench.workspace / "go").touch()
        async with carried(bench, store):
            await life.reached(Phase.ROUND_ENDED, 1)
            assert (bench.workspace / "out").read_text() == "last\n"
            counted = await the_whole(bench, store, life)
    assert (counted["agent_started"], counted["agent_exited"], counted["claim"]) == (1, 1, 1)


async def test_rounds_verdicts_and_a_restart_go_on_though_all_that_was_recorded_has_left(
    tmp_path: Path,
) -> None:
    store = FolderStore(tmp_path / "store")
    async with open_bench(tmp_path, changes=HOT) as bench, carried(bench, store):
        life = await bench.begin()
        await life.send(held_against([["tool", "echo 1 > one"], ["result", "Done."]]))
        await life.reached(Phase.ROUND_ENDED, 1)
        state = await let_all_leave(life)
        names = {path.name for path in (life.sandbox.folder / "ledger" / "segments").iterdir()}
        assert not names & {f"{number:06}.jsonl.zst" for number in range(1, state.ledger.left + 1)}
        await life.send(GiveFeedback(round=2, text="again"))
        state = await life.reached(Phase.ROUND_ENDED, 2)
        in_one_life = tools_of(bench, state, 2)
        await let_all_leave(life)

        await life.end()
        life = await bench.begin()
        await life.send(GiveFeedback(round=3, text="once more"))
        state = await life.reached(Phase.ROUND_ENDED, 3)
        after_a_restart = tools_of(bench, state, 3)
        counted = await the_whole(bench, store, life)
    assert [counted[name] for name in ("task_declared", "user_msg", "agent_started", "claim")] == [1, 3, 3, 3]
    assert len(in_one_life) == 2
    assert after_a_restart[:2] == in_one_life
    assert len(after_a_restart) == 3


def held_against(*plans: list[list[str]]) -> StartAgent:
    """The start of an agent what it does is held against."""
    order = start("", driver=DriverName.CLAUDE, command=command(*plans))
    asked = Criterion.model_validate({"name": "tools", "toolUse": {}})
    return order.model_copy(update={"envelope": order.envelope.model_copy(update={"criteria": (asked,)})})


def tools_of(bench: Bench, state: SandboxState, number: int) -> list[tuple[int, str]]:
    found = Conduct.model_validate_json(bench.blob(state, f"conduct-{number}"))
    return [(use.seq, use.input) for use in found.tools]
