from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.ledger.appender import acknowledged, storage_of
from tests.faults.parts import chance_of, kills

from axiom_sandbox.ledger import Ledger, decode, stored_lines, verify
from axiom_sandbox.ledger.files import cut_path, decompress, split
from axiom_sandbox.ledger.seals import Seals

APPENDER = Path(__file__).with_name("appender.py")
KILLS = kills(25)
KILLS_OF_ONE_LEDGER = 5
UNMEASURED = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
"""A killed process leaves broken coverage data."""


class Mortals:
    """Processes that append until they are killed. One is forked for each, so a life costs milliseconds."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def kill_after(self, folder: Path, lines: int, delay: float) -> tuple[dict[int, str], set[int]]:
        """Lets one acknowledge so many appends, waits a moment, kills it with -9: what was acknowledged, and what was sealed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{folder}\n".encode())
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline().removeprefix(b"pid "))
        output = b"".join(self._process.stdout.readline() for _ in range(lines))
        until = time.perf_counter() + delay
        while time.perf_counter() < until:
            continue
        os.kill(pid, signal.SIGKILL)
        while not (line := self._process.stdout.readline()).startswith(b"ended"):
            output += line
        return acknowledged(output)


@pytest.fixture
def mortals() -> Iterator[Mortals]:
    with subprocess.Popen(
        [sys.executable, APPENDER, "--fork"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=UNMEASURED,
    ) as process:
        yield Mortals(process)
        assert process.stdin
        process.stdin.close()


def hashes_of(lines: list[bytes]) -> dict[int, str]:
    return {record.seq: record.hash for record in map(decode, lines)}


def whole_ledger(folder: Path) -> list[bytes]:
    """What has left, from where it went, and what is here."""
    left = Seals.load(folder).elsewhere.segments
    stored = (cut_path(storage_of(folder), number).read_bytes() for number in range(1, left + 1))
    return [*(line for packed in stored for line in split(decompress(packed))), *stored_lines(folder)]


async def test_a_ledger_killed_at_any_moment_holds_all_it_acknowledged_and_loses_nothing_that_leaves(
    mortals: Mortals, tmp_path: Path, identity: Any, clock: Any
) -> None:
    chance, promised, sealed, total = chance_of("ledger"), dict[int, str](), set[int](), 0
    left = 0
    for number in range(KILLS):
        folder = tmp_path / str(number // KILLS_OF_ONE_LEDGER)
        if not folder.exists():
            folder.mkdir()
            total, promised, sealed = total + len(promised), {}, set()
        told, told_sealed = mortals.kill_after(folder, chance.randrange(1, 30), chance.random() * 0.01)
        promised, sealed = promised | told, sealed | told_sealed
        ledger = Ledger.open(folder, identity, clock)
        await ledger.release()
        lines, seals = whole_ledger(folder), Seals.load(folder)
        findings = verify(lines, ledger.head.head)
        assert findings.intact, findings.broken
        held = hashes_of(lines)
        assert {seq: held.get(seq) for seq in promised} == promised
        assert seals.sealed >= {number for number in sealed if number > seals.elsewhere.segments}
        left = max(left, ledger.head.left)
    assert total + len(promised) > KILLS
    assert left > KILLS_OF_ONE_LEDGER


@pytest.mark.parametrize("limit", [300, 700, 5_000, 30_000])
async def test_a_file_that_may_not_grow_fails_the_ledger_and_keeps_what_was_acknowledged(
    tmp_path: Path, identity: Any, clock: Any, limit: int
) -> None:
    promised = acknowledged_until_failed(tmp_path, str(limit))
    ledger = Ledger.open(tmp_path, identity, clock)
    await ledger.close()
    held = hashes_of(list(stored_lines(tmp_path)))
    assert {seq: held.get(seq) for seq in promised} == promised
    assert verify(stored_lines(tmp_path), ledger.head.head).intact


def test_a_full_disk_fails_the_ledger_and_it_goes_on_when_there_is_space(tmp_path: Path) -> None:
    """A small disk of its own, in namespaces of its own: any user may have one."""
    namespaces = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*namespaces, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may make no namespaces")
    mounting = subprocess.run(
        [*namespaces, "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True, check=False
    )
    if mounting.returncode:
        pytest.skip("nothing may be mounted in a namespace here")
    done = subprocess.run(
        [*namespaces, sys.executable, APPENDER.with_name("full_disk.py"), tmp_path],
        capture_output=True, text=True, check=False, timeout=120, env=UNMEASURED,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def acknowledged_until_failed(folder: Path, *arguments: str) -> dict[int, str]:
    command = [sys.executable, APPENDER, folder, *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=UNMEASURED)
    assert "\nLedgerFailedError" in done.stderr.decode(), done.stderr.decode()
    return acknowledged(done.stdout)[0]
