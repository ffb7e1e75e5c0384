"""The screen that a stream of bytes leaves, by a real terminal emulator behind a small interface.

The emulator (libghostty, by pyghostty) is loaded when the first screen is made, and is no dependency of the sandbox image.
It answers nothing to what it is fed: a recording is shown, not spoken to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from axiom_sandbox.terminal.casts import MAX_SIDE, CastEvent, Header
from axiom_sandbox.terminal.recording import Code

_SCROLLBACK = 1000
_LONGEST_FEED = 1024 * 1024


class EmulatorMissingError(RuntimeError):
    """The terminal emulator is not installed here."""


@dataclass(frozen=True, slots=True)
class ScreenState:
    """What a terminal shows."""

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

    def snapshot(self) -> ScreenState:
        """What it shows."""

    def close(self) -> None:
        """Lets go of it."""


def make_screen(columns: int, rows: int) -> Screen:
    """An empty screen. Raises EmulatorMissingError."""
    try:
        import pyghostty  # type: ignore[import-untyped]
    except ImportError as error:
        raise EmulatorMissingError(
            "the terminal emulator is missing; install it: pip install pyghostty"
        ) from error
    return _Ghostty(pyghostty, _side(columns), _side(rows))


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


class _Ghostty:
    """A Screen by libghostty."""

    def __init__(self, module: Any, columns: int, rows: int) -> None:
        self._module = module
        self._terminal = module.Terminal(cols=columns, rows=rows, scrollback=_SCROLLBACK)

    def feed(self, data: bytes) -> None:
        """As Screen.feed."""
        for start in range(0, len(data), _LONGEST_FEED):
            self._terminal.feed(data[start : start + _LONGEST_FEED])

    def resize(self, columns: int, rows: int) -> None:
        """As Screen.resize."""
        self._terminal.resize(columns, rows)

    def snapshot(self) -> ScreenState:
        """As Screen.snapshot."""
        columns, rows = self._terminal.size
        lines = self._terminal.text().split("\n")
        lines = [*(line.rstrip() for line in lines), *([""] * rows)][:rows]
        x, y = self._terminal.cursor
        return ScreenState(
            columns, rows, tuple(lines), (x, y), self._styled(columns, rows), self._restoring()
        )

    def close(self) -> None:
        """As Screen.close."""
        self._terminal.close()

    def _styled(self, columns: int, rows: int) -> bytes:
        selection = self._module.core.init_sized("GhosttySelection")
        selection.start, selection.end = (
            self._terminal.ref(0, 0)[0],
            self._terminal.ref(columns - 1, rows - 1)[0],
        )
        options = self._options()
        options.selection = selection
        return self._formatted(options)

    def _restoring(self) -> bytes:
        options = self._options()
        extra = options.extra
        extra.modes = extra.scrolling_region = extra.tabstops = extra.keyboard = True
        screen = extra.screen
        screen.cursor = screen.style = screen.hyperlink = screen.charsets = screen.protection = True
        return self._formatted(options)

    def _options(self) -> Any:
        options = self._module.core.init_sized("GhosttyFormatterTerminalOptions")
        options.emit = self._module.lib.GHOSTTY_FORMATTER_FORMAT_VT
        return options

    def _formatted(self, options: Any) -> bytes:
        ffi, lib = self._module.ffi, self._module.lib
        formatter = ffi.new("GhosttyFormatter*")
        result = lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, self._terminal._t[0], options[0])  # noqa: SLF001
        if result != 0:
            raise RuntimeError(f"the emulator cannot write its screen down: {result}")
        try:
            text: str = self._module.core.read_buf(
                lambda buffer, size, written: lib.ghostty_formatter_format_buf(
                    formatter[0], buffer, size, written
                )
            )
        finally:
            lib.ghostty_formatter_free(formatter[0])
        return text.encode()
