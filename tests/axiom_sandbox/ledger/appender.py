"""Appends for ever, and says on standard output which records it was told are durable. For tests that kill it.

With `--fork` each line of standard input names a folder, for which a process is forked that does so; it says its number first. These
keep segments in the folder `stored`, too, as object storage would, and let the older ones leave.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

from axiom_sandbox.durable import replace_durably
from axiom_sandbox.ledger import Ledger, LedgerFailedError
from axiom_sandbox.ledger.files import cut_path
from axiom_sandbox.protocol.events import Intruder
from axiom_sandbox.protocol.identity import Identity, Role

IDENTITY = Identity(namespace="team", task="fix", task_id="uid-1", attempt=1, role=Role.AGENT)


def acknowledged(output: bytes) -> tuple[dict[int, str], set[int]]:
    """What it said, as far as lines are whole → seq and hash of records that are durable, and segments that are sealed."""
    lines = [line.decode().split(" ") for line in output[: output.rfind(b"\n") + 1].splitlines()]
    records = {int(seq): head for seq, head in lines if seq.isdecimal() and head}
    return records, {int(number) for word, number in lines if word == "sealed"}


def storage_of(folder: Path) -> Path:
    """A ledger's folder → what stands for object storage beside it."""
    return folder / "stored"


async def store_and_leave(ledger: Ledger, storage: Path) -> None:
    """Stores and seals all that is cut; all but the newest leave."""
    for number in range(ledger.sealed + 1, ledger.head.segments + 1):
        replace_durably(cut_path(storage, number), ledger.segment(number).read_bytes())
        ledger.mark_sealed(number)
        os.write(1, f"sealed {number}\n".encode())
    first = ledger.head.left + 1
    stored = [cut_path(storage, number).read_bytes() for number in range(first, ledger.sealed)]
    if stored:
        digests = [hashlib.sha256(content).hexdigest() for content in stored]
        await ledger.let_go(await ledger.prove_stored(first, digests))


async def append_for_ever(ledger: Ledger, writer: int, storage: Path | None, leaving: asyncio.Lock) -> None:
    number = 0
    while True:
        number += 1
        sizes = [(7 * number + 13 * part) % 2000 for part in range(1 + number % 40)]
        position = await ledger.append(*(Intruder(door=str(writer), detail="x" * size) for size in sizes))
        os.write(1, f"{position.seq} {position.hash}\n".encode())
        if number % 5 == writer:
            await ledger.cut("often")
            if storage:
                async with leaving:
                    await store_and_leave(ledger, storage)
                continue
            number_cut = ledger.head.segments
            ledger.mark_sealed(number_cut)
            os.write(1, f"sealed {number_cut}\n".encode())


async def main(folder: Path, storage: Path | None = None) -> None:
    ledger = Ledger.open(folder, IDENTITY, lambda: datetime.now(UTC))
    os.write(1, f"{ledger.head.records} {ledger.head.head}\n".encode())
    leaving = asyncio.Lock()
    await asyncio.gather(*(append_for_ever(ledger, writer, storage, leaving) for writer in range(4)))


def fork_for_each() -> None:
    """Until standard input ends. Says `ended` once a process was killed."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.write(1, f"pid {os.getpid()}\n".encode())
            folder = Path(line.strip())
            (storage_of(folder) / "segments").mkdir(parents=True, exist_ok=True)
            asyncio.run(main(folder, storage_of(folder)))
        os.waitpid(child, 0)
        os.write(1, b"ended 0\n")


if __name__ == "__main__":
    if sys.argv[1] == "--fork":
        fork_for_each()
        sys.exit()
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        asyncio.run(main(Path(sys.argv[1])))
    except LedgerFailedError as error:
        sys.exit(f"LedgerFailedError: {error}")
