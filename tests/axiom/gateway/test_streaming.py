"""Events in order from any of them on: a real ledger, live from its pod and afterwards from object storage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fakes.trusted_side import FakeTrustedSide, fake_trusted_side

from axiom.api.agenttask import AgentTask
from axiom.channel import Channel
from axiom.gateway.serving import ndjson_frame, sse_frame
from axiom.gateway.streaming import BadPositionError, Line, Position, Stream, parse_position
from axiom.storage.folder import FolderStore
from axiom.storage.keys import segment_key
from axiom.storage.store import StorageError
from axiom_sandbox.ledger.ledger import Ledger
from axiom_sandbox.protocol.channel import LedgerHead, Phase
from axiom_sandbox.protocol.events import Closed, UserMessage
from axiom_sandbox.protocol.identity import Identity, Role

COMPLETE = {
    "type": "Complete", "status": "True", "reason": "Passed", "message": "", "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T00:00:00.000Z",
}  # fmt: skip


def make_task(attempt: int, *, complete: bool) -> AgentTask:
    return AgentTask.model_validate(
        {
            "metadata": {"name": "t", "namespace": "ns", "uid": "u"},
            "spec": {
                "agentClassName": "c",
                "prompt": "do",
                "criteria": [{"name": "f", "files": {"expect": [{"path": "x"}]}}],
            },
            "status": {"attempt": attempt, "conditions": [COMPLETE] if complete else []},
        }
    )


def identity(attempt: int = 1) -> Identity:
    return Identity(namespace="ns", task="t", task_id="u", attempt=attempt, role=Role.AGENT)


class World:
    """What is known of tasks and pods, changed by the test while a stream waits."""

    def __init__(self, *moments: AgentTask | None) -> None:
        self.moments = list(moments)
        self.sides: dict[Identity, FakeTrustedSide] = {}
        self.channels: list[Channel] = []

    def task(self, namespace: str, name: str) -> AgentTask | None:
        return self.moments[0]

    def channel_of(self, wanted: Identity) -> Channel | None:
        side = self.sides.get(wanted)
        if side is None:
            return None
        channel = side.channel()
        self.channels.append(channel)
        return channel

    def may_answer(self, wanted: Identity) -> bool:
        return wanted in self.sides

    async def news(self, seconds: float) -> None:
        assert len(self.moments) > 1, "the stream waits for what never comes"
        self.moments.pop(0)


async def write_ledger(folder: Path, owner: Identity, texts: int, *, close: bool = True) -> list[Path]:
    """A real ledger with one segment for each text, and one for its end."""
    ledger = Ledger.open(folder, owner, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    for number in range(texts):
        await ledger.append(UserMessage(round=1, text=f"text {number}"))
        await ledger.cut("test")
    if close:
        await ledger.append(Closed(reason="done"))
        await ledger.close()
    else:
        await ledger.release()
    return [ledger.segment(number) for number in range(1, ledger.head.segments + 1)]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


async def seal(store: FolderStore, owner: Identity, segments: list[Path]) -> None:
    for number, segment in enumerate(segments, 1):
        await store.put(segment_key(owner, number), segment)


async def collect(lines: AsyncIterator[Line]) -> list[tuple[str, str]]:
    return [(line.address, json.loads(line.data)["event"]) async for line in lines]


async def test_a_sealed_ledger_is_read_from_any_event_on(store: FolderStore, tmp_path: Path) -> None:
    await seal(store, identity(), await write_ledger(tmp_path / "ledger", identity(), 3))
    task = make_task(1, complete=True)
    lines = await collect(Stream(World(task), store, task, Position(seq=3)).lines())
    assert lines == [("u/1/agent/3", "user_msg"), ("u/1/agent/4", "closed")]


async def test_without_following_it_is_the_ledger_as_far_as_it_is_now(
    store: FolderStore, tmp_path: Path
) -> None:
    await seal(store, identity(1), await write_ledger(tmp_path / "one", identity(1), 2, close=False))
    task = make_task(1, complete=False)
    lines = await collect(Stream(World(task), store, task, Position(seq=2)).lines(follow=False))
    assert lines == [("u/1/agent/2", "user_msg")]


@pytest.mark.parametrize("start", [1, 3, 4])
async def test_without_following_a_pod_at_work_tells_what_is_durable_and_no_more(
    store: FolderStore, tmp_path: Path, start: int
) -> None:
    await seal(store, identity(), (await write_ledger(tmp_path / "ledger", identity(), 4, close=False))[:2])
    task = make_task(1, complete=False)
    world, ledger = World(task), Ledger.open(tmp_path / "ledger", identity(), datetime.now)
    async with fake_trusted_side(tmp_path, identity(), Phase.RUNNING) as side:
        side.lines = [line async for line in aiter_of(ledger, 4)]
        side.left_records, world.sides[identity()] = 2, side
        side.update(ledger=LedgerHead(records=3))
        side.never_ends = True
        lines = Stream(world, store, task, Position(seq=start)).lines(follow=False)
        found = await asyncio.wait_for(collect(lines), 30)
    assert [address for address, _ in found] == [f"u/1/agent/{seq}" for seq in range(start, 4)]
    await ledger.release()


async def aiter_of(ledger: Ledger, count: int) -> AsyncIterator[bytes]:
    """The first lines of a ledger that goes on."""
    lines = ledger.lines()
    for _ in range(count):
        yield await anext(lines)


async def test_what_a_pod_stopped_telling_follows_from_storage(store: FolderStore, tmp_path: Path) -> None:
    segments = await write_ledger(tmp_path / "ledger", identity(), 3)
    await seal(store, identity(), segments)
    task = make_task(1, complete=True)
    world = World(task)
    async with fake_trusted_side(tmp_path, identity(), Phase.RUNNING) as side:
        side.lines = [
            line async for line in Ledger.open(tmp_path / "ledger", identity(), datetime.now).lines()
        ][:2]
        world.sides[identity()] = side
        lines = await collect(Stream(world, store, task, Position()).lines())
    assert [address for address, _ in lines] == [f"u/1/agent/{seq}" for seq in (1, 2, 3, 4)]


async def test_a_channel_is_made_to_read_from_and_for_nothing_else(
    store: FolderStore, tmp_path: Path
) -> None:
    segments = await write_ledger(tmp_path / "ledger", identity(), 1)
    await seal(store, identity(), segments)
    world = World(make_task(1, complete=False), make_task(1, complete=True))
    async with fake_trusted_side(tmp_path, identity(), Phase.RUNNING) as side:
        side.lines = [
            line async for line in Ledger.open(tmp_path / "ledger", identity(), datetime.now).lines()
        ]
        world.sides[identity()] = side
        lines = await collect(Stream(world, store, make_task(1, complete=False), Position()).lines())
    assert [address for address, _ in lines] == ["u/1/agent/1", "u/1/agent/2"]
    assert len(world.channels) == 2, "one for each time that the ledger was read"


@pytest.mark.parametrize("start", [1, 2, 3, 4])
async def test_what_has_left_a_pod_comes_from_storage_and_then_the_pod_goes_on(
    store: FolderStore, tmp_path: Path, start: int
) -> None:
    segments = await write_ledger(tmp_path / "ledger", identity(), 3)
    await seal(store, identity(), segments[:2])
    task = make_task(1, complete=True)
    world = World(task)
    async with fake_trusted_side(tmp_path, identity(), Phase.RUNNING) as side:
        side.lines = [
            line async for line in Ledger.open(tmp_path / "ledger", identity(), datetime.now).lines()
        ]
        side.left_records, world.sides[identity()] = 2, side
        lines = await collect(Stream(world, store, task, Position(seq=start)).lines())
    assert [address for address, _ in lines] == [f"u/1/agent/{seq}" for seq in range(start, 5)]


async def test_what_neither_pod_nor_storage_has_is_not_passed_over(
    store: FolderStore, tmp_path: Path
) -> None:
    segments = await write_ledger(tmp_path / "ledger", identity(), 3)
    await store.put(segment_key(identity(), 1), segments[0])
    await store.put(segment_key(identity(), 3), segments[2])
    task = make_task(1, complete=True)
    world = World(task)
    async with fake_trusted_side(tmp_path, identity(), Phase.RUNNING) as side:
        side.left_records, world.sides[identity()] = 2, side
        lines = Stream(world, store, task, Position()).lines()
        assert (await anext(lines)).address == "u/1/agent/1"
        with pytest.raises(StorageError, match=r"record 2 of .* has left its sandbox"):
            await anext(lines)


async def test_a_stream_goes_on_with_the_next_attempt_and_ends_with_the_task(
    store: FolderStore, tmp_path: Path
) -> None:
    await seal(store, identity(1), await write_ledger(tmp_path / "one", identity(1), 1, close=False))
    await seal(store, identity(2), await write_ledger(tmp_path / "two", identity(2), 1))
    world = World(make_task(1, complete=False), make_task(2, complete=False), make_task(2, complete=True))
    lines = await collect(Stream(world, store, make_task(1, complete=False), Position()).lines())
    assert [address for address, _ in lines] == ["u/1/agent/1", "u/2/agent/1", "u/2/agent/2"]


async def test_what_is_stored_just_before_the_task_is_over_is_not_missed(
    store: FolderStore, tmp_path: Path
) -> None:
    """Its end comes between a look into storage and the look at the task."""
    segments = await write_ledger(tmp_path / "ledger", identity(), 1)
    await seal(store, identity(), segments[:1])
    world = World(make_task(1, complete=False))
    lines = Stream(world, store, make_task(1, complete=False), Position()).lines()
    assert (await anext(lines)).address == "u/1/agent/1"

    world.moments = [make_task(1, complete=True)]
    await seal(store, identity(), segments)
    assert await collect(lines) == [("u/1/agent/2", "closed")]


async def test_the_end_of_an_attempt_that_is_stored_after_the_next_began_is_not_missed(
    store: FolderStore, tmp_path: Path
) -> None:
    segments = await write_ledger(tmp_path / "one", identity(1), 1)
    await seal(store, identity(1), segments[:1])
    await seal(store, identity(2), await write_ledger(tmp_path / "two", identity(2), 0))
    world = World(make_task(1, complete=False))
    lines = Stream(world, store, make_task(1, complete=False), Position()).lines()
    assert (await anext(lines)).address == "u/1/agent/1"

    world.moments = [make_task(2, complete=True)]
    await seal(store, identity(1), segments)
    assert await collect(lines) == [("u/1/agent/2", "closed"), ("u/2/agent/1", "closed")]


async def test_a_stream_of_a_task_that_was_deleted_ends(store: FolderStore) -> None:
    task = make_task(1, complete=False)
    assert await collect(Stream(World(task, None), store, task, Position()).lines()) == []


@pytest.mark.parametrize(
    ("start", "last", "slot", "attempt", "position"),
    [
        ("1", "", "agent", "1", Position(1, "agent", 1)),
        ("0", "", "verifier-2-1", "3", Position(3, "verifier-2-1", 1)),
        ("1", "", "pusher", "1", Position(1, "pusher", 1)),
        ("1", "", "pusher-2", "1", Position(1, "pusher-2", 1)),
        ("u/2/agent/7", "", "agent", "1", Position(2, "agent", 7)),
        ("1", "u/2/verifier-1-1/7", "agent", "1", Position(2, "verifier-1-1", 8)),
    ],
)
def test_positions(start: str, last: str, slot: str, attempt: str, position: Position) -> None:
    assert parse_position("u", start, last, slot, attempt) == position


@pytest.mark.parametrize(
    ("start", "last", "slot", "attempt"),
    [
        ("x", "", "agent", "1"),
        ("1", "", "agent", "-1"),
        ("1", "", "../agent", "1"),
        ("1", "", "pusher-0", "1"),
        ("u/0/agent/1", "", "agent", "1"),
        ("1", "other/1/agent/1", "agent", "1"),
        ("1", "u/1/agent", "agent", "1"),
        ("u/1/root/1", "", "agent", "1"),
        ("9" * 40, "", "agent", "1"),
    ],
)
def test_positions_that_mean_nothing_are_refused(start: str, last: str, slot: str, attempt: str) -> None:
    with pytest.raises(BadPositionError):
        parse_position("u", start, last, slot, attempt)


def test_frames() -> None:
    line = Line("u/1/agent/4", b'{"seq":4}')
    assert ndjson_frame(line) == b'{"seq":4}\n'
    assert sse_frame(line) == b'id: u/1/agent/4\ndata: {"seq":4}\n\n'
