"""Segments that object storage has leave the ledger's folder: never one that is not proven, and the chain goes on."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from axiom_sandbox.ledger import (
    Elsewhere,
    Fault,
    Ledger,
    LedgerCorruptError,
    LedgerFailedError,
    Returned,
    SegmentKeptError,
    SegmentsLeftError,
    decode,
    every_fault,
    stored_lines,
    verify,
)
from axiom_sandbox.ledger.files import remove_segments
from axiom_sandbox.ledger.seals import Seals
from axiom_sandbox.protocol.events import Intruder

Grow = Callable[..., Awaitable[Ledger]]


def digests(ledger: Ledger, *numbers: int) -> list[str]:
    return [hashlib.sha256(ledger.segment(number).read_bytes()).hexdigest() for number in numbers]


async def leave(ledger: Ledger, last: int) -> dict[int, bytes]:
    """What object storage has, of segments that were let go of."""
    first = ledger.head.left + 1
    stored = {number: ledger.segment(number).read_bytes() for number in range(first, last + 1)}
    proven = await ledger.prove_stored(first, digests(ledger, *range(first, last + 1)))
    await ledger.let_go(proven)
    return stored


@pytest.fixture
async def grow(open_ledger: Any) -> Grow:
    """Opens, and adds segments of two records each, sealed."""

    async def add(segments: int, *, sealed: bool = True) -> Ledger:
        ledger: Ledger = open_ledger()
        for _ in range(segments):
            for number in range(2):
                await ledger.append(Intruder(door="d", detail=str(number)))
            await ledger.cut("test")
            if sealed:
                ledger.mark_sealed(ledger.head.segments)
        return ledger

    return add


async def read(ledger: Ledger, first: int) -> list[int]:
    found = list[int]()
    async for line in ledger.lines(first):
        found.append(decode(line).seq)
        if found[-1] == ledger.head.records:
            break
    return found


async def test_what_has_left_is_not_here_and_nothing_else_changes(grow: Grow, tmp_path: Path) -> None:
    ledger = await grow(4)
    before = ledger.head
    await leave(ledger, 2)
    assert ledger.head == before.model_copy(update={"left": 2})
    assert ledger.elsewhere.records == 4
    assert sorted(path.name for path in (tmp_path / "ledger" / "segments").iterdir()) == [
        "000003.jsonl.zst",
        "000004.jsonl.zst",
    ]
    assert await read(ledger, 5) == [5, 6, 7, 8]
    with pytest.raises(SegmentsLeftError) as refused:
        await read(ledger, 4)
    assert refused.value.records == 4
    with pytest.raises(SegmentsLeftError):
        ledger.segment(2)
    ledger.mark_sealed(2)  # by another gateway, late
    assert Seals.load(tmp_path / "ledger").sealed == {3, 4}


@pytest.mark.parametrize("left", [1, 3, 4])
async def test_a_ledger_whose_beginning_has_left_goes_on_after_a_restart(grow: Grow, left: int) -> None:
    ledger = await grow(4)
    stored = await leave(ledger, left)
    before = ledger.head
    await ledger.release()
    again = await grow(0)
    assert again.head == before
    position = await again.append(Intruder(door="d", detail="later"))
    await again.cut("test")
    again.mark_sealed(5)
    assert (position.seq, again.head.segments, again.head.sealed, again.head.sealed_records) == (9, 5, 5, 9)
    stored |= await leave(again, 5)
    await again.close()
    returned = Returned(again.elsewhere)
    lines = [line for number in range(1, 6) for line in returned.take(stored[number])]
    assert verify(lines, position.hash).intact
    assert len(lines) == 9


async def test_nothing_leaves_that_is_not_proven(grow: Grow, tmp_path: Path) -> None:
    ledger = await grow(3)
    await ledger.append(Intruder(door="d", detail="x"))
    await ledger.cut("test")  # and not sealed
    one, two, three, four = digests(ledger, 1, 2, 3, 4)
    for first, told in (
        (1, [two]),
        (1, [one, three]),
        (1, ["0" * 64]),
        (1, [one, two, three, four]),
        (2, [two]),
        (0, [one]),
        (1, []),
    ):
        with pytest.raises(SegmentKeptError):
            await ledger.prove_stored(first, told)
    await leave(ledger, 1)
    with pytest.raises(SegmentKeptError):
        await ledger.prove_stored(1, [one])
    assert (ledger.head.left, await read(ledger, 3)) == (1, [3, 4, 5, 6, 7])


async def test_a_segment_that_was_changed_here_stays(grow: Grow) -> None:
    ledger = await grow(2)
    stored = digests(ledger, 1)
    ledger.segment(1).write_bytes(ledger.segment(2).read_bytes())
    with pytest.raises(SegmentKeptError, match="segment 1 stays: it has the digest"):
        await ledger.prove_stored(1, stored)
    with pytest.raises(SegmentKeptError, match="ends with record 4, not 2"):
        await ledger.prove_stored(1, digests(ledger, 1))
    ledger.segment(1).unlink()
    with pytest.raises(SegmentKeptError, match="cannot be read here"):
        await ledger.prove_stored(1, stored)


async def test_a_removal_that_was_broken_off_is_completed_when_it_is_opened(
    grow: Grow, tmp_path: Path
) -> None:
    ledger = await grow(3)
    content = ledger.segment(2).read_bytes()
    await leave(ledger, 2)
    await ledger.release()
    folder = tmp_path / "ledger"
    (folder / "segments" / "000002.jsonl.zst").write_bytes(content)
    again = await grow(0)
    assert (again.head.left, again.head.records, again.head.segments) == (2, 6, 3)
    assert [path.name for path in (folder / "segments").iterdir()] == ["000003.jsonl.zst"]


async def test_a_segment_that_never_left_and_is_missing_is_no_segment_that_has_left(
    grow: Grow, tmp_path: Path
) -> None:
    ledger = await grow(4)
    await leave(ledger, 1)
    await ledger.release()
    remove_segments(tmp_path / "ledger", [2])
    with pytest.raises(LedgerCorruptError, match="segments are missing"):
        await grow(0)


async def test_what_is_here_must_follow_from_what_has_left(grow: Grow, tmp_path: Path) -> None:
    ledger = await grow(4)
    await leave(ledger, 2)
    await ledger.release()
    seals = Seals.load(tmp_path / "ledger")
    replace(seals, elsewhere=replace(seals.elsewhere, head="1" * 64)).store(tmp_path / "ledger")
    with pytest.raises(LedgerCorruptError):
        await grow(0)


async def test_a_disk_that_does_not_note_it_keeps_everything(
    grow: Grow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await grow(2)
    proven = await ledger.prove_stored(1, digests(ledger, 1))
    (tmp_path / "ledger" / "seals.json.tmp").mkdir()
    with pytest.raises(LedgerFailedError, match="seals"):
        await ledger.let_go(proven)
    assert (ledger.head.left, await read(ledger, 1)) == (0, [1, 2, 3, 4])
    (tmp_path / "ledger" / "seals.json.tmp").rmdir()
    await ledger.let_go(proven)
    assert ledger.head.left == 1


async def test_a_reader_whose_place_leaves_is_told_so(grow: Grow) -> None:
    ledger = await grow(3)
    reader = ledger.lines(1)
    assert decode(await anext(reader)).seq == 1
    await leave(ledger, 2)
    assert decode(await anext(reader)).seq == 2  # of the segment that it held already
    with pytest.raises(SegmentsLeftError):
        await anext(reader)
    behind = ledger.lines(5)
    assert decode(await anext(behind)).seq == 5


async def test_a_segment_is_old_by_its_last_record_also_after_a_restart(open_ledger: Any, clock: Any) -> None:
    ledger, began = open_ledger(), clock.now
    for _ in range(3):
        await ledger.append(Intruder(door="d", detail="x"))
        await ledger.cut("test")
        clock.now += timedelta(hours=1)

    def old(after_hours: float) -> int:
        return ledger.older_than(began + timedelta(hours=after_hours))

    assert old(99) == 0, "nothing is sealed"
    for number in (1, 2):
        ledger.mark_sealed(number)
    assert [old(-0.1), old(0.5), old(1.5), old(99)] == [0, 1, 2, 2]
    await ledger.release()
    ledger = open_ledger()
    assert [old(-0.1), old(0.5), old(1.5), old(99)] == [0, 1, 2, 2]
    await leave(ledger, 1)
    assert [old(-0.1), old(1.5)] == [1, 2]


async def test_what_comes_back_is_believed_only_as_this_ledgers_own(grow: Grow, open_ledger: Any) -> None:
    ledger = await grow(3)
    stored = await leave(ledger, 2)
    other = open_ledger(ledger._folder.parent / "other")
    await other.append(Intruder(door="another", detail="x"))
    await other.append(Intruder(door="another", detail="x"))
    await other.cut("test")
    foreign = other.segment(1).read_bytes()

    returned = Returned(ledger.elsewhere)
    for wrong in (stored[2], ledger.segment(3).read_bytes(), b"", b"no segment", stored[1][:-3]):
        with pytest.raises(LedgerCorruptError):
            returned.take(wrong)
        assert returned.wanted == 1
    assert [decode(line).seq for line in returned.take(stored[1])] == [1, 2]
    assert [decode(line).seq for line in returned.take(stored[2])] == [3, 4]
    assert returned.wanted == 3

    forged = Returned(replace(ledger.elsewhere, segments=1, records=2))
    with pytest.raises(LedgerCorruptError, match="what is here follows record 2"):
        forged.take(foreign)


async def test_a_copy_whose_beginning_is_elsewhere_is_checked_from_there_on(
    grow: Grow, tmp_path: Path
) -> None:
    ledger = await grow(4)
    await leave(ledger, 2)
    lines, elsewhere, head = list(stored_lines(tmp_path / "ledger")), ledger.elsewhere, ledger.head.head
    found = verify(lines, head, elsewhere)
    assert (found.intact, found.records, every_fault(lines, head, elsewhere)) == (True, 8, ())
    assert verify(lines, head).broken is not None

    for changed, fault in (
        (lines[1:], Fault.REMOVED),
        (lines[:-1], Fault.TRUNCATED),
        ([lines[0].replace(b'"door":"d"', b'"door":"e"'), *lines[1:]], Fault.EDITED),
        ([lines[1], lines[0], *lines[2:]], Fault.REORDERED),
    ):
        broken = verify(changed, head, elsewhere).broken
        assert broken is not None
        assert broken.fault is fault
        assert fault in {one.fault for one in every_fault(changed, head, elsewhere)}
    wrong = Elsewhere(elsewhere.segments, elsewhere.records, "1" * 64)
    assert not verify(lines, head, wrong).intact
    assert every_fault(lines, head, wrong)
    assert verify([], elsewhere.head, elsewhere).intact


async def test_any_order_of_growing_leaving_and_restarts_leaves_one_chain(grow: Grow) -> None:
    chance, stored = random.Random(7), dict[int, bytes]()
    ledger = await grow(1)
    for _ in range(40):
        match chance.randrange(3):
            case 0:
                await ledger.append(Intruder(door="d", detail="x" * chance.randrange(500)))
                await ledger.cut("test")
                ledger.mark_sealed(ledger.head.segments)
            case 1 if ledger.sealed > ledger.head.left:
                stored |= await leave(ledger, chance.randint(ledger.head.left + 1, ledger.sealed))
            case _:
                await ledger.release()
                ledger = await grow(0)
    returned = Returned(ledger.elsewhere)
    lines = [line for number in range(1, ledger.head.left + 1) for line in returned.take(stored[number])]
    lines += stored_lines(ledger._folder)
    assert verify(lines, ledger.head.head).records == ledger.head.records > 10
    assert stored
