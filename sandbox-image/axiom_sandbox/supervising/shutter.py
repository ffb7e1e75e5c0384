"""When a picture of the terminal is taken. Pure: it is told what happened, and what time it is."""

from __future__ import annotations

from axiom_sandbox.protocol.events import (
    AgentExited,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalWithdrawn,
    ClaimMade,
    Event,
    StateChanged,
    TurnEnded,
)
from axiom_sandbox.protocol.pictures import PictureReason

INTERVAL_SECONDS = 60.0
LEAST_SECONDS = 1.0
"""Between two pictures. What happens meanwhile is told with the next."""
BURST = 30
"""Pictures that may follow each other so closely …"""
REFILL_SECONDS = 10.0
"""… and how long it takes until one more may."""


def reason_of(event: Event) -> PictureReason | None:
    """Why a picture is taken at this event; None: it is not."""
    match event:
        case StateChanged():
            return PictureReason.STATE
        case ApprovalAsked() | ApprovalGiven() | ApprovalWithdrawn():
            return PictureReason.APPROVAL
        case ClaimMade():
            return PictureReason.CLAIM
        case TurnEnded(ok=False):
            return PictureReason.FAILURE
        case AgentExited(code=code) if code != 0:
            return PictureReason.FAILURE
        case _:
            return None


class Shutter:
    """Of one terminal. Times are seconds of a clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self._last, self._left, self._counted = now - LEAST_SECONDS, float(BURST), now
        self._waiting: dict[PictureReason, None] = {}

    @property
    def is_pressed(self) -> bool:
        """Whether something happened of which there is no picture yet."""
        return bool(self._waiting)

    def press(self, why: PictureReason) -> None:
        """Something happened."""
        self._waiting[why] = None

    def release(self, now: float, changed: bool, *, at_once: bool = False) -> tuple[PictureReason, ...]:
        """Why a picture is to be taken now, if it is. `changed`: the terminal did, since the last one.

        `at_once`: what happened is not put off, as there will be no other time for it.
        """
        self._left = min(self._left + (now - self._counted) / REFILL_SECONDS, BURST)
        self._counted = now
        if changed and now - self._last >= INTERVAL_SECONDS:
            self.press(PictureReason.INTERVAL)
        may = now - self._last >= LEAST_SECONDS and self._left >= 1
        if not self._waiting or not (may or at_once):
            return ()
        why, self._waiting = tuple(self._waiting), {}
        self._last, self._left = now, max(self._left - 1, 0)
        return why
