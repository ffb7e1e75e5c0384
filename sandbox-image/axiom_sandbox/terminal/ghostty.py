"""A Screen by libghostty, through pyghostty; importing this loads it. The rest of the code knows `screens` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyghostty  # type: ignore[import-untyped]
from pyghostty import core, ffi, lib

from axiom_sandbox.terminal.screens import BACKGROUND, FOREGROUND, MODES, Cell, Rgb, ScreenState, View

_LONGEST_FEED = 1024 * 1024
_CELL_PIXELS = (8, 16)
_LONGEST_TITLE = 256
_BLANK = Cell()
_SECOND_HALF = Cell(width=0)


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

    def cells(self) -> tuple[tuple[Cell, ...], ...]:
        """As Screen.cells."""
        reader = _CellReader(self._terminal)
        try:
            return reader.rows()
        finally:
            reader.close()

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


class _CellReader:
    """Reads a screen's cells, once."""

    def __init__(self, terminal: Any) -> None:
        self._columns, self._rows = terminal.size
        self._state = ffi.new("GhosttyRenderState*")
        self._iterator = ffi.new("GhosttyRenderStateRowIterator*")
        self._cells = ffi.new("GhosttyRenderStateRowCells*")
        lib.ghostty_render_state_new(ffi.NULL, self._state)
        lib.ghostty_render_state_row_iterator_new(ffi.NULL, self._iterator)
        lib.ghostty_render_state_row_cells_new(ffi.NULL, self._cells)
        lib.ghostty_render_state_update(self._state[0], terminal._t[0])  # noqa: SLF001
        lib.ghostty_render_state_get(
            self._state[0], lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR, self._iterator
        )
        self._raw, self._wide = ffi.new("GhosttyCell*"), ffi.new("GhosttyCellWide*")
        self._flag, self._colour = ffi.new("bool*"), ffi.new("GhosttyColorRgb*")
        self._style = core.init_sized("GhosttyStyle")
        self._length, self._points = ffi.new("uint32_t*"), ffi.new("uint32_t[]", 64)

    def close(self) -> None:
        """Lets go of what the library keeps."""
        lib.ghostty_render_state_row_cells_free(self._cells[0])
        lib.ghostty_render_state_row_iterator_free(self._iterator[0])
        lib.ghostty_render_state_free(self._state[0])

    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        rows = list[tuple[Cell, ...]]()
        while len(rows) < self._rows and lib.ghostty_render_state_row_iterator_next(self._iterator[0]):
            lib.ghostty_render_state_row_get(
                self._iterator[0], lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS, self._cells
            )
            row = [self._cell() for _ in range(self._columns) if self._next()]
            rows.append((*row, *([_BLANK] * (self._columns - len(row)))))
        return (*rows, *([(_BLANK,) * self._columns] * (self._rows - len(rows))))

    def _next(self) -> bool:
        return bool(lib.ghostty_render_state_row_cells_next(self._cells[0]))

    def _get(self, what: int, out: Any) -> bool:
        return bool(lib.ghostty_render_state_row_cells_get(self._cells[0], what, out) == lib.GHOSTTY_SUCCESS)

    def _cell(self) -> Cell:
        self._get(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_RAW, self._raw)
        if not self._raw[0]:
            return _BLANK
        lib.ghostty_cell_get(self._raw[0], lib.GHOSTTY_CELL_DATA_WIDE, self._wide)
        if self._wide[0] == lib.GHOSTTY_CELL_WIDE_SPACER_TAIL:
            return _SECOND_HALF
        text, width = self._text(), 2 if self._wide[0] == lib.GHOSTTY_CELL_WIDE_WIDE else 1
        self._get(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_HAS_STYLING, self._flag)
        background = self._rgb(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_BG_COLOR)
        if not self._flag[0]:
            return Cell(text, width, background=background)
        self._get(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_STYLE, self._style)
        style = self._style
        return Cell(
            text,
            width,
            self._rgb(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_FG_COLOR),
            background,
            bold=style.bold,
            italic=style.italic,
            faint=style.faint,
            underline=bool(style.underline),
            strikethrough=style.strikethrough,
            inverse=style.inverse,
            invisible=style.invisible,
        )

    def _text(self) -> str:
        if not self._get(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_LEN, self._length):
            return ""
        length = self._length[0]
        if not 0 < length <= len(self._points):
            return "\ufffd" if length else ""
        self._get(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_BUF, self._points)
        return "".join(map(chr, self._points[0:length]))

    def _rgb(self, what: int) -> Rgb | None:
        if not self._get(what, self._colour):
            return None
        colour = self._colour[0]
        return colour.r, colour.g, colour.b
