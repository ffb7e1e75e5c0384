"""A Screen by libghostty, through pyghostty; importing this loads it. The rest of the code knows `screens` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyghostty  # type: ignore[import-untyped]
from pyghostty import core, ffi, lib

from axiom_sandbox.terminal.frames import Frame
from axiom_sandbox.terminal.ghostty_frames import read_frame
from axiom_sandbox.terminal.screens import BACKGROUND, FOREGROUND, MODES, ScreenState, View

_LONGEST_FEED = 1024 * 1024
_CELL_PIXELS = (8, 16)
_LONGEST_TITLE = 256


class GhosttyScreen:
    """As screens.Screen."""

    def __init__(self, columns: int, rows: int, answer: Callable[[bytes], None] | None) -> None:
        self._terminal = pyghostty.Terminal(
            cols=columns, rows=rows, scrollback=0, fg=FOREGROUND, bg=BACKGROUND
        )
        self._set("KITTY_IMAGE_STORAGE_LIMIT", ffi.new("uint64_t*", 0))
        self._callbacks: list[Any] = []
        if answer is not None:
            self._terminal.on_reply(answer)
            self._say_size()
            self._say_scheme()

    # --- what comes -------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """As Screen.feed."""
        for start in range(0, len(data), _LONGEST_FEED):
            self._terminal.feed(data[start : start + _LONGEST_FEED])

    def resize(self, columns: int, rows: int) -> None:
        """As Screen.resize."""
        self._terminal.resize(columns, rows, *_CELL_PIXELS)

    def close(self) -> None:
        """As Screen.close."""
        self._terminal.close()

    # --- what is to be seen -----------------------------------------------------------------------------------

    def view(self) -> View:
        """As Screen.view."""
        columns, rows = self._terminal.size
        return View(
            columns=columns,
            rows=rows,
            lines=self._lines(rows),
            cursor=self._terminal.cursor,
            cursor_visible=bool(self._terminal.get("cursor_visible", "bool")),
            title=self._title(),
            alternate=bool(self._terminal.get("active_screen", "GhosttyTerminalScreen")),
            modes=frozenset(mode for mode in MODES if self._terminal.mode(mode)),
            keyboard=self._terminal.get("kitty_keyboard_flags", "uint8_t"),
        )

    def frame(self) -> Frame:
        """As Screen.frame."""
        return read_frame(self._terminal)

    def snapshot(self) -> ScreenState:
        """As Screen.snapshot."""
        columns, rows = self._terminal.size
        return ScreenState(
            columns,
            rows,
            self._lines(rows),
            self._terminal.cursor,
            self._styled(columns, rows),
            self._restoring(),
        )

    def _lines(self, rows: int) -> tuple[str, ...]:
        lines = self._terminal.text().split("\n")
        return tuple([*(line.rstrip() for line in lines), *([""] * rows)][:rows])

    def _title(self) -> str:
        found = self._terminal.get("title", "GhosttyString")
        if not found.len:
            return ""
        raw = ffi.buffer(found.ptr, min(found.len, 4 * _LONGEST_TITLE))[:]
        text: str = raw.decode(errors="replace")
        return "".join(character for character in text if character.isprintable())[:_LONGEST_TITLE]

    def _styled(self, columns: int, rows: int) -> bytes:
        selection = core.init_sized("GhosttySelection")
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
        options = core.init_sized("GhosttyFormatterTerminalOptions")
        options.emit = lib.GHOSTTY_FORMATTER_FORMAT_VT
        return options

    def _formatted(self, options: Any) -> bytes:
        formatter = ffi.new("GhosttyFormatter*")
        result = lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, self._handle, options[0])
        if result != 0:
            raise RuntimeError(f"the emulator cannot write its screen down: {result}")
        try:
            text: str = core.read_buf(
                lambda buffer, size, written: lib.ghostty_formatter_format_buf(
                    formatter[0], buffer, size, written
                )
            )
        finally:
            lib.ghostty_formatter_free(formatter[0])
        return text.encode()

    # --- what it is asked -------------------------------------------------------------------------------------

    @property
    def _handle(self) -> Any:
        return self._terminal._t[0]  # noqa: SLF001 - pyghostty wraps a part of the library only

    def _set(self, option: str, value: Any) -> None:
        lib.ghostty_terminal_set(self._handle, getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}"), value)

    def _say_size(self) -> None:
        def size(_terminal: Any, _userdata: Any, out: Any) -> bool:
            out.columns, out.rows = self._terminal.size
            out.cell_width, out.cell_height = _CELL_PIXELS
            return True

        self._callbacks.append(ffi.callback("GhosttyTerminalSizeFn", size))
        self._set("SIZE", self._callbacks[-1])

    def _say_scheme(self) -> None:
        def scheme(_terminal: Any, _userdata: Any, out: Any) -> bool:
            out[0] = lib.GHOSTTY_COLOR_SCHEME_DARK
            return True

        self._callbacks.append(ffi.callback("GhosttyTerminalColorSchemeFn", scheme))
        self._set("COLOR_SCHEME", self._callbacks[-1])
