"""A frame of what libghostty holds, read through its render state; importing this loads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pyghostty import core, ffi, lib  # type: ignore[import-untyped]

from axiom_sandbox.terminal.frames import (
    TAIL,
    Cursor,
    CursorShape,
    Frame,
    Row,
    Run,
    Style,
    Underline,
    shown_rows,
)


def read_frame(terminal: Any) -> Frame:
    """What a pyghostty Terminal shows now. Raises RuntimeError if the emulator does not tell."""
    reader = _Reader(terminal)
    try:
        return reader.read()
    finally:
        reader.close()


_LONGEST_GRAPHEME = 8
"""Code points of one character: what more combines with it would not be seen."""
_SHAPES = (CursorShape.BAR, CursorShape.BLOCK, CursorShape.UNDERLINE, CursorShape.HOLLOW)
"""As libghostty numbers them."""
_UNDERLINES = tuple(Underline)
"""As libghostty numbers them: SGR 4:0 to 4:5."""


@dataclass(slots=True)
class _Colors:
    foreground: int
    background: int
    palette: list[int]


@dataclass(frozen=True, slots=True)
class _Content:
    """What libghostty packs into one number, its content alone."""

    text: str
    is_grapheme: bool
    is_color: bool
    wide: int
    style: int


class _Reader:
    """Reads one frame by libghostty's render state."""

    def __init__(self, terminal: Any) -> None:
        self._state = ffi.new("GhosttyRenderState*")
        self._rows = ffi.new("GhosttyRenderStateRowIterator*")
        self._cells = ffi.new("GhosttyRenderStateRowCells*")
        self._check(lib.ghostty_render_state_new(ffi.NULL, self._state))
        self._check(lib.ghostty_render_state_row_iterator_new(ffi.NULL, self._rows))
        self._check(lib.ghostty_render_state_row_cells_new(ffi.NULL, self._cells))
        self._check(lib.ghostty_render_state_update(self._state[0], terminal._t[0]))  # noqa: SLF001
        self._colors = self._read_colors()
        self._contents: dict[int, _Content] = {}

    def close(self) -> None:
        """Lets go of what libghostty holds."""
        lib.ghostty_render_state_row_cells_free(self._cells[0])
        lib.ghostty_render_state_row_iterator_free(self._rows[0])
        lib.ghostty_render_state_free(self._state[0])

    def read(self) -> Frame:
        """The whole of it."""
        columns, count = self._get("COLS", "uint16_t*")[0], self._get("ROWS", "uint16_t*")[0]
        cursor = self._cursor()
        first, end = shown_rows(columns, count, cursor.row)
        self._check(
            lib.ghostty_render_state_get(
                self._state[0], lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR, self._rows
            )
        )
        rows, number = [], 0
        while number < end and lib.ghostty_render_state_row_iterator_next(self._rows[0]):
            if number >= first:
                rows.append(self._read_row())
            number += 1
        return Frame(columns, tuple(rows), cursor, self._colors.foreground, self._colors.background, first)

    def _check(self, result: int) -> None:
        if result != 0:
            raise RuntimeError(f"the emulator does not tell what it shows: {result}")

    def _get(self, name: str, kind: str) -> Any:
        out = ffi.new(kind) if kind.endswith("*") else core.init_sized(kind)
        key = getattr(lib, f"GHOSTTY_RENDER_STATE_DATA_{name}")
        self._check(lib.ghostty_render_state_get(self._state[0], key, out))
        return out

    def _read_colors(self) -> _Colors:
        found = self._get("COLORS", "GhosttyRenderStateColors")
        palette = [_rgb(color) for color in found.palette]
        return _Colors(_rgb(found.foreground), _rgb(found.background), palette)

    def _cursor(self) -> Cursor:
        found = self._get("CURSOR", "GhosttyRenderStateCursor")
        colors = self._get("COLORS", "GhosttyRenderStateColors")
        return Cursor(
            column=max(found.viewport_x - found.wide_tail, 0),
            row=found.viewport_y,
            shape=_SHAPES[found.visual_style],
            color=_rgb(colors.cursor) if colors.cursor_has_value else None,
            visible=bool(found.visible and found.viewport_has_value),
        )

    # --- one row ----------------------------------------------------------------------------------------------

    def _read_row(self) -> Row:
        view, raw, wrapped = ffi.new("GhosttyCellsView*"), ffi.new("GhosttyRow*"), ffi.new("bool*")
        row = self._rows[0]
        self._check(lib.ghostty_render_state_row_get(row, lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW, view))
        self._check(lib.ghostty_render_state_row_get(row, lib.GHOSTTY_RENDER_STATE_ROW_DATA_RAW, raw))
        self._check(lib.ghostty_row_get(raw[0], lib.GHOSTTY_ROW_DATA_WRAP, wrapped))
        self._check(
            lib.ghostty_render_state_row_get(row, lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS, self._cells)
        )
        numbers = ffi.unpack(view.ptr, view.len)
        return Row(tuple(self._runs(numbers)), bool(wrapped[0]))

    def _runs(self, numbers: list[int]) -> Iterator[Run]:
        styles: dict[int, Style] = {}
        plain = Style(self._colors.foreground, self._colors.background)
        begun, texts, style = 0, list[str](), plain
        for column, number in enumerate(numbers):
            content = self._contents.get(number) or self._content(number)
            if content.is_color:
                own = replace(plain, background=self._background(column))
            elif not content.style:
                own = plain
            else:
                own = styles.get(content.style) or styles.setdefault(content.style, self._style(column))
            if own != style:
                yield from _run(begun, texts, style, plain)
                begun, texts, style = column, [], own
            text = self._grapheme(column) if content.is_grapheme else content.text
            texts.append(TAIL if content.wide == lib.GHOSTTY_CELL_WIDE_SPACER_TAIL else text)
        yield from _run(begun, texts, style, plain)

    def _content(self, number: int) -> _Content:
        tag, point = self._of_cell(number, "CONTENT_TAG", "int*"), 0
        if tag in (lib.GHOSTTY_CELL_CONTENT_CODEPOINT, lib.GHOSTTY_CELL_CONTENT_CODEPOINT_GRAPHEME):
            point = self._of_cell(number, "CODEPOINT", "uint32_t*")
        found = _Content(
            text=chr(point) if point else "",
            is_grapheme=tag == lib.GHOSTTY_CELL_CONTENT_CODEPOINT_GRAPHEME,
            is_color=tag
            in (lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE, lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB),
            wide=self._of_cell(number, "WIDE", "int*"),
            style=self._of_cell(number, "STYLE_ID", "uint16_t*"),
        )
        self._contents[number] = found
        return found

    def _of_cell(self, number: int, name: str, kind: str) -> int:
        out = ffi.new(kind)
        self._check(lib.ghostty_cell_get(number, getattr(lib, f"GHOSTTY_CELL_DATA_{name}"), out))
        return int(out[0])

    def _of_column(self, column: int, name: str, out: Any) -> bool:
        self._check(lib.ghostty_render_state_row_cells_select(self._cells[0], column))
        key = getattr(lib, f"GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_{name}")
        return bool(lib.ghostty_render_state_row_cells_get(self._cells[0], key, out) == 0)

    def _background(self, column: int) -> int:
        out = ffi.new("GhosttyColorRgb*")
        return _rgb(out) if self._of_column(column, "BG_COLOR", out) else self._colors.background

    def _grapheme(self, column: int) -> str:
        length = ffi.new("uint32_t*")
        if not self._of_column(column, "GRAPHEMES_LEN", length) or not length[0]:
            return ""
        points = ffi.new("uint32_t[]", length[0])
        self._of_column(column, "GRAPHEMES_BUF", points)
        return "".join(map(chr, ffi.unpack(points, min(length[0], _LONGEST_GRAPHEME))))

    def _style(self, column: int) -> Style:
        found = core.init_sized("GhosttyStyle")
        if not self._of_column(column, "STYLE", found):
            return Style(self._colors.foreground, self._colors.background)
        foreground = self._color(found.fg_color, self._colors.foreground)
        background = self._color(found.bg_color, self._colors.background)
        if found.inverse:
            foreground, background = background, foreground
        if found.faint:
            foreground = _between(foreground, background)
        if found.invisible:
            foreground = background
        underline = self._color(found.underline_color, -1)
        return Style(
            foreground,
            background,
            bold=bool(found.bold),
            italic=bool(found.italic),
            underline=_UNDERLINES[found.underline],
            underline_color=None if underline < 0 else underline,
            strikethrough=bool(found.strikethrough),
            overline=bool(found.overline),
        )

    def _color(self, color: Any, default: int) -> int:
        match color.tag:
            case lib.GHOSTTY_STYLE_COLOR_PALETTE:
                return self._colors.palette[int(color.value.palette)]
            case lib.GHOSTTY_STYLE_COLOR_RGB:
                return _rgb(color.value.rgb)
            case _:
                return default


def _run(column: int, texts: list[str], style: Style, plain: Style) -> Iterator[Run]:
    """The run, unless there is nothing to be seen of it."""
    if style == plain:
        while texts and not texts[-1]:
            texts.pop()
    if texts:
        yield Run(column, tuple(texts), style)


def _rgb(color: Any) -> int:
    return int(color.r << 16 | color.g << 8 | color.b)


def _between(one: int, other: int) -> int:
    """The colour half-way."""
    return (one & 0xFEFEFE) + (other & 0xFEFEFE) >> 1
