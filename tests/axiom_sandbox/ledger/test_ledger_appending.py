from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from axiom_sandbox.ledger import (
    Ledger,
    LedgerBusyError,
    LedgerClosedError,
    LedgerCorruptError,
    NoSuchSegmentError,
    decode,
    stored_lines,
    verify,
)
from axiom_sandbox.ledger import ledger as ledger_module
from axiom_sandbox.ledger.files import decompress
from axiom_sandbox.protocol.channel import LedgerHead
from axiom_sandbox.protocol.events import Closed, Event, Intruder, Terminal, UnknownEvent

Open = Callable[..., Ledger]


def note(number: int) -> Event:
    return Terminal(start=number, size=1)


async def taken(ledger: Ledger, count: int, from_seq: int = 1) -> list[bytes]:
    lines = []
    async for line in ledger.lines(from_seq):
        lines.append(line)
        if len(lines) == count:
            break
    return lines


def big(size: int) -> Event:
    return Intruder(door="socket", detail="x" * size)


@pytest.fixture
def loop_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the running loop's clock forward; it stands still otherwise."""
    now = [1000.0]

    def advance(seconds: float) -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
        now[0] += seconds

    return advance


async def test_an_appended_event_is_on_disk_with_its_names(open_ledger: Open, tmp_path: Path) -> None:
    position = await open_ledger().append(note(5))
    record = decode((tmp_path / "ledger/segments/000001.jsonl").read_bytes())
    assert (record.seq, record.hash) == (position.seq, position.hash)
    assert (record.agent_id, record.parent_id, record.task_id) == ("uid-1/1/agent", None, "uid-1")
    assert (record.event, record.payload) == ("terminal", {"start": 5, "size": 1})


