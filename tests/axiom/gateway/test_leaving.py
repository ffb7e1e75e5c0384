"""What a carrier tells a sandbox of segments that are leaving: what object storage gives back, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.axiom.gateway.test_carrying import Given
from tests.fakes.trusted_side import FakeTrustedSide, fake_trusted_side

from axiom.gateway.carrying import Carrier
from axiom.storage.folder import FolderStore
from axiom.storage.keys import segment_key
from axiom.storage.store import CorruptError, MissingError, StorageError
from axiom_sandbox.protocol.channel import Phase, StoredSegments
from axiom_sandbox.protocol.identity import Identity, Role

IDENTITY = Identity(namespace="ns", task="t", task_id="u", attempt=1, role=Role.AGENT)
CONTENT = (b"one", b"two", b"three")


class Rotten(FolderStore):
    """A store one object of which is not what was written."""

    rotten = ""

    async def get(self, key: str) -> bytes:
        if key == self.rotten:
            raise CorruptError(key, "1" * 64, "2" * 64)
        return await super().get(key)


@pytest.fixture
def store(tmp_path: Path) -> Rotten:
    return Rotten(tmp_path / "store")


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[FakeTrustedSide]:
    async with fake_trusted_side(tmp_path, IDENTITY, Phase.RUNNING) as made:
        for content in CONTENT:
            made.offer_segment(content)
        yield made


async def step(side: FakeTrustedSide, store: FolderStore, folder: Path) -> None:
    """One look of a carrier."""
    async with side.channel() as channel:
        await Carrier(channel, store, Given(Path(), known=False), folder).step(await channel.state())


def leaving(side: FakeTrustedSide, up_to: int) -> None:
    side.update(ledger=side.state.ledger.model_copy(update={"leaving": up_to}))


def told(first: int, *contents: bytes) -> StoredSegments:
    digests = tuple(hashlib.sha256(content).hexdigest() for content in contents)
    return StoredSegments(first=first, digests=digests)


async def test_what_is_old_is_read_back_and_told_once(
    side: FakeTrustedSide, store: Rotten, tmp_path: Path
) -> None:
    await step(side, store, tmp_path)
    assert (side.state.ledger.sealed, side.stored) == (3, [])
    leaving(side, 2)
    await step(side, store, tmp_path)
    await step(side, store, tmp_path)
    leaving(side, 3)
    await step(side, store, tmp_path)
    assert side.stored == [told(1, b"one", b"two"), told(3, b"three")]


async def test_what_is_told_is_what_storage_has_and_not_what_the_sandbox_had(
    side: FakeTrustedSide, store: Rotten, tmp_path: Path
) -> None:
    await step(side, store, tmp_path)
    side.segments[1] = b"another"
    leaving(side, 1)
    await step(side, store, tmp_path)
    assert side.stored == [told(1, b"one")]


async def test_an_object_that_somebody_deleted_is_stored_once_more_before_its_segment_may_leave(
    side: FakeTrustedSide, store: Rotten, tmp_path: Path
) -> None:
    await step(side, store, tmp_path)
    await store.delete(segment_key(IDENTITY, 2))
    leaving(side, 3)
    await step(side, store, tmp_path)
    assert side.stored == [told(1, b"one")]
    assert await store.get(segment_key(IDENTITY, 2)) == b"two"
    await step(side, store, tmp_path)
    assert side.stored[1:] == [told(2, b"two", b"three")]


async def test_what_storage_does_not_give_back_whole_stays_and_all_behind_it(
    side: FakeTrustedSide, store: Rotten, tmp_path: Path
) -> None:
    await step(side, store, tmp_path)
    store.rotten = segment_key(IDENTITY, 2)
    leaving(side, 3)
    for _ in range(2):
        await step(side, store, tmp_path)
    assert side.stored == [told(1, b"one")]


async def test_a_sandbox_that_keeps_a_segment_after_all_is_carried_for_as_before(
    side: FakeTrustedSide, store: Rotten, tmp_path: Path
) -> None:
    await step(side, store, tmp_path)
    side.refuses = True
    leaving(side, 3)
    side.offer_segment(b"four")
    await step(side, store, tmp_path)
    assert (side.stored, side.state.ledger.sealed) == ([], 4)


async def test_what_a_sandbox_awaits_is_brought_in_order(
    side: FakeTrustedSide, store: Rotten, tmp_path: Path
) -> None:
    await step(side, store, tmp_path)
    leaving(side, 3)
    await step(side, store, tmp_path)
    side.update(awaits_segment=1)
    await step(side, store, tmp_path)
    assert side.returned == {1: b"one", 2: b"two", 3: b"three"}
    side.returned.clear()
    side.update(awaits_segment=3)  # another gateway brought the others
    await step(side, store, tmp_path)
    assert side.returned == {3: b"three"}


async def test_a_segment_that_another_gateway_brought_is_no_trouble_and_one_that_is_not_believed_is(
    side: FakeTrustedSide, store: Rotten, tmp_path: Path
) -> None:
    await step(side, store, tmp_path)
    leaving(side, 3)
    await step(side, store, tmp_path)
    side.update(awaits_segment=2)
    async with side.channel() as channel:
        carrier = Carrier(channel, store, Given(Path(), known=False), tmp_path)
        late = side.state.model_copy(update={"awaits_segment": 1})
        await carrier.step(late)
        assert side.returned == {}
        side.refuses = True
        with pytest.raises(StorageError, match="segment 2 is not the one that has left"):
            await carrier.step(side.state)
        await store.delete(segment_key(IDENTITY, 2))
        with pytest.raises(MissingError):
            await carrier.step(side.state)
