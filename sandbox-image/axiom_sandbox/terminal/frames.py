"""What a terminal shows at one moment, cell by cell, with every colour resolved: what a picture is drawn from.

A frame is plain data that goes through JSON, so that pictures can be drawn in another process.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

TAIL = "\0"
"""Stands in the column to the right of a character that is two columns wide."""
MOST_CELLS = 40_000
"""Of a larger terminal the frame has the rows around its cursor."""


class CursorShape(StrEnum):
    """How a cursor looks."""

    BLOCK = "block"
    HOLLOW = "hollow"
    BAR = "bar"
    UNDERLINE = "underline"


class Underline(StrEnum):
    """A line under a character."""

    NONE = ""
    SINGLE = "single"
    DOUBLE = "double"
    CURLY = "curly"
    DOTTED = "dotted"
    DASHED = "dashed"


@dataclass(frozen=True, slots=True)
class Style:
    """How characters look. Colours are 0xRRGGBB, as they are seen: faint, inverse and invisible are in them already."""

    foreground: int
    background: int
    bold: bool = False
    italic: bool = False
    underline: Underline = Underline.NONE
    underline_color: int | None = None
    """None: that of the characters."""
    strikethrough: bool = False
    overline: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring columns of one row that look alike."""

    column: int
    """The first of them, from 0."""
    texts: tuple[str, ...]
    """One for each column: the character with what combines with it, "" for none, or TAIL."""
    style: Style


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next character goes, and how that is shown."""

    column: int
    row: int
    shape: CursorShape = CursorShape.BLOCK
    color: int | None = None
    """None: that of the characters."""
    visible: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One row. Columns that no run speaks of are empty, on the terminal's background."""

    runs: tuple[Run, ...]
    wrapped: bool = False
    """The next row goes on with the same line."""

    def characters(self, columns: int) -> list[str]:
        """The first code point of each column; a space where there is none, TAIL beside a wide one."""
        found = [" "] * columns
        for run in self.runs:
            for column, text in enumerate(run.texts, run.column):
                found[column] = text[:1] or " "
        return found


@dataclass(frozen=True, slots=True)
class Frame:
    """What a terminal shows."""

    columns: int
    rows: tuple[Row, ...]
    cursor: Cursor
    foreground: int
    background: int
    first: int = 0
    """The number of the first of the rows; more than 0 in a terminal that is too large to be shown whole."""

    @property
    def text(self) -> str:
        """The rows as text, without spaces at their ends, down to the last that is not empty."""
        rows = ("".join(_whole(row, self.columns)).rstrip() for row in self.rows)
        return "\n".join(rows).rstrip("\n")

    def to_json(self) -> bytes:
        """For another process."""
        rows = [
            [row.wrapped, [[run.column, list(run.texts), _style_fields(run.style)] for run in row.runs]]
            for row in self.rows
        ]
        cursor = self.cursor
        body = {
            "columns": self.columns,
            "rows": rows,
            "cursor": [cursor.column, cursor.row, cursor.shape, cursor.color, cursor.visible],
            "colors": [self.foreground, self.background],
            "first": self.first,
        }
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Frame:
        """The same again. Raises ValueError, KeyError or TypeError for anything else."""
        body = json.loads(data)
        styles: dict[tuple[Any, ...], Style] = {}
        rows = []
        for wrapped, runs in body["rows"]:
            read = []
            for column, texts, fields in runs:
                key = tuple(fields)
                style = styles.get(key) or styles.setdefault(key, _style_of(*key))
                read.append(Run(column, tuple(texts), style))
            rows.append(Row(tuple(read), wrapped))
        column, row, shape, color, visible = body["cursor"]
        foreground, background = body["colors"]
        cursor = Cursor(column, row, CursorShape(shape), color, visible)
        return cls(body["columns"], tuple(rows), cursor, foreground, background, body["first"])


def _whole(row: Row, columns: int) -> list[str]:
    found = [" "] * columns
    for run in row.runs:
        for column, text in enumerate(run.texts, run.column):
            found[column] = "" if text == TAIL else text or " "
    return found


def _style_fields(style: Style) -> list[Any]:
    return [
        style.foreground,
        style.background,
        style.bold,
        style.italic,
        style.underline,
        style.underline_color,
        style.strikethrough,
        style.overline,
    ]


def _style_of(
    foreground: int,
    background: int,
    bold: bool,
    italic: bool,
    underline: str,
    underline_color: int | None,
    strikethrough: bool,
    overline: bool,
) -> Style:
    return Style(
        foreground, background, bold, italic, Underline(underline), underline_color, strikethrough, overline
    )


def shown_rows(columns: int, rows: int, cursor: int) -> tuple[int, int]:
    """The rows of a terminal that a frame has: the first, and the first that it has no more."""
    most = max(MOST_CELLS // max(columns, 1), 1)
    first = min(max(cursor - most + 1, 0), max(rows - most, 0))
    return first, min(first + most, rows)
