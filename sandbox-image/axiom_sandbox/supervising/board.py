"""The sandbox's state: one frozen value, durable before anybody sees it, and awaited by long polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axiom_sandbox.durable import replace_durably
from axiom_sandbox.protocol.channel import Blob, LedgerHead, Phase, SandboxState
from axiom_sandbox.protocol.identity import Identity
from axiom_sandbox.protocol.pictures import SCREENSHOT


class Board:
    """Holds the `SandboxState`; every change raises its revision."""

    def __init__(
        self, file: Path, identity: Identity, head: Callable[[], LedgerHead], now_ms: Callable[[], int]
    ) -> None:
        self._file, self._head, self._now_ms = file, head, now_ms
        self._changed = asyncio.Event()
        if file.exists():
            self._state = SandboxState.model_validate_json(file.read_bytes())
        else:
            self._state = SandboxState(revision=0, identity=identity, phase=Phase.STARTING)

    @property
    def state(self) -> SandboxState:
        """The present state, with the ledger's present head."""
        return self._state.model_copy(update={"ledger": self._head()})

    def update(self, **changes: Any) -> None:
        """Changes fields, durably, and wakes those who wait. Raises OSError; then the change holds until a restart."""
        self._state = self._state.model_copy(
            update={**changes, "revision": self._state.revision + 1, "updated_ms": self._now_ms()}
        )
        try:
            replace_durably(self._file, self.state.model_dump_json().encode())
        finally:
            self._changed.set()
            self._changed = asyncio.Event()

    def show(self, **changes: Any) -> None:
        """Changes fields that nobody is woken for, and that a restart may forget: what is true of this moment alone."""
        self._state = self._state.model_copy(update=changes)

    def add_blobs(self, *blobs: Blob) -> None:
        """Announces pieces of evidence, in place of older ones of the same names."""
        names = {blob.name for blob in blobs}
        self.update(blobs=(*(blob for blob in self._state.blobs if blob.name not in names), *blobs))

    def seal_blob(self, digest: str) -> None:
        """Notes that a blob is in object storage. Screenshots leave the state then: there may be thousands."""
        blobs = tuple(
            blob.model_copy(update={"sealed": True}) if blob.digest == digest else blob
            for blob in self._state.blobs
            if blob.digest != digest or not blob.name.startswith(SCREENSHOT)
        )
        if blobs != self._state.blobs:
            self.update(blobs=blobs)

    async def wait(self, since: int, timeout: float) -> SandboxState:
        """The state as soon as its revision is above `since`; else the present one after `timeout` seconds."""
        if self._state.revision <= since:
            changed = self._changed
            try:
                async with asyncio.timeout(timeout):
                    await changed.wait()
            except TimeoutError:
                pass  # an unchanged state is an answer, too
        return self.state
