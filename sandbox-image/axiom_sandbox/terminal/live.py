"""A terminal's screen while its program writes: always right for what a person could follow, and cheap in a flood.

Ordinary output goes to the emulator at once. What comes faster waits, and of what waits too long only the end is shown,
behind whatever of the rest lasts: modes, titles, queries. A screen holds far less than the end that is kept, so a flood
leaves the screen that it would have left; only colours and a cursor that were set in the part passed over may differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from axiom_sandbox.terminal.frames import Frame
from axiom_sandbox.terminal.screens import Screen, ScreenState, View

AT_ONCE_BYTES = 64 * 1024
"""Output within `INTERVAL_SECONDS` that the emulator is given as it comes."""
INTERVAL_SECONDS = 0.1
KEPT_BYTES = 64 * 1024
"""Of what waits, the end that is shown."""
_MOST_WAITING = 4 * KEPT_BYTES
_MOST_LASTING = 16 * 1024
_LASTING = re.compile(
    rb"\x1b(?!\[[0-9;:]{0,64}m)(?:"
    rb"\[[?>=<][0-9;:]{0,64}[ -/]{0,2}[@-~]|\[[0-9;]{0,32}[cnrt]|\[![p]|\][012];[^\x07\x1b]{0,512}(?:\x07|\x1b\\)"
    rb"|\]1[012];\?(?:\x07|\x1b\\)|[c=>78]|[()][0-9A-Za-z])"
)
"""What acts beyond the moment: private modes and queries, sizes and regions, titles, resets, character sets. Colours, of which
there are most, are told apart first."""
_BOUNDARY = re.compile(rb"[\n\x1b]")
_CANCEL = b"\x18"


class LiveScreen:
    """What a terminal shows now. Holds at most 256 KiB of output beside the emulator's screen."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._screen: Screen | None = None
        self._size: tuple[int, int] | None = None
        self._waiting = bytearray()
        self._since, self._given = clock(), 0
        self.skipped = 0
        """Bytes that were passed over, since the beginning."""

    def attach(self, screen: Screen) -> None:
        """The emulator is there; what came before it has waited."""
        self._screen = screen
        if self._size:
            screen.resize(*self._size)
        self.settle()

    @property
    def attached(self) -> bool:
        """Whether there is an emulator."""
        return self._screen is not None

    @property
    def behind(self) -> bool:
        """Whether output waits."""
        return bool(self._waiting) and self.attached

    def feed(self, data: bytes) -> None:
        """What the program wrote; cut anywhere."""
        self._waiting += data
        now = self._clock()
        if now - self._since >= INTERVAL_SECONDS:
            self._since, self._given = now, 0
        if self._screen and self._given + len(self._waiting) <= AT_ONCE_BYTES:
            self._give()
        elif len(self._waiting) > _MOST_WAITING:
            self._pass_over()

    def settle(self) -> None:
        """Shows what waits."""
        if self._screen and self._waiting:
            self._pass_over()
            self._give()

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size."""
        self._size = columns, rows
        self.settle()
        if self._screen:
            self._screen.resize(columns, rows)

    def view(self) -> View | None:
        """What it shows, as text; None without an emulator."""
        self.settle()
        return self._screen.view() if self._screen else None

    def snapshot(self) -> ScreenState | None:
        """What it shows, to be shown again; None without an emulator."""
        self.settle()
        return self._screen.snapshot() if self._screen else None

    def frame(self) -> Frame | None:
        """What it shows, cell by cell; None without an emulator."""
        self.settle()
        return self._screen.frame() if self._screen else None

    def close(self) -> None:
        """Lets go of the emulator."""
        if self._screen:
            self._screen.close()
            self._screen = None

    def _give(self) -> None:
        assert self._screen is not None
        data, self._waiting = bytes(self._waiting), bytearray()
        self._given += len(data)
        self._screen.feed(data)

    def _pass_over(self) -> None:
        surplus = len(self._waiting) - KEPT_BYTES
        if surplus <= 0:
            return
        boundary = _BOUNDARY.search(self._waiting, surplus)
        cut = boundary.start() if boundary else surplus
        lasting = b"".join(_LASTING.findall(self._waiting, 0, cut))[-_MOST_LASTING:]
        self.skipped += cut - len(lasting)
        self._waiting = bytearray(_CANCEL + lasting) + self._waiting[cut:]
