from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from axiom_sandbox.ledger import Ledger, LedgerError
from axiom_sandbox.protocol.identity import Identity, Role

IDENTITY = Identity(namespace="team", task="fix", task_id="uid-1", attempt=1, role=Role.AGENT)


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class OpenLedger(Protocol):
    def __call__(self, folder: Path | None = None, identity: Identity = IDENTITY) -> Ledger: ...


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identity() -> Identity:
    return IDENTITY


@pytest.fixture
async def open_ledger(tmp_path: Path, clock: Clock) -> AsyncIterator[OpenLedger]:
    opened: list[Ledger] = []

    def open_one(folder: Path | None = None, identity: Identity = IDENTITY) -> Ledger:
        opened.append(Ledger.open(folder or tmp_path / "ledger", identity, clock))
        return opened[-1]

    yield open_one
    for ledger in opened:
        try:
            await ledger.close()
        except LedgerError:
            continue
