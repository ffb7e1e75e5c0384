"""Takes secrets out of a frame before it is drawn: in the places themselves, so nothing else of the picture changes. Pure.

A secret may go over the end of a row, where the terminal broke it, or where a program did that itself inside a box of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from axiom_sandbox.secrets.scanning import Scanner
from axiom_sandbox.terminal.frames import TAIL, Frame, Row

_MASK = "*"
_FRAMES = " \t│┃║|▌▐▏▕█┆┊╎"
"""What programs put around text that they break themselves."""

Place = tuple[int, int]
"""Row and column."""


def mask_frame(frame: Frame, scanner: Scanner) -> tuple[Frame, int]:
    """The frame without secrets, and how many places were masked."""
    rows = [row.characters(frame.columns) for row in frame.rows]
    places = {*_in_lines(frame, rows, scanner), *_over_rows(rows, scanner)}
    if not places:
        return frame, 0
    columns: dict[int, set[int]] = {}
    for row, column in places:
        columns.setdefault(row, set()).add(column)
    masked = tuple(
        _masked(row, columns[number]) if number in columns else row for number, row in enumerate(frame.rows)
    )
    return replace(frame, rows=masked), len(places)


def _in_lines(frame: Frame, rows: list[list[str]], scanner: Scanner) -> Iterable[Place]:
    """Whole lines, put together again where the terminal broke them; a private key goes over many."""
    text, at = list[str](), list[Place | None]()
    for number, (row, characters) in enumerate(zip(frame.rows, rows, strict=True)):
        shown = characters if row.wrapped else "".join(characters).rstrip()
        for column, character in enumerate(shown):
            if character != TAIL:
                text.append(character)
                at.append((number, column))
        if not row.wrapped:
            text.append("\n")
            at.append(None)
    spans, _ = scanner.spans("".join(text))
    for span in spans:
        yield from (place for place in at[span.start : span.end] if place)


def _over_rows(rows: list[list[str]], scanner: Scanner) -> Iterable[Place]:
    """What stands inside boxes, row after row as if it were one line: only what goes over a row's end counts."""
    text, at = list[str](), list[Place]()
    for number, characters in enumerate(rows):
        inner = [column for column, character in enumerate(characters) if character not in _FRAMES]
        for column in range(inner[0], inner[-1] + 1) if inner else ():
            if characters[column] != TAIL:
                text.append(characters[column])
                at.append((number, column))
    spans, _ = scanner.spans("".join(text))
    for span in spans:
        found = at[span.start : span.end]
        if found[0][0] != found[-1][0]:
            yield from found


def _masked(row: Row, columns: set[int]) -> Row:
    runs = []
    for run in row.runs:
        texts = tuple(
            _mask(text) if column in columns else text for column, text in enumerate(run.texts, run.column)
        )
        runs.append(replace(run, texts=texts))
    return replace(row, runs=tuple(runs))


def _mask(text: str) -> str:
    return text if text in ("", " ") else _MASK
