"""The parts without a launcher: the board, the pump at a terminal of its own, counting bytes."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import tty
from pathlib import Path

import pytest

from axiom_sandbox.protocol.channel import Blob, FailureReason, LedgerHead, Phase
from axiom_sandbox.protocol.events import Event, Gap, Terminal
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.agent import AgentSandbox
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.descriptors import write_all
from axiom_sandbox.supervising.settings import SandboxSettings
from axiom_sandbox.supervising.terminal_pump import LONGEST_LINE, TerminalPump, recorded_tail
from axiom_sandbox.supervising.usage import ENTRY_BYTES, folder_bytes
from axiom_sandbox.terminal.recording import Recording

IDENTITY = Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT)


def board(folder: Path) -> Board:
    return Board(folder / "state.json", IDENTITY, LedgerHead, lambda: 7)


def test_a_state_outlives_its_process_and_its_revision_never_falls(tmp_path: Path) -> None:
    first = board(tmp_path)
    first.update(phase=Phase.READY)
    first.add_blobs(Blob(name="diff-1", digest="d", size=3))
    first.add_blobs(Blob(name="diff-1", digest="e", size=4), Blob(name="screenshot-f", digest="f", size=5))
    first.seal_blob("e")
    first.seal_blob("d")
    before = first.state
    assert [(blob.name, blob.sealed) for blob in before.blobs] == [("diff-1", True), ("screenshot-f", False)]
    assert board(tmp_path).state == before
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    first.seal_blob("e")
    assert first.state.revision == before.revision


def test_a_screenshot_leaves_the_state_once_it_is_stored(tmp_path: Path) -> None:
    held = board(tmp_path)
    held.add_blobs(Blob(name="screenshot-f", digest="f", size=5), Blob(name="recording", digest="r", size=5))
    held.seal_blob("f")
    held.seal_blob("f")
    assert [blob.name for blob in held.state.blobs] == ["recording"]


async def test_waiting_ends_with_a_change_or_with_the_time(tmp_path: Path) -> None:
    held = board(tmp_path)
    present = held.state.revision
    assert (await held.wait(present - 1, 60)).revision == present
    assert (await held.wait(present, 0)).revision == present
    waiting = asyncio.create_task(held.wait(present, 60))
    await asyncio.sleep(0)
    held.update(round=1)
    assert (await waiting).round == 1


async def test_a_disk_that_refuses_is_told_and_the_change_holds_until_then(tmp_path: Path) -> None:
    held = board(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        held.update(phase=Phase.FAILED)
    assert held.state.phase is Phase.FAILED


class Desk:
    """A pump at one end of a terminal, the test at the other."""

    def __init__(self, folder: Path) -> None:
        master, self.agent = pty.openpty()
        self.file = folder / "recording.cast"
        self.recording = Recording.open(self.file, 80, 24)
        self.events: list[Event] = []
        self.outputs = 0
        self.looked_at = b""
        self.begun, self.may_record = asyncio.Event(), asyncio.Event()
        self.may_record.set()
        self.pump = TerminalPump(
            master, self.recording, self.record, self.heard, noted=0, look=self.look, size=(80, 24)
        )

    async def record(self, event: Event) -> int:
        self.begun.set()
        await self.may_record.wait()
        self.events.append(event)
        return len(self.events)

    async def look(self, data: bytes) -> None:
        self.looked_at += data

    def heard(self, _size: int) -> None:
        self.outputs += 1


async def test_a_character_that_is_split_between_reads_is_one_character(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    running = asyncio.create_task(desk.pump.run())
    for byte in "größe €".encode():
        seen = desk.outputs
        os.write(desk.agent, bytes([byte]))
        while desk.outputs == seen:
            await asyncio.sleep(0)
    os.close(desk.agent)
    await desk.pump.finish(10)
    await running
    desk.recording.close()
    assert desk.pump.tail.decode() == "größe €"
    assert recorded_tail(desk.file) == "größe €".encode()
    assert recorded_tail(desk.file, 4) == " €".encode()
    stretches = [event for event in desk.events if isinstance(event, Terminal)]
    assert sum(event.size for event in stretches) == len("größe €".encode()) == desk.pump.noted


async def test_what_comes_while_a_stretch_is_noted_is_noted_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    running = asyncio.create_task(desk.pump.run())
    os.write(desk.agent, b"first")
    desk.may_record.clear()
    async with asyncio.timeout(30):
        await desk.begun.wait()
    os.write(desk.agent, b" and last")
    os.close(desk.agent)
    await desk.pump.finish(30)
    desk.may_record.set()
    await running
    stretches = [(event.start, event.size) for event in desk.events if isinstance(event, Terminal)]
    assert stretches == [(0, 5), (5, 9)]


async def test_a_terminal_that_is_held_open_is_left_after_the_grace(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    running = asyncio.create_task(desk.pump.run())
    os.write(desk.agent, b"still here")
    await desk.pump.finish(0.05)
    await running
    assert desk.pump.tail == b"still here"
    os.close(desk.agent)


@pytest.mark.parametrize(
    ("shown", "raw", "read"),
    [
        pytest.param(b"ready> ", False, b"one\ntwo\n", id="lines"),
        pytest.param(b"ready> \x1b[?2004h", True, b"\x1b[200~one\rtwo\x1b[201~\r", id="marks"),
        pytest.param(b"ready> \x1b[?2004h\x1b[?2004l", False, b"one\ntwo\n", id="marks no more"),
    ],
)
async def test_what_is_pasted_is_marked_where_the_program_asks_for_that_and_else_entered_line_by_line(
    tmp_path: Path, shown: bytes, raw: bool, read: bytes
) -> None:
    desk = Desk(tmp_path)
    if raw:
        tty.setraw(desk.agent)
    running = asyncio.create_task(desk.pump.run())
    os.write(desk.agent, shown)
    assert await desk.pump.paste("one\ntwo") == ""
    found = b""
    while len(found) < len(read):
        found += os.read(desk.agent, 100)
    assert found == read
    os.close(desk.agent)
    await desk.pump.finish(10)
    await running
    assert any(line.startswith("[") and '"i"' in line for line in desk.file.read_text().splitlines())


async def test_a_line_that_a_terminal_does_not_hold_is_said_to_be_cut(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    running = asyncio.create_task(desk.pump.run())
    os.write(desk.agent, b"ready> ")
    assert "at most 4095 bytes" in await desk.pump.paste("x" * (LONGEST_LINE + 1))
    assert len(os.read(desk.agent, 10_000)) == LONGEST_LINE + 1, "with its end"
    os.close(desk.agent)
    await desk.pump.finish(10)
    await running


async def test_a_program_that_asks_its_terminal_is_answered_whoever_types_besides(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tty.setraw(desk.agent)
    running = asyncio.create_task(desk.pump.run())
    os.write(desk.agent, b"\x1b[c")
    answer = await asyncio.to_thread(os.read, desk.agent, 100)
    assert answer == b"\x1b[?62;22c"
    assert desk.pump.screen.attached
    os.close(desk.agent)
    await desk.pump.finish(10)
    await running


async def test_without_an_emulator_the_ledger_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "axiom_sandbox.terminal.ghostty", raising=False)
    monkeypatch.setitem(sys.modules, "pyghostty", None)
    desk = Desk(tmp_path)
    running = asyncio.create_task(desk.pump.run())
    os.write(desk.agent, b"shown\x1b[c")
    while not any(isinstance(event, Gap) for event in desk.events):
        await asyncio.sleep(0.01)
    assert desk.pump.screen.view() is None
    os.close(desk.agent)
    await desk.pump.finish(10)
    await running
    [gap] = [event for event in desk.events if isinstance(event, Gap)]
    assert (gap.what, "pip install pyghostty" in gap.reason) == ("screen", True)


async def test_a_pipe_that_nobody_reads_any_more_ends_the_writing() -> None:
    reader, writer = os.pipe()
    writing = asyncio.create_task(write_all(writer, b"x" * 1_000_000))
    await asyncio.sleep(0)
    os.close(reader)
    assert await asyncio.wait_for(writing, 60) is False
    os.close(writer)


def test_what_a_folder_holds(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 10_000)
    before = folder_bytes(tmp_path)
    (tmp_path / "same").hardlink_to(tmp_path / "a" / "one")
    (tmp_path / "elsewhere").symlink_to("/usr")
    assert 10_000 <= before <= folder_bytes(tmp_path) < before + 10_000
    assert folder_bytes(tmp_path / "no such folder") == 0


def test_empty_files_count_for_the_inodes_that_they_take(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert folder_bytes(tmp_path) == 100 * ENTRY_BYTES
    assert 10 * ENTRY_BYTES < folder_bytes(tmp_path, most=10 * ENTRY_BYTES) <= 12 * ENTRY_BYTES


@pytest.mark.parametrize(
    ("seen_before", "limits"),
    [(False, {"start_timeout": 0.0}), (True, {"start_timeout": 600.0, "launcher_timeout": 0.0})],
    ids=["at the start", "lost"],
)
async def test_a_launcher_is_awaited_at_the_start_for_longer_than_one_that_was_lost(
    tmp_path: Path, seen_before: bool, limits: dict[str, float]
) -> None:
    settings = SandboxSettings(
        identity=IDENTITY,
        state=tmp_path / "state",
        workspace=tmp_path / "workspace",
        home=tmp_path / "home",
        launcher_socket=tmp_path / "launcher.sock",
        channel_socket=tmp_path / "channel.sock",
        start_timeout=limits["start_timeout"],
        launcher_timeout=limits.get("launcher_timeout", 600.0),
    )
    sandbox = AgentSandbox(settings)
    if seen_before:
        (tmp_path / "state" / "launcher-pin").write_text("a digest")
    await asyncio.wait_for(sandbox.run(), 30)
    failure = sandbox.board.state.failure
    assert failure is not None
    assert failure.reason is FailureReason.LAUNCHER_LOST
    await sandbox.close()
