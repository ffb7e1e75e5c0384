from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.axiom_sandbox.terminal.frames import frame_of

from axiom_sandbox.terminal.frames import TAIL, CursorShape, Frame, Style, Underline

FOREGROUND, BACKGROUND = 0xE5E5E5, 0x000000
outputs = st.lists(
    st.sampled_from(["\x1b[31m", "\x1b[1;7m", "\x1b[0m", "\x1b[4:3m", "\x1b[2J", "\x1b[3;5H", "漢", "e\u0301", "👩‍💻", "\n"])
    | st.text(max_size=8),
    max_size=30,
).map("".join)  # fmt: skip


def style_of(output: str) -> Style:
    """How the first character looks."""
    return frame_of(output).rows[0].runs[0].style


def test_each_character_stands_in_its_column() -> None:
    frame = frame_of("ab\x1b[5Gc\n漢字x")
    assert frame.rows[0].characters(8) == ["a", "b", " ", " ", "c", " ", " ", " "]
    assert frame.rows[1].characters(8) == ["漢", TAIL, "字", TAIL, "x", " ", " ", " "]
    assert frame.text == "ab  c\n漢字x"


def test_what_combines_stays_with_its_character() -> None:
    assert frame_of("e\u0301x").rows[0].runs[0].texts == ("e\u0301", "x")


def test_a_character_to_which_something_is_combined_without_end_stays_short() -> None:
    assert len(frame_of("e" + "\u0301" * 5000 + "x").rows[0].runs[0].texts[0]) <= 8


@pytest.mark.parametrize(
    ("sequence", "style"),
    [
        ("", Style(FOREGROUND, BACKGROUND)),
        ("\x1b[38;2;1;2;3;48;2;4;5;6m", Style(0x010203, 0x040506)),
        ("\x1b[38;2;1;2;3;48;2;4;5;6;7m", Style(0x040506, 0x010203)),
        ("\x1b[38;2;200;0;0;2m", Style(0x640000, BACKGROUND)),
        ("\x1b[8m", Style(BACKGROUND, BACKGROUND)),
        ("\x1b[1;3;9;53m", Style(FOREGROUND, BACKGROUND, bold=True, italic=True, strikethrough=True, overline=True)),
        ("\x1b[4m", Style(FOREGROUND, BACKGROUND, underline=Underline.SINGLE)),
        ("\x1b[4:3;58;2;255;0;0m", Style(FOREGROUND, BACKGROUND, underline=Underline.CURLY, underline_color=0xFF0000)),
        ("\x1b]4;1;#123456\x1b\\\x1b[31m", Style(0x123456, BACKGROUND)),
    ],
    ids=["plain", "colours", "inverse", "faint", "invisible", "attributes", "underlined", "curly", "palette"],
)  # fmt: skip
def test_looks_are_those_that_the_program_asked_for(sequence: str, style: Style) -> None:
    assert style_of(f"{sequence}x") == style


def test_a_background_without_characters_is_kept() -> None:
    run = frame_of("\x1b[48;2;9;8;7m\x1b[K").rows[0].runs[0]
    assert (run.column, len(run.texts), run.style.background) == (0, 40, 0x090807)


def test_the_cursor_is_where_and_what_the_program_made_it() -> None:
    cursor = frame_of("\x1b[5 q\x1b[3;7H").cursor
    assert (cursor.column, cursor.row, cursor.shape, cursor.visible) == (6, 2, CursorShape.BAR, True)
    assert not frame_of("\x1b[?25l").cursor.visible


def test_a_row_says_whether_the_terminal_broke_its_line() -> None:
    assert [row.wrapped for row in frame_of("x" * 50, columns=40, rows=3).rows] == [True, False, False]


def test_of_a_large_terminal_the_rows_around_the_cursor_are_there() -> None:
    frame = frame_of("\x1b[700;1Hhere", columns=400, rows=1000)
    assert (len(frame.rows), frame.first) == (100, 600)
    assert frame.rows[frame.cursor.row - frame.first].runs[0].texts == ("h", "e", "r", "e")


@settings(max_examples=30, deadline=None)
@given(outputs)
def test_a_frame_comes_through_as_it_was(output: str) -> None:
    frame = frame_of(output)
    assert Frame.from_json(frame.to_json()) == frame
    for row in frame.rows:
        assert len(row.characters(frame.columns)) == frame.columns
