"""One sandbox's data: the base and the changes go in, segments and blobs come out into object storage.

The same on one machine and on a cluster. Every step is safe to repeat, and by several carriers at once: the supervisor
cut the segments, so all of them copy the same bytes to the same keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from axiom.channel import Channel, CommandRefusedError
from axiom.storage.keys import blob_key, segment_key
from axiom.storage.store import ObjectStore
from axiom_sandbox.protocol.channel import Phase, SandboxState
from axiom_sandbox.protocol.identity import Role


@dataclass(frozen=True)
class Archive:
    """An archive that lies ready on this machine."""

    path: Path
    digest: str
    """SHA-256, hexadecimal."""


class Supply(Protocol):
    """Where a sandbox's inputs come from. None: not known yet, ask again later."""

    async def base(self) -> Archive | None:
        """The base archive of this sandbox's task."""

    async def changes(self) -> Archive | None:
        """The changes archive that this verifier judges."""


class Carrier:
    """Carries for one sandbox until everything of it is sealed."""

    def __init__(self, channel: Channel, store: ObjectStore, supply: Supply, scratch: Path) -> None:
        self._channel, self._store, self._supply, self._scratch = channel, store, supply, scratch
        self._has_changes = False

    async def carry(self, seen: Callable[[SandboxState], None]) -> None:
        """Follows the state and carries. Raises ChannelError when the sandbox is away, storage's errors when that is."""
        state = await self._channel.state()
        while True:
            seen(state)
            await self.step(state)
            if all_sealed(state):
                return
            state = await self._channel.state(since=state.revision)

    async def step(self, state: SandboxState) -> None:
        """Does everything that this state calls for."""
        await self._supply_inputs(state)
        for number in range(state.ledger.sealed + 1, state.ledger.segments + 1):
            await self._seal_segment(state, number)
        for blob in state.blobs:
            if not blob.sealed:
                await self._seal_blob(blob.digest)

    async def _supply_inputs(self, state: SandboxState) -> None:
        if state.phase is Phase.WAITING_FOR_WORKSPACE and (base := await self._supply.base()):
            try:
                await self._channel.put_workspace(base.path, base.digest)
            except CommandRefusedError:
                if not (
                    await self._channel.state()
                ).workspace:  # somebody else was quicker, or this is an error
                    raise
        needs_changes = state.identity.role is Role.VERIFIER and state.phase is Phase.READY
        if needs_changes and not self._has_changes and (changes := await self._supply.changes()):
            await self._channel.put_changes(changes.path, changes.digest)
            self._has_changes = True

    async def _seal_segment(self, state: SandboxState, number: int) -> None:
        file = self._scratch / f"segment-{number}"
        await self._channel.fetch_segment(number, file)
        await self._store.put(segment_key(state.identity, number), file)
        file.unlink()
        await self._channel.confirm_segment(number)

    async def _seal_blob(self, digest: str) -> None:
        file = self._scratch / digest
        await self._channel.fetch_blob(digest, file)
        await self._store.put(blob_key(digest), file)
        file.unlink()
        await self._channel.confirm_blob(digest)


def all_sealed(state: SandboxState) -> bool:
    """The ledger is closed, and it and every blob are in object storage."""
    ledger = state.ledger
    return ledger.closed and ledger.sealed >= ledger.segments and all(blob.sealed for blob in state.blobs)
