"""Errands of a verifier: handed to one gateway at a time, until one of them brings the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from axiom_sandbox.protocol.errands import Errand, NotDone, Reply

NOBODY = "no gateway came for it in time; is the gateway of this version, and does it run?"
_PATIENCE = 60.0
"""Seconds that an errand waits for a gateway besides the time that it takes itself."""
_GRACE = 15.0
"""Seconds after its time until an errand counts as forgotten by who took it."""


@dataclass
class _Open:
    """An errand without a reply."""

    errand: Errand
    reply: asyncio.Future[Reply]
    taken_at: float | None = None


@dataclass
class ErrandBoard:
    """Implements `Messenger`. All methods belong to one event loop."""

    changed: Callable[[tuple[str, ...]], None]
    """Called with the ids of all errands that nobody has brought a reply for."""
    patience: float = _PATIENCE
    _open: dict[str, _Open] = field(default_factory=dict)

    async def send(self, errand: Errand) -> Reply:
        """Waits for the reply, but not for ever."""
        entry = self._open[errand.id] = _Open(errand, asyncio.get_running_loop().create_future())
        self._tell()
        try:
            async with asyncio.timeout(errand.seconds + self.patience):
                return await entry.reply
        except TimeoutError:
            return NotDone(why=NOBODY if entry.taken_at is None else "whoever took it did not come back")
        finally:
            del self._open[errand.id]
            self._tell()

    def take(self, identifier: str) -> Errand | None:
        """The errand, for whoever does it now; None: there is none, or somebody is at it."""
        entry, now = self._open.get(identifier), asyncio.get_running_loop().time()
        if entry is None or entry.reply.done():
            return None
        if entry.taken_at is not None and now < entry.taken_at + entry.errand.seconds + _GRACE:
            return None
        entry.taken_at = now
        return entry.errand

    def bring(self, identifier: str, reply: Reply) -> None:
        """The first reply counts."""
        entry = self._open.get(identifier)
        if entry is not None and not entry.reply.done():
            entry.reply.set_result(reply)

    def _tell(self) -> None:
        self.changed(tuple(self._open))
