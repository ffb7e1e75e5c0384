"""The screen that a stream of bytes leaves, by a real terminal emulator behind a small interface.

The emulator (`ghostty`) is loaded when the first screen is made. It holds what is to be seen and nothing that has scrolled
away, no images and no clipboard, and reads no files: what it is fed may come from an agent. Fed a recording it answers
nothing; given somebody to answer, it says what a terminal says to a program's queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from axiom_sandbox.terminal.casts import MAX_SIDE, CastEvent, Header
from axiom_sandbox.terminal.frames import Frame
from axiom_sandbox.terminal.recording import Code

Rgb = tuple[int, int, int]
FOREGROUND: Rgb = (229, 229, 229)
BACKGROUND: Rgb = (0, 0, 0)
"""What a program that asks is told that text looks like which says nothing of colours."""
BRACKETED_PASTE = 2004
"""The mode in which a program wants pasted text marked as such."""
_DIGEST_CHARACTERS = 16


class EmulatorMissingError(RuntimeError):
    """The terminal emulator is not installed here, or cannot be loaded."""


@dataclass(frozen=True, slots=True)
class View:
    """What a terminal shows, as text."""

    columns: int
    rows: int
    lines: tuple[str, ...]
    """As many as there are rows, without spaces at their ends."""
    cursor: tuple[int, int]
    """Column and row, from 0."""
    cursor_visible: bool = True
    title: str = ""
    """What the program calls its window (OSC 0 and 2)."""
    alternate: bool = False
    """It uses the second screen, as full-screen programs do."""
    modes: frozenset[int] = frozenset()
    """Those of `screens.MODES` that are on."""
    keyboard: int = 0
    """Flags of the kitty keyboard protocol that the program asked for."""

    @property
    def text(self) -> str:
        """The lines, down to the last that is not empty."""
        return "\n".join(self.lines).rstrip("\n")

    @property
    def digest(self) -> str:
        """The same for the same text, sizes and cursors aside."""
        return hashlib.sha256(self.text.encode(errors="replace")).hexdigest()[:_DIGEST_CHARACTERS]


@dataclass(frozen=True, slots=True)
class ScreenState:
    """What a terminal shows, in the bytes that show it again."""

    columns: int
    rows: int
    lines: tuple[str, ...]
    """As many as there are rows, without spaces at their ends."""
    cursor: tuple[int, int]
    """Column and row, from 0."""
    styled: bytes
    """The lines with their colours, and nothing else that a terminal would act on."""
    restoring: bytes
    """What makes a fresh terminal of this size show the same, with its modes, colours and cursor."""

    @property
    def text(self) -> str:
        """The lines, down to the last that is not empty."""
        return "\n".join(self.lines).rstrip("\n")


class Screen(Protocol):
    """A terminal without a program."""

    def feed(self, data: bytes) -> None:
        """What a program wrote; cut anywhere."""

    def resize(self, columns: int, rows: int) -> None:
        """Gives it another size."""

    def view(self) -> View:
        """What it shows, as text. Cheap: about a millisecond."""

    def frame(self) -> Frame:
        """What it shows, cell by cell: what a picture is drawn from."""

    def snapshot(self) -> ScreenState:
        """What it shows, to be shown again."""

    def close(self) -> None:
        """Lets go of it."""


MODES = frozenset({1, 25, 1000, 1002, 1003, 1004, 1006, 1049, BRACKETED_PASTE, 2026})
"""Private modes of DEC and xterm that a view tells."""


def make_screen(columns: int, rows: int, answer: Callable[[bytes], None] | None = None) -> Screen:
    """An empty screen; `answer` is given what the terminal says to a program's queries. Raises EmulatorMissingError."""
    try:
        from axiom_sandbox.terminal.ghostty import GhosttyScreen
    except (ImportError, OSError) as error:
        raise EmulatorMissingError(
            f"the terminal emulator is missing ({error}); install it: pip install pyghostty"
        ) from error
    return GhosttyScreen(_side(columns), _side(rows), answer)


def play(screen: Screen, events: Iterable[CastEvent]) -> None:
    """Feeds events of a recording, sizes included."""
    for event in events:
        if event.code == Code.OUTPUT:
            screen.feed(event.data.encode(errors="replace"))
        elif event.code == Code.RESIZE and (size := parse_size(event.data)):
            screen.resize(*size)


def screen_of(header: Header, events: Iterable[CastEvent]) -> ScreenState:
    """The screen after these events. Raises EmulatorMissingError."""
    screen = make_screen(header.columns, header.rows)
    try:
        play(screen, events)
        return screen.snapshot()
    finally:
        screen.close()


def parse_size(text: str) -> tuple[int, int] | None:
    """`120x40` → columns and rows; None for what is no size."""
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal() and len(text) < 12):
        return None
    return _side(int(columns)), _side(int(rows))


def _side(cells: int) -> int:
    return min(max(cells, 1), MAX_SIDE)
