"""EIO, a full disk, a quota, short writes and failing fsyncs, at each call: what was told to be durable is, and it goes on.

The short form tries some calls, with a fixed seed; the long form (`make faults`) all of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.faults.disk import FAULTS, FailingDisk, Fault, Outcome, failing_disk
from tests.faults.parts import IS_LONG, share
from tests.faults.programs import IDENTITY

from axiom.storage.folder import FolderStore
from axiom.storage.store import MissingError
from axiom_sandbox.ledger import Ledger, decode, stored_lines, verify
from axiom_sandbox.ledger.seals import Seals
from axiom_sandbox.protocol.channel import LedgerHead
from axiom_sandbox.protocol.events import Closed
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.terminal.recording import Recording

IN_SHORT = 3
"""Calls of each program and fault that the short form tries."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingDisk]:
    try:
        with failing_disk(tmp_path_factory.mktemp("shim")) as made:
            yield made
    except FileNotFoundError:
        pytest.skip("the disk that fails needs a C compiler (cc)")


def outcomes(
    disk: FailingDisk, program: str, fault: Fault, folder: Path
) -> Iterator[tuple[int, Path, Outcome]]:
    """The program with each call failing in turn, and where it worked."""
    (folder / "counting").mkdir()
    counted = disk.run(program, folder / "counting", fault, 0)
    assert not counted.error
    assert counted.calls > 3, "the shim stands between"
    calls = range(1, counted.calls + 1)
    chosen = (
        share(calls) if IS_LONG else sorted(random.Random(f"{program}{fault.name}").sample(calls, IN_SHORT))
    )
    failed = 0
    for nth in chosen:
        place = folder / str(nth)
        place.mkdir()
        outcome = disk.run(program, place, fault, nth)
        assert outcome.expected, (nth, outcome.error)
        failed += bool(outcome.error)
        yield nth, place, outcome
    assert failed >= len(chosen) // 2, "most of these calls matter"


faults = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@faults
async def test_a_ledger_keeps_what_it_acknowledged_and_goes_on(
    disk: FailingDisk, fault: Fault, tmp_path: Path
) -> None:
    for nth, folder, outcome in outcomes(disk, "ledger", fault, tmp_path):
        promised = {what: value for what, value in outcome.told if isinstance(what, int)}
        sealed = {value for what, value in outcome.told if what == "sealed"}
        ledger = Ledger.open(folder, IDENTITY, lambda: datetime.now(UTC))
        if not ledger.head.closed:
            assert ["closed", 0] not in outcome.told, nth
            await ledger.append(Closed(reason="there is space again"))
            await ledger.close()
        elsewhere = Seals.load(folder).elsewhere
        held = {record.seq: record.hash for record in map(decode, stored_lines(folder))}
        kept = {seq: value for seq, value in promised.items() if seq > elsewhere.records}
        assert {seq: held.get(seq) for seq in kept} == kept, nth
        assert verify(stored_lines(folder), ledger.head.head, elsewhere).intact, nth
        assert (["left", 1] in outcome.told) <= (elsewhere.segments == 1), nth
        assert promised.get(elsewhere.records) in (None, elsewhere.head), nth
        assert Seals.load(folder).sealed >= sealed - {elsewhere.segments}, nth
        await ledger.release()


@faults
def test_a_recording_keeps_what_was_flushed_and_goes_on(
    disk: FailingDisk, fault: Fault, tmp_path: Path
) -> None:
    for nth, folder, outcome in outcomes(disk, "recording", fault, tmp_path):
        again = Recording.open(folder / "recording.cast", 80, 24)
        again.output(b"<again>")
        again.close()
        lines = [json.loads(line) for line in (folder / "recording.cast").read_bytes().splitlines()]
        assert lines[0]["version"] == 3
        shown = "".join(line[2] for line in lines[1:] if line[1] == "o")
        wanted = "".join(f"<{number}>" for number in range(8))
        assert shown.endswith("<again>")
        kept = shown.removesuffix("<again>")
        assert wanted.startswith(kept), nth
        assert kept.count("<") >= len(outcome.told), nth


@faults
def test_a_state_is_the_old_one_or_the_new_one(disk: FailingDisk, fault: Fault, tmp_path: Path) -> None:
    for nth, folder, outcome in outcomes(disk, "board", fault, tmp_path):
        board = Board(folder / "state.json", IDENTITY, LedgerHead, lambda: 0)
        last = outcome.told[-1] if outcome.told else 0
        assert board.state.round in (last, last + 1), nth
        board.update(round=9)
        assert Board(folder / "state.json", IDENTITY, LedgerHead, lambda: 0).state.round == 9


@faults
async def test_a_folder_s_objects_are_whole_or_not_there(
    disk: FailingDisk, fault: Fault, tmp_path: Path
) -> None:
    for nth, folder, outcome in outcomes(disk, "store", fault, tmp_path):
        store = FolderStore(folder)
        for number in range(5):
            key, content = f"a/{number}/{number}", f"content {number}".encode() * 100
            try:
                assert await store.get(key) == content, nth
            except MissingError:
                assert number not in outcome.told, nth
            await store.put(key, content)
        assert [key async for key in store.list("a/")] == [f"a/{number}/{number}" for number in range(5)]
