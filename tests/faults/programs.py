"""What is done on a failing disk. Read by `disk`: one line of JSON asks for a program, one tells what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from axiom.storage.folder import FolderStore
from axiom.storage.store import StorageError
from axiom_sandbox.ledger import Ledger, LedgerError
from axiom_sandbox.protocol.channel import LedgerHead
from axiom_sandbox.protocol.events import Intruder
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.terminal.recording import Recording, RecordingError

IDENTITY = Identity(namespace="team", task="fix", task_id="uid-1", attempt=1, role=Role.AGENT)
Tell = Callable[[Any], None]


def ledger(folder: Path, tell: Tell) -> None:
    """Appends, cuts, seals, lets a segment leave, and closes."""

    async def live() -> None:
        opened = Ledger.open(folder, IDENTITY, lambda: datetime.now(UTC))

        async def append(number: int) -> None:
            position = await opened.append(Intruder(door=str(number), detail="x" * 200))
            tell([position.seq, position.hash])

        try:
            for turn in range(3):
                await asyncio.gather(*(append(number) for number in range(4)))
                await opened.cut("often")
                opened.mark_sealed(turn + 1)
                tell(["sealed", turn + 1])
            with contextlib.suppress(OSError):  # of what stands here for object storage
                digest = hashlib.sha256(opened.segment(1).read_bytes()).hexdigest()
                await opened.let_go(await opened.prove_stored(1, [digest]))
                tell(["left", 1])
            await append(99)
            await opened.close()
            tell(["closed", 0])
        finally:
            await opened.release()

    asyncio.run(live())


def recording(folder: Path, tell: Tell) -> None:
    """Shows numbers, each flushed."""
    opened = Recording.open(folder / "recording.cast", 80, 24)
    for number in range(8):
        opened.output(f"<{number}>".encode())
        opened.flush()
        tell(number)
        opened.mark(number)
    opened.close()


def board(folder: Path, tell: Tell) -> None:
    """Changes the state."""
    opened = Board(folder / "state.json", IDENTITY, LedgerHead, lambda: 0)
    for number in range(1, 6):
        opened.update(round=number)
        tell(number)


def store(folder: Path, tell: Tell) -> None:
    """Puts objects."""
    opened = FolderStore(folder)

    async def live() -> None:
        for number in range(5):
            await opened.put(f"a/{number}/{number}", f"content {number}".encode() * 100)
            tell(number)

    asyncio.run(live())


PROGRAMS = {program.__name__: program for program in (ledger, recording, board, store)}
EXPECTED = (LedgerError, RecordingError, StorageError)
"""Of the board, OSError is: its caller ends the sandbox."""


def run(program: str, folder: str, nth: int, kind: int, error: int, forever: int) -> None:
    """In a process of its own; the outcome goes to standard output."""
    shim = ctypes.CDLL(None)
    shim.axiom_count.restype = ctypes.c_long
    told, failed, expected = list[Any](), "", True
    if program == "store":
        FolderStore(Path(folder))
    shim.axiom_arm(folder.encode(), ctypes.c_long(nth), kind, error, forever)
    try:
        PROGRAMS[program](Path(folder), told.append)
    except Exception as caught:  # noqa: BLE001 - which one it is, is what is asked
        failed = repr(caught)
        expected = isinstance(caught, (*EXPECTED, OSError) if program == "board" else EXPECTED)
    calls = shim.axiom_count()
    shim.axiom_arm(b"", ctypes.c_long(0), 0, 0, 0)
    os.write(1, json.dumps([told, failed, expected, calls]).encode() + b"\n")


def main() -> None:
    """Until standard input ends."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(*json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            os.write(1, json.dumps([[], f"the process ended with {status}", False, 0]).encode() + b"\n")


if __name__ == "__main__":
    main()
