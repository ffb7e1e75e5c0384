"""A ledger on a disk of 256 KiB that fills up, and has space again. Run in a mount namespace; prints how much was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from appender import IDENTITY, acknowledged

from axiom_sandbox.ledger import Ledger, LedgerFailedError, decode, stored_lines, verify
from axiom_sandbox.protocol.events import Closed


def mount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as target, contextlib.suppress(OSError):
        while True:
            target.write(bytes(512))


def acknowledged_until_failed(folder: Path) -> dict[int, str]:
    command = [sys.executable, Path(__file__).with_name("appender.py"), folder]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert b"LedgerFailedError" in done.stderr, done.stderr.decode()
    return acknowledged(done.stdout)[0]


async def main(disk: Path) -> None:
    mount(disk, "size=256k")
    folder, filler = disk / "ledger", disk / "filler"
    promised = acknowledged_until_failed(folder)
    fill(filler)
    try:
        Ledger.open(folder, IDENTITY, lambda: datetime.now(UTC))
    except LedgerFailedError:
        pass  # there is no space to bring it into order
    else:
        raise AssertionError("it was opened on a full disk")
    filler.unlink()
    mount(disk, "remount,size=8m")
    ledger = Ledger.open(folder, IDENTITY, lambda: datetime.now(UTC))
    position = await ledger.append(Closed(reason="there is space again"))
    await ledger.close()
    held = {record.seq: record.hash for record in map(decode, stored_lines(folder))}
    assert {seq: held.get(seq) for seq in promised} == promised
    assert verify(stored_lines(folder), position.hash).intact
    sys.stdout.write(str(len(promised)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
