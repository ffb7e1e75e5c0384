"""When checkpoints are taken of an agent: it is frozen for as long as its files are read, and goes on unless it is to end.

What a checkpoint holds is `checkpointing`'s affair. That one could not be taken is told, and is no reason for the agent to stop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from axiom_sandbox.protocol.checkpoints import CheckpointTaken, Why
from axiom_sandbox.protocol.events import Checkpointed, CheckpointFailed
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.checkpointing import Checkpointer
from axiom_sandbox.supervising.launcher_link import LauncherError, LauncherLink, LauncherLostError
from axiom_sandbox.supervising.moments import Moment


class Saver:
    """Of one agent that was started."""

    def __init__(
        self,
        checkpointer: Checkpointer,
        link: LauncherLink,
        board: Board,
        record: Callable[..., Awaitable[int]],
        moment: Callable[[bool], Moment],
        still: asyncio.Lock,
    ) -> None:
        """Saves an agent.

        Args:
            moment: what is known of it now; given whether its turn is over.
            still: held while everything untrusted is frozen and read.
        """
        self._checkpointer, self._link, self._board = checkpointer, link, board
        self._record, self._moment, self._still = record, moment, still
        self.turn_over = False
        """The round's processes have ended or are frozen for good."""

    async def keep_saving(self, seconds: float, works: Callable[[], bool]) -> None:
        """From time to time, while it works."""
        while True:
            await asyncio.sleep(seconds)
            if works() and not self.turn_over:
                await self.interrupt(Why.TIMER)

    async def save_last(self, why: Why, seconds: float) -> None:
        """Before it is ended, unless the last one is as it still is."""
        if self._is_as_it_was(self._checkpointer.last):
            return
        try:
            async with asyncio.timeout(seconds):
                await self.interrupt(why, for_good=True)
        except TimeoutError:
            trouble = f"there were {seconds:.0f} s for it, and it takes longer"
            self._board.update(checkpoint_trouble=trouble)

    async def interrupt(self, why: Why, *, for_good: bool = False) -> None:
        """Wherever it is. `for_good`: it is ended afterwards. Raises LedgerFailedError."""
        async with self._still:
            await self.save(why, thaw=not for_good)

    async def save(self, why: Why, *, thaw: bool = False) -> None:
        """Takes one, or says why there is none. Raises LedgerFailedError."""
        number, works = self._board.state.round, not self.turn_over
        frozen_ms = 0
        try:
            await self._checkpointer.prepare()
            began = time.monotonic()
            try:
                if works:
                    await self._link.freeze()
                files = await self._checkpointer.read_files()
                moment = self._moment(not works)
            finally:
                if works and thaw:
                    await self._link.thaw()
                frozen_ms = round((time.monotonic() - began) * 1000) if works else 0
            taken = await self._checkpointer.keep(files, moment, why)
        except (SnapshotError, OSError, LauncherError, LauncherLostError) as error:
            await self._record(CheckpointFailed(why=why, round=number, reason=str(error)))
            self._board.update(checkpoint_trouble=str(error))
            return
        await self._record(
            Checkpointed(
                number=taken.number,
                digest=taken.digest,
                why=why,
                round=number,
                size=taken.size,
                frozen_ms=frozen_ms,
            )
        )
        self._checkpointer.announce(taken)

    def _is_as_it_was(self, last: CheckpointTaken | None) -> bool:
        known = last is not None and last.turn_over and last.round == self._board.state.round
        return known and self.turn_over
