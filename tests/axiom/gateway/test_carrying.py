"""Carrying for a real trusted side: the base in, segments and blobs out into a store, until all of it is sealed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from tests.axiom_sandbox.supervising.benches import Life, open_bench, pack_base, start

from axiom.gateway.carrying import Archive, Carrier, all_sealed
from axiom.storage.folder import FolderStore
from axiom.storage.keys import blob_key, segment_key
from axiom_sandbox.protocol.channel import Phase, SandboxState, Stop
from axiom_sandbox.protocol.errands import Answered, AskJudge, Errand, NotDone, Reply, Seat, Vendor
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.launching import Expectation, Network
from axiom_sandbox.snapshots import digest_of
from axiom_sandbox.supervising.errands import ErrandBoard
from axiom_sandbox.supervising.verifier import VerifierSandbox

pytestmark = pytest.mark.sandbox


@dataclass
class Given:
    """Inputs that lie ready once `known` is set."""

    archive: Path
    known: bool = True

    async def base(self) -> Archive | None:
        return Archive(self.archive, digest_of(self.archive)) if self.known else None

    async def changes(self) -> Archive | None:
        return None

    async def conduct(self) -> Archive | None:
        return None

    async def hidden(self, criterion: str) -> Archive | None:
        return None

    def hidden_criteria(self) -> tuple[str, ...]:
        return ()


def carriers(
    folder: Path, life: Life, store: FolderStore, supply: Given, count: int
) -> list[Awaitable[None]]:
    made = []
    for number in range(count):
        scratch = folder / f"scratch-{number}"
        scratch.mkdir()
        made.append(Carrier(life.channel, store, supply, scratch).carry(lambda _: None))
    return made


async def reached(life: Life, wanted: Callable[[SandboxState], bool]) -> SandboxState:
    return await life.until(wanted)


async def test_two_carriers_seal_everything_once(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    async with open_bench(tmp_path) as bench:
        life = await bench.begin()
        supply = Given(pack_base(tmp_path, {"in": "x"}))
        carrying = asyncio.gather(*carriers(tmp_path, life, store, supply, 2))
        await life.send(start("echo made > out; echo said"))
        await life.reached(Phase.ROUND_ENDED, 1)
        await reached(
            life, lambda state: all(blob.sealed for blob in state.blobs) and state.ledger.sealed > 0
        )
        await life.send(Stop(reason="enough"))
        await asyncio.wait_for(carrying, 30)
        state = await life.channel.state()
        assert all_sealed(state)
        for number in range(1, state.ledger.segments + 1):
            key = segment_key(state.identity, number)
            assert await store.get(key) == life.sandbox.ledger.segment(number).read_bytes()
        for blob in state.blobs:
            found = await store.stat(blob_key(blob.digest))
            assert found is not None
            assert found.sha256 == blob.digest
        assert not list(tmp_path.glob("scratch-*/*"))


async def test_a_base_that_comes_late_is_brought_when_it_is_there(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.begin()
        supply = Given(pack_base(tmp_path, {"in": "x"}), known=False)
        [carrying] = carriers(tmp_path, life, FolderStore(tmp_path / "store"), supply, 1)
        task = asyncio.ensure_future(carrying)
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        supply.known = True
        await life.reached(Phase.READY)
        task.cancel()


class Courier:
    """Does errands in no time, and counts them."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def go(self, errand: Errand) -> Reply:
        self.done.append(errand.id)
        return Answered(text="seen", model="m")


async def test_of_two_carriers_one_does_an_errand_and_a_stranger_to_errands_leaves_it(tmp_path: Path) -> None:
    store, couriers = FolderStore(tmp_path / "store"), (Courier(), Courier(), None)
    changes = {"expect": Expectation(network=Network.NONE)}
    async with open_bench(tmp_path, role=Role.VERIFIER, changes=changes) as bench:
        life = await bench.begin(VerifierSandbox)
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        board = cast(VerifierSandbox, life.sandbox)._errands
        seat = Seat(name="one", vendor=Vendor.GOOGLE, model="m")
        errands = [
            AskJudge(id=name, seat=seat, instructions="", shown="", form={}) for name in ("a", "b", "c")
        ]
        carrying = []
        for number, courier in enumerate(couriers):
            scratch = tmp_path / f"scratch-{number}"
            scratch.mkdir()
            carrier = Carrier(life.channel, store, Given(Path(), known=False), scratch, messenger=courier)
            carrying.append(asyncio.ensure_future(carrier.carry(lambda _: None)))
        async with asyncio.timeout(60):
            replies = await asyncio.gather(*(board.send(errand) for errand in errands))
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
    assert {reply.kind for reply in replies} == {"Answered"}
    assert sorted(name for courier in couriers if courier for name in courier.done) == ["a", "b", "c"]


async def test_an_errand_that_nobody_comes_for_is_given_up() -> None:
    told: list[tuple[str, ...]] = []
    board = ErrandBoard(told.append, patience=0.01)
    seat = Seat(name="one", vendor=Vendor.GOOGLE, model="m")
    reply = await board.send(AskJudge(id="a", seat=seat, instructions="", shown="", form={}, seconds=0.01))
    assert isinstance(reply, NotDone)
    assert "no gateway came for it" in reply.why
    assert told == [("a",), ()]
    assert board.take("a") is None
    board.bring("a", Answered(text="", model="m"))
