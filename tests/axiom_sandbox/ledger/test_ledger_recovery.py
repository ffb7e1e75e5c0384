from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axiom_sandbox.ledger import (
    Ledger,
    LedgerClosedError,
    LedgerCorruptError,
    LedgerFailedError,
    decode,
    files,
    stored_lines,
    verify,
)
from axiom_sandbox.protocol.events import Terminal

Open = Callable[..., Ledger]


def note(number: int) -> Terminal:
    return Terminal(start=number, size=1)


@pytest.fixture
async def left_behind(open_ledger: Open, tmp_path: Path) -> Path:
    """Two cut segments and one that was being written: records 1 and 2, 3 and 4, 5 to 7."""
    ledger = open_ledger()
    for number in (1, 3):
        await ledger.append(note(number), note(number + 1))
        await ledger.cut("each")
    await ledger.append(note(5), note(6), note(7))
    await ledger.release()
    return tmp_path / "ledger"


def newest(folder: Path) -> Path:
    return folder / "segments" / "000003.jsonl"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "segments").iterdir())


async def test_whatever_was_being_written_is_cut_at_the_next_start(
    left_behind: Path, open_ledger: Open
) -> None:
    ledger = open_ledger()
    assert names(left_behind) == ["000001.jsonl.zst", "000002.jsonl.zst", "000003.jsonl.zst"]
    assert (ledger.head.records, ledger.head.segments, ledger.torn_bytes) == (7, 3, 0)


async def test_a_tail_torn_at_any_byte_is_cut_and_nothing_else(left_behind: Path, open_ledger: Open) -> None:
    content = newest(left_behind).read_bytes()
    ends = [0, *(at + 1 for at, byte in enumerate(content) if byte == ord("\n"))]
    for size in range(0, len(content), 13):
        (left_behind / "segments" / "000003.jsonl.zst").unlink(missing_ok=True)
        newest(left_behind).write_bytes(content[:size])
        ledger = open_ledger()
        whole = max(end for end in ends if end <= size)
        assert ledger.torn_bytes == size - whole
        assert ledger.head.records == 4 + ends.index(whole)
        assert verify(stored_lines(left_behind), ledger.head.head).intact
        await ledger.release()


async def test_blocks_the_disk_never_got_are_torn(left_behind: Path, open_ledger: Open) -> None:
    content = newest(left_behind).read_bytes()
    line = content.split(b"\n")[2]
    newest(left_behind).write_bytes(content.replace(line[50:], bytes(len(line) - 50)) + line + b"\n")
    ledger = open_ledger()
    assert ledger.head.records == 6
    assert (await ledger.append(note(7))).seq == 7


async def test_an_empty_segment_is_begun_anew(left_behind: Path, open_ledger: Open) -> None:
    newest(left_behind).write_bytes(b"")
    ledger = open_ledger()
    assert ledger.head.segments == 2
    await ledger.append(note(5))
    await ledger.cut("now")
    assert ledger.head.segments == 3


async def test_an_unfinished_compression_is_done_again(left_behind: Path, open_ledger: Open) -> None:
    (left_behind / "segments" / "000003.jsonl.zst.tmp").write_bytes(b"half")
    open_ledger()
    assert names(left_behind) == ["000001.jsonl.zst", "000002.jsonl.zst", "000003.jsonl.zst"]


