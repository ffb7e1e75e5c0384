"""The checkpoint that an agent's sandbox begins from, where it begins from one.

Its parts arrive in any order, and more than once. Once all are here, they are checked and put in place together, or it is said
why the checkpoint does not hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from pathlib import Path

from axiom_sandbox.protocol.checkpoints import Manifest, PartName, Restored
from axiom_sandbox.protocol.events import Intervention
from axiom_sandbox.snapshots.states import State
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.restoring import (
    RestoreError,
    interventions_of,
    parts_missing,
    read_manifest,
    restore,
    states_of,
)
from axiom_sandbox.supervising.settings import SandboxSettings

Receive = Callable[[AsyncIterator[bytes], Path, str], Awaitable[None]]
"""Writes what comes to a file, and refuses what has not the digest that it should have."""


class Origin:
    """Of one agent's sandbox."""

    def __init__(self, settings: SandboxSettings, folder: Path, board: Board) -> None:
        self._settings, self._board = settings, board
        self.digest = settings.checkpoint
        """Of the manifest; empty: it begins from its base."""
        self._folder = folder / "restored"
        self._given_up = ""
        """Why it cannot be brought."""

    @property
    def counts(self) -> bool:
        """Whether the checkpoint's files come in place of the base's, as far as is known by now."""
        known = self._board.state.restored
        return bool(self.digest) and (known is None or known.ok)

    @cached_property
    def manifest(self) -> Manifest | None:
        """Of the checkpoint that was put in place; not asked for before that is known."""
        state = self._board.state.restored
        if state is None or not state.ok:
            return None
        return read_manifest((self._folder / state.digest).read_bytes())

    # --- how it comes -----------------------------------------------------------------------------------------

    async def receive(self, chunks: AsyncIterator[bytes], digest: str, receive: Receive) -> None:
        """Takes the manifest or a part. Raises whatever `receive` raises."""
        self._folder.mkdir(exist_ok=True)
        if not (self._folder / digest).exists():
            await receive(chunks, self._folder / digest, digest)

    def give_up(self, why: str) -> None:
        """It cannot be brought, so it does not hold."""
        self._given_up = why

    def is_decided(self) -> bool:
        """Whether all of it is here, or never will be."""
        try:
            return bool(self._given_up) or not parts_missing(self._folder, self.digest)
        except RestoreError:
            return True  # which is said when it is put in place

    async def put_in_place(self, base: Path) -> Restored:
        """Checks it, and puts workspace and home in place of what lies there; or says why it does not hold.

        Args:
            base: the base archive.
        """
        number, settings = 0, self._settings
        try:
            if self._given_up:
                raise RestoreError(self._given_up)
            manifest = await asyncio.to_thread(
                restore, self._folder, self.digest, base, settings.workspace, settings.home
            )
            number = manifest.number
            interventions_of(self._folder, manifest)
        except RestoreError as error:
            return Restored(digest=self.digest, number=number, ok=False, message=str(error))
        return Restored(digest=self.digest, number=number, ok=True)

    # --- what came with it ------------------------------------------------------------------------------------

    def states(self, manifest: Manifest) -> tuple[State, State]:
        """The trees of workspace and home. Blocks."""
        return states_of(self._folder, manifest)

    def interventions(self, manifest: Manifest) -> list[Intervention]:
        """What had been done to the agent before."""
        return interventions_of(self._folder, manifest)

    def let_go_of_packs(self) -> None:
        """What they held is in place, and they are in object storage; here they would only take room."""
        for part in self.manifest.parts if self.manifest else ():
            if part.name is PartName.PACK:
                (self._folder / part.digest).unlink(missing_ok=True)
