from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axiom_sandbox.ledger import Ledger, LedgerFailedError, decode, stored_lines, verify
from axiom_sandbox.protocol.events import Closed

APPENDER = Path(__file__).with_name("appender.py")
KILLS = int(os.environ.get("AXIOM_FAULTS_KILLS", "25"))
KILLS_OF_ONE_LEDGER = 25
UNMEASURED = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
"""A killed process leaves broken coverage data."""


def acknowledged(output: bytes) -> dict[int, str]:
    """seq → hash, from the lines that were written whole."""
    whole = output[: output.rfind(b"\n") + 1].decode().split("\n")
    pairs = (line.split(" ") for line in whole if line)
    return {int(seq): head for seq, head in pairs if head}


def kill_after(folder: Path, lines: int, delay: float) -> dict[int, str]:
    """Runs the appender until it has acknowledged so many appends, waits a moment, kills it with -9."""
    with subprocess.Popen(
        [sys.executable, APPENDER, folder], stdout=subprocess.PIPE, env=UNMEASURED
    ) as process:
        assert process.stdout
        output = b"".join(process.stdout.readline() for _ in range(lines))
        until = time.perf_counter() + delay
        while time.perf_counter() < until:
            continue
        process.send_signal(signal.SIGKILL)
        output += process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    return acknowledged(output)


def hashes_in(folder: Path) -> dict[int, str]:
    return {record.seq: record.hash for record in map(decode, stored_lines(folder))}


async def test_a_ledger_killed_at_any_moment_holds_all_it_acknowledged(
    tmp_path: Path, identity: Any, clock: Any
) -> None:
    chance, promised, total = random.Random(1), dict[int, str](), 0
    for number in range(KILLS):
        folder = tmp_path / str(number // KILLS_OF_ONE_LEDGER)
        if not folder.exists():
            folder.mkdir()
            total, promised = total + len(promised), {}
        promised |= kill_after(folder, chance.randrange(1, 30), chance.random() * 0.01)
        ledger = Ledger.open(folder, identity, clock)
        await ledger.release()
        findings = verify(stored_lines(folder), ledger.head.head)
        assert findings.intact, findings.broken
        held = hashes_in(folder)
        assert {seq: held.get(seq) for seq in promised} == promised
    assert total + len(promised) > KILLS


@pytest.mark.parametrize("limit", [300, 700, 5_000, 30_000])
async def test_a_file_that_may_not_grow_fails_the_ledger_and_keeps_what_was_acknowledged(
    tmp_path: Path, identity: Any, clock: Any, limit: int
) -> None:
    promised = acknowledged_until_failed(tmp_path, str(limit))
    ledger = Ledger.open(tmp_path, identity, clock)
    await ledger.close()
    held = hashes_in(tmp_path)
    assert {seq: held.get(seq) for seq in promised} == promised
    assert verify(stored_lines(tmp_path), ledger.head.head).intact


async def test_a_full_disk_fails_the_ledger_and_it_goes_on_when_there_is_space(
    small_disk: Path, identity: Any, clock: Any
) -> None:
    folder = small_disk / "ledger"
    promised = acknowledged_until_failed(folder)
    filler = small_disk / "filler"
    fill(filler)
    with pytest.raises(LedgerFailedError):
        Ledger.open(folder, identity, clock)
    filler.unlink()
    remount(small_disk, "8m")
    ledger = Ledger.open(folder, identity, clock)
    position = await ledger.append(Closed(reason="there is space again"))
    await ledger.close()
    held = hashes_in(folder)
    assert {seq: held.get(seq) for seq in promised} == promised
    assert verify(stored_lines(folder), position.hash).intact


def acknowledged_until_failed(folder: Path, *arguments: str) -> dict[int, str]:
    command = [sys.executable, APPENDER, folder, *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=UNMEASURED)
    assert "\nLedgerFailedError" in done.stderr.decode(), done.stderr.decode()
    return acknowledged(done.stdout)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as target, contextlib.suppress(OSError):
        while True:
            target.write(bytes(512))


def remount(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=False)
    if mounting.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)