async def test_an_unknown_event_is_kept_under_its_own_name(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.append(UnknownEvent(name="dream", payload={"about": ["sheep"]}))
    record = decode((await taken(ledger, 1))[0])
    assert (record.event, record.payload) == ("dream", {"about": ["sheep"]})


async def test_events_of_one_append_stand_together_and_have_one_time(open_ledger: Open, clock: Any) -> None:
    ledger = open_ledger()
    first = asyncio.create_task(ledger.append(note(1), note(2), note(3)))
    second = asyncio.create_task(ledger.append(note(4)))
    assert [(await first).seq, (await second).seq] == [3, 4]
    times = {decode(line).time_utc for line in await taken(ledger, 3)}
    assert times == {clock.now.replace(microsecond=678000)}


async def test_concurrent_appends_are_committed_in_groups(
    open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = ledger_module.durable.write_durably
    monkeypatch.setattr(
        ledger_module.durable,
        "write_durably",
        lambda fd, data: (written.append(data.count(b"\n")), write(fd, data)),
    )
    ledger = open_ledger()
    positions = await asyncio.gather(*(ledger.append(note(number)) for number in range(500)))
    assert [position.seq for position in positions] == list(range(1, 501))
    assert sum(written) == 500
    assert len(written) < 10


async def test_an_append_of_nothing_changes_nothing(open_ledger: Open) -> None:
    ledger = open_ledger()
    position = await ledger.append(note(1))
    assert await ledger.append() == position


async def test_an_event_that_json_cannot_say_is_refused_alone(open_ledger: Open) -> None:
    ledger = open_ledger()
    with pytest.raises(ValueError, match="JSON"):
        await ledger.append(note(1), UnknownEvent(name="x", payload={"n": float("nan")}))
    assert (await ledger.append(note(2))).seq == 1


async def test_the_head_is_empty_at_first_and_then_the_last_hash(open_ledger: Open) -> None:
    ledger = open_ledger()
    assert ledger.head == LedgerHead()
    position = await ledger.append(note(1))
    assert ledger.head == LedgerHead(records=1, head=position.hash)


async def test_a_cancelled_append_does_not_harm_the_others(open_ledger: Open) -> None:
    ledger = open_ledger()
    cancelled, kept = asyncio.create_task(ledger.append(note(1))), asyncio.create_task(ledger.append(note(2)))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert (await kept).seq == 2
    assert verify(await taken(ledger, 2), None).intact


# segments


async def test_a_cut_segment_is_compressed_and_the_raw_file_gone(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger()
    await ledger.append(note(1), note(2))
    await ledger.cut("the turn ended")
    assert ledger.head.segments == 1
    assert [path.name for path in (tmp_path / "ledger/segments").iterdir()] == ["000001.jsonl.zst"]
    assert decompress(ledger.segment(1).read_bytes()) == b"".join(await taken(ledger, 2))


async def test_cutting_where_nothing_is_makes_no_segment(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.cut("early")
    await ledger.append(note(1))
    await ledger.cut("once")
    await ledger.cut("twice")
    assert ledger.head.segments == 1


async def test_a_segment_is_cut_before_it_grows_past_a_mebibyte(open_ledger: Open) -> None:
    ledger = open_ledger()
    for _ in range(5):
        await ledger.append(*(big(100_000) for _ in range(5)))
    await ledger.close()
    sizes = [
        len(decompress(ledger.segment(number).read_bytes())) for number in range(1, ledger.head.segments + 1)
    ]
    assert len(sizes) == 3
    assert all(900_000 < size <= ledger_module.SEGMENT_BYTES for size in sizes[:-1])


async def test_a_record_larger_than_a_segment_has_one_to_itself(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.append(note(1), big(2_000_000), note(2))
    await ledger.close()
    counts = [decompress(ledger.segment(number).read_bytes()).count(b"\n") for number in (1, 2, 3)]
    assert counts == [1, 1, 1]


async def test_a_segment_is_cut_ten_seconds_after_the_last_event(
    open_ledger: Open, loop_time: Callable[[float], None]
) -> None:
    ledger = open_ledger()
    loop_time(0)
    await ledger.append(note(1))
    loop_time(9)
    await ledger.append(note(2))
    loop_time(9)
    await asyncio.sleep(0)
    assert ledger.head.segments == 0
    known = ledger.head
    loop_time(1)
    known = await ledger.changed(known)
    assert known.segments == 1
    assert known.records == 2


async def test_a_segment_is_cut_at_an_age_also_where_events_never_rest(
    open_ledger: Open, loop_time: Callable[[float], None]
) -> None:
    loop_time(0)
    ledger = open_ledger()
    for number in range(15):
        await ledger.append(note(number))
        loop_time(4)
        await asyncio.sleep(0)
    assert ledger.head.segments == 0
    known = ledger.head
    await ledger.append(note(15))
    loop_time(0)
    while (known := await ledger.changed(known)).segments == 0:
        continue
    assert known.records == 16
    await ledger.append(note(16))
    loop_time(9)
    await asyncio.sleep(0)
    assert ledger.head.segments == 1


async def test_the_bytes_of_a_cut_segment_never_change(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    await ledger.cut("now")
    before = ledger.segment(1).read_bytes()
    await ledger.append(note(2))
    await ledger.release()
    again = open_ledger()
    await again.append(note(3))
    assert again.segment(1).read_bytes() == before


async def test_segments_that_are_not_cut_have_no_file(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    for number in (0, 1, 2):
        with pytest.raises(NoSuchSegmentError):
            ledger.segment(number)


async def test_sealed_is_the_end_of_the_unbroken_row(open_ledger: Open) -> None:
    ledger = open_ledger()
    for number in range(4):
        await ledger.append(note(number))
        await ledger.cut("each")
    for number, sealed in [(2, 0), (1, 2), (1, 2), (4, 2), (3, 4)]:
        ledger.mark_sealed(number)
        assert ledger.sealed == ledger.head.sealed == sealed
    with pytest.raises(NoSuchSegmentError):
        ledger.mark_sealed(5)
    await ledger.release()
    assert open_ledger().sealed == 4


# following


async def test_lines_are_replayed_from_any_record(open_ledger: Open) -> None:
    ledger = open_ledger()
    for number in range(6):
        await ledger.append(note(2 * number), note(2 * number + 1))
        if number % 2:
            await ledger.cut("each second")
    for first in range(1, 13):
        lines = await taken(ledger, 13 - first, first)
        assert [decode(line).seq for line in lines] == list(range(first, 13))


async def test_a_reader_gets_what_comes_later(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    reader = ledger.lines(1)
    assert decode(await anext(reader)).seq == 1
    coming = asyncio.ensure_future(anext(reader))
    await ledger.append(note(2))
    assert decode(await coming).seq == 2
    await ledger.cut("under the reader")
    await ledger.append(note(3))
    assert decode(await anext(reader)).seq == 3


async def test_a_reader_ahead_of_the_ledger_waits_for_its_record(open_ledger: Open) -> None:
    ledger = open_ledger()
    coming = asyncio.ensure_future(taken(ledger, 1, 3))
    for number in range(3):
        await ledger.append(note(number))
    assert [decode(line).seq for line in await coming] == [3]


async def test_readers_see_the_same_lines_while_segments_are_cut(open_ledger: Open) -> None:
    ledger = open_ledger()

    async def read() -> list[bytes]:
        return [line async for line in ledger.lines()]

    readers = [asyncio.create_task(read()) for _ in range(3)]
    for number in range(60):
        await ledger.append(*(note(number) for _ in range(20)))
        if number % 7 == 0:
            await ledger.cut("often")
    await ledger.close()
    seen = await asyncio.gather(*readers)
    assert seen[0] == seen[1] == seen[2]
    findings = verify(seen[0], ledger.head.head)
    assert (findings.intact, findings.records) == (True, 1200)


async def test_lines_end_when_the_ledger_is_closed(open_ledger: Open) -> None:
    ledger = open_ledger()
    reading = asyncio.create_task(taken(ledger, 99))
    await ledger.append(note(1), Closed(reason="done"))
    await ledger.close()
    assert len(await reading) == 2
    assert [line async for line in ledger.lines(99)] == []


# closing and opening again


async def test_a_closed_ledger_takes_nothing_more(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    await ledger.close()
    await ledger.close()
    assert ledger.head.closed
    assert ledger.head.segments == 1
    with pytest.raises(LedgerClosedError):
        await ledger.append(note(2))
    ledger.mark_sealed(1)
    again = open_ledger()
    assert again.head == ledger.head
    assert len([line async for line in again.lines()]) == 1
    with pytest.raises(LedgerClosedError):
        await again.append(note(2))


async def test_events_before_close_are_durable_even_if_nobody_waited(open_ledger: Open) -> None:
    ledger = open_ledger()
    pending = [asyncio.create_task(ledger.append(note(number))) for number in range(10)]
    await asyncio.sleep(0)
    await ledger.close()
    assert len([line async for line in ledger.lines()]) == 10
    assert [(await task).seq for task in pending] == list(range(1, 11))


async def test_a_reopened_ledger_goes_on_with_the_chain(open_ledger: Open, tmp_path: Path) -> None:
    for number in range(4):
        ledger = open_ledger()
        assert ledger.head.records == number
        assert ledger.head.segments == number
        await ledger.append(note(number))
        head = ledger.head.head
        await ledger.release()
    findings = verify(stored_lines(tmp_path / "ledger"), head)
    assert (findings.intact, findings.records) == (True, 4)


async def test_only_one_may_have_the_folder_open(open_ledger: Open) -> None:
    ledger = open_ledger()
    with pytest.raises(LedgerBusyError):
        open_ledger()
    await ledger.close()
    open_ledger()


async def test_the_ledger_of_another_sandbox_is_refused(open_ledger: Open, identity: Any) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    await ledger.close()
    with pytest.raises(LedgerCorruptError, match="belongs to uid-1/1/agent"):
        open_ledger(identity=identity.model_copy(update={"attempt": 2}))


async def test_whoever_waits_hears_of_each_change(open_ledger: Open) -> None:
    ledger = open_ledger()
    known = ledger.head
    seen = []

    async def watch() -> None:
        nonlocal known
        while not known.closed:
            known = await ledger.changed(known)
            seen.append((known.records, known.segments, known.closed))

    watching = asyncio.create_task(watch())
    await ledger.append(note(1))
    await ledger.close()
    await watching
    assert seen[0] == (1, 0, False)
    assert seen[-1] == (1, 1, True)


async def test_a_clock_that_goes_back_does_not_break_the_chain(open_ledger: Open, clock: Any) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    clock.now -= timedelta(hours=1)
    await ledger.append(note(2))
    assert verify(await taken(ledger, 2), ledger.head.head).intact
