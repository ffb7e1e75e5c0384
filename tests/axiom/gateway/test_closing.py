"""A ledger whose sandbox is gone ends in a record of what is missing, and stays a sound chain."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from axiom.gateway.closing import close_ledger, stored_ledger
from axiom.storage.folder import FolderStore
from axiom.storage.keys import ledger_prefix, segment_key
from axiom.storage.store import PutResult
from axiom_sandbox.ledger.checking import Findings, verify
from axiom_sandbox.ledger.records import ORIGIN, decode, encode
from axiom_sandbox.protocol.channel import Blob, LedgerHead, Phase, SandboxState
from axiom_sandbox.protocol.identity import Identity, Role

NOW = datetime(2026, 11, 21, tzinfo=UTC)
IDENTITY = Identity(namespace="ns", task="t", task_id="uid", attempt=1, role=Role.AGENT)


def lines(first: int, count: int, prev: str = ORIGIN, last: str = "stdout") -> tuple[bytes, str]:
    data = b""
    for seq in range(first, first + count):
        event = last if seq == first + count - 1 else "stdout"
        line, prev = encode(seq=seq, time=NOW, identity=IDENTITY, event=event, payload={}, prev=prev)
        data += line + b"\n"
    return data, prev


def state(records: int, phase: Phase = Phase.RUNNING, **more: Any) -> SandboxState:
    return SandboxState(
        revision=1, identity=IDENTITY, phase=phase, ledger=LedgerHead(records=records), **more
    )


async def check(store: FolderStore) -> tuple[Findings, list[str]]:
    data = [
        zstandard.decompress(await store.get(key), 1 << 20)
        async for key in store.list(ledger_prefix(IDENTITY))
    ]
    found = b"".join(data).splitlines()
    return verify(found, None), [decode(line).event for line in found]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


async def seal(store: FolderStore, number: int, data: bytes) -> None:
    await store.put(segment_key(IDENTITY, number), zstandard.compress(data))


async def test_what_was_durable_and_not_stored_is_a_gap(store: FolderStore) -> None:
    first, head = lines(1, 3)
    second, _ = lines(4, 2, head)
    await seal(store, 1, first)
    await seal(store, 2, second)
    lost = state(
        9, blobs=(Blob(name="diff-1", digest="d", size=7), Blob(name="x", digest="e", size=1, sealed=True))
    )

    assert await close_ledger(store, IDENTITY, lost, "Evicted: low on memory", NOW)

    findings, events = await check(store)
    assert findings.intact
    assert events[-3:] == ["gap", "gap", "closed"]
    ledger, blob = (item.gap for item in findings.gaps)
    assert (ledger.what, ledger.start, ledger.end, ledger.size) == ("ledger", 6, 9, 4)
    assert "at least 4 records from 6 on" in ledger.reason
    assert "Evicted: low on memory" in ledger.reason
    assert (blob.what, blob.size) == ("diff-1", 7)
    assert (await stored_ledger(store, IDENTITY)).closed


async def test_a_ledger_that_was_closed_in_order_is_left_alone(store: FolderStore) -> None:
    data, _ = lines(1, 3, last="closed")
    await seal(store, 1, data)
    assert not await close_ledger(store, IDENTITY, state(3), "deleted", NOW)
    assert (await stored_ledger(store, IDENTITY)).segments == 1


async def test_nobody_knows_how_much_is_missing_where_nobody_heard_the_sandbox(store: FolderStore) -> None:
    data, _ = lines(1, 3)
    await seal(store, 1, data)
    assert await close_ledger(store, IDENTITY, None, "gone", NOW)
    findings, _ = await check(store)
    [gap] = [item.gap for item in findings.gaps]
    assert (gap.start, gap.end, gap.size) == (4, 3, 0)
    assert "an unknown number" in gap.reason


async def test_a_sandbox_that_never_stored_anything_has_a_ledger_of_its_loss(store: FolderStore) -> None:
    assert await close_ledger(store, IDENTITY, state(5), "the node crashed", NOW)
    findings, events = await check(store)
    assert findings.intact
    assert events == ["gap", "closed"]


@pytest.mark.parametrize("seen", [None, state(2, Phase.READY)])
async def test_of_a_sandbox_that_did_not_begin_nothing_is_missing(
    store: FolderStore, seen: SandboxState | None
) -> None:
    assert not await close_ledger(store, IDENTITY, seen, "deleted", NOW)
    assert (await stored_ledger(store, IDENTITY)).segments == 0


@pytest.mark.parametrize("ending", [True, False], ids=["another-gateway", "the-sandboxs-own-segment"])
async def test_who_comes_second_finds_what_the_first_wrote(store: FolderStore, ending: bool) -> None:
    data, head = lines(1, 3)
    await seal(store, 1, data)
    late, _ = lines(4, 2, head)

    class Slow(FolderStore):
        """Somebody is quicker, once."""

        late = True

        async def put(self, key: str, source: Path | bytes, **more: Any) -> PutResult:
            if self.late:
                self.late = False
                if ending:
                    assert await close_ledger(store, IDENTITY, state(9), "another's word", NOW)
                else:
                    await seal(store, 2, late)
            return await super().put(key, source, **more)

    slow = Slow(store._root)
    assert await close_ledger(slow, IDENTITY, state(5), "ours", NOW) is not ending

    findings, events = await check(store)
    assert findings.intact
    assert events.count("closed") == 1