async def test_a_raw_file_beside_its_cut_segment_is_removed(left_behind: Path, open_ledger: Open) -> None:
    raw = newest(left_behind).read_bytes()
    await open_ledger().release()
    newest(left_behind).write_bytes(raw)
    before = (left_behind / "segments" / "000003.jsonl.zst").read_bytes()
    ledger = open_ledger()
    assert not newest(left_behind).exists()
    assert ledger.segment(3).read_bytes() == before


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(bytes(content))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of a written record": lambda folder: flip(newest(folder), 60),
    "a bit of the last record": lambda folder: flip(newest(folder), -30),
    "a bit of a cut segment": lambda folder: flip(folder / "segments/000001.jsonl.zst", 40),
    "a cut segment cut short": lambda folder: os.truncate(folder / "segments/000001.jsonl.zst", 50),
    "a segment missing in the middle": lambda folder: (folder / "segments/000002.jsonl.zst").unlink(),
    "the first segment missing": lambda folder: (folder / "segments/000001.jsonl.zst").unlink(),
    "a segment in another's place": lambda folder: (folder / "segments/000001.jsonl.zst").rename(
        folder / "segments/000002.jsonl.zst"
    ),
    "a raw file unlike its cut segment": lambda folder: (folder / "segments/000001.jsonl").write_bytes(
        b"x\n"
    ),
    "unreadable seals": lambda folder: (folder / "seals.json").write_bytes(b"[]"),
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_damage_to_what_was_acknowledged_is_reported_and_nothing_is_cut(
    left_behind: Path, open_ledger: Open, what: str
) -> None:
    DAMAGES[what](left_behind)
    before = {path: path.read_bytes() for path in (left_behind / "segments").iterdir()}
    with pytest.raises(LedgerCorruptError):
        open_ledger()
    assert {path: path.read_bytes() for path in (left_behind / "segments").iterdir()} == before


# a disk that refuses


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes one system call fail from now on."""

    def fail(name: str) -> None:
        def refuse(*_: Any) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, name, refuse)

    return fail


@pytest.mark.parametrize("call", ["fdatasync", "write", "fsync"])
async def test_an_error_of_the_disk_is_fatal(
    open_ledger: Open, failing: Callable[[str], None], call: str
) -> None:
    ledger = open_ledger()
    reader = ledger.lines()
    failing(call)
    with pytest.raises(LedgerFailedError, match="Input/output error"):
        await ledger.append(note(1))
    with pytest.raises(LedgerFailedError):
        await ledger.append(note(2))
    with pytest.raises(LedgerFailedError):
        await ledger.cut("now")
    with pytest.raises(LedgerFailedError):
        await ledger.changed(ledger.head)
    with pytest.raises(LedgerFailedError):
        await anext(reader)
    with pytest.raises(LedgerFailedError):
        await ledger.close()
    assert ledger.head.records == 0


async def test_what_waits_behind_a_failed_group_fails_too(
    open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    first = ledger.append(note(2))
    large = ledger.append(*(note(number) for number in range(20_000)))
    monkeypatch.setattr(os, "fdatasync", _raise_once(os.fdatasync))
    for result in await gather_errors(first, large, ledger.append(note(3))):
        assert isinstance(result, LedgerFailedError)
    assert ledger.head.records == 1
    await ledger.release()


async def gather_errors(*work: Any) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


def _raise_once(real: Callable[[int], None]) -> Callable[[int], None]:
    calls = []

    def call(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    return call


async def test_a_cut_that_cannot_be_compressed_fails_the_ledger_and_loses_nothing(
    open_ledger: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    with monkeypatch.context() as patch:
        patch.setattr(files, "compress", _refuse)
        with pytest.raises(LedgerFailedError):
            await ledger.cut("now")
    assert [decode(line).seq async for line in _first_lines(ledger)] == [1]
    await ledger.release()
    again = open_ledger()
    assert again.head.segments == 1


async def _first_lines(ledger: Ledger) -> Any:
    try:
        async for line in ledger.lines():
            yield line
    except LedgerFailedError:
        return


def _refuse(_: bytes) -> bytes:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_seal_that_cannot_be_stored_is_not_believed(
    open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    await ledger.cut("now")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _raise_once(os.fdatasync))
        with pytest.raises(LedgerFailedError):
            ledger.mark_sealed(1)
    assert ledger.sealed == 0
    ledger.mark_sealed(1)
    assert ledger.sealed == 1


async def test_a_folder_that_cannot_be_made_is_a_failed_ledger(open_ledger: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LedgerFailedError):
        open_ledger(tmp_path / "file" / "ledger")


async def test_a_released_ledger_is_of_no_more_use_and_ends_its_readers(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.append(note(1))
    await ledger.release()
    await ledger.release()
    await ledger.close()
    assert not ledger.head.closed
    assert len([line async for line in ledger.lines()]) == 1
    with pytest.raises(LedgerClosedError):
        await ledger.append(note(2))
    with pytest.raises(LedgerClosedError):
        await ledger.changed(ledger.head)
