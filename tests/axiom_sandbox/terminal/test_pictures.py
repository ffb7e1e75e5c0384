from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from tests.axiom_sandbox.terminal.frames import frame_of

from axiom_sandbox.terminal.frames import Frame
from axiom_sandbox.terminal.pictures import THUMBNAIL, FontsMissingError, Painter, find_fonts

Pixel = tuple[int, int, int]
INK, PAPER = (229, 229, 229), (0, 0, 0)


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(find_fonts())


class Shown:
    """A picture, read back."""

    def __init__(self, painter: Painter, frame: Frame) -> None:
        self.picture = painter.paint(frame)
        self.image = Image.open(io.BytesIO(self.picture.webp)).convert("RGB")

    def cell(self, column: int, row: int, columns: int = 1) -> list[list[Pixel]]:
        """The pixels of a cell, or of several in a row, line by line."""
        part = self.image.crop((column * 8, row * 16, (column + columns) * 8, row * 16 + 16))
        return [[part.getpixel((x, y)) for x in range(part.width)] for y in range(16)]  # type: ignore[misc]

    def colors(self, column: int, row: int, columns: int = 1) -> set[Pixel]:
        return {pixel for line in self.cell(column, row, columns) for pixel in line}


def test_a_cell_is_eight_by_sixteen_pixels(painter: Painter) -> None:
    shown = Shown(painter, frame_of("x", columns=30, rows=5))
    assert (shown.picture.width, shown.picture.height) == shown.image.size == (240, 80)


def test_pictures_are_lossless_webp(painter: Painter) -> None:
    shown = Shown(
        painter, frame_of("".join(f"\x1b[48;2;{i};{255 - i};{i * 7 % 256}m " for i in range(200)), 201)
    )
    assert shown.picture.webp[:4] == b"RIFF"
    assert shown.picture.webp[12:16] == b"VP8L"
    assert [shown.colors(i, 0) for i in range(200)] == [{(i, 255 - i, i * 7 % 256)} for i in range(200)]


def test_the_same_frame_gives_the_same_bytes(painter: Painter) -> None:
    frame = frame_of("\x1b[1mbold\x1b[0m 漢字 ✅ \x1b[3mitalic")
    assert painter.paint(frame) == Painter(find_fonts()).paint(frame)


def test_characters_have_their_colours(painter: Painter) -> None:
    shown = Shown(painter, frame_of("\x1b[38;2;255;0;0;48;2;0;0;99m█\x1b[7m█"))
    assert shown.colors(0, 0) == {(255, 0, 0)}
    assert shown.colors(1, 0) == {(0, 0, 99)}


@pytest.mark.parametrize("character", ["a", "❯", "é", "Я", "•", "→", "●", "⏺", "⠋", "ם", "√"])
def test_a_character_keeps_to_its_cell(painter: Painter, character: str) -> None:
    shown = Shown(painter, frame_of(f" {character} \x1b[?25l"))
    assert len(shown.colors(1, 0)) > 1
    assert shown.colors(0, 0) == shown.colors(2, 0) == {PAPER}


@pytest.mark.parametrize("character", ["漢", "한", "✅", "🚀"])
def test_a_wide_character_takes_two_cells(painter: Painter, character: str) -> None:
    shown = Shown(painter, frame_of(f" {character} \x1b[?25l"))
    assert INK in shown.colors(1, 0)
    assert INK in shown.colors(2, 0)
    assert shown.colors(3, 0) == {PAPER}


def test_characters_that_no_font_has_are_still_seen(painter: Painter) -> None:
    assert INK in Shown(painter, frame_of("\ue0b0\x1b[?25l")).colors(0, 0)


def test_lines_of_boxes_have_no_seams(painter: Painter) -> None:
    shown = Shown(painter, frame_of("┌──┐\n│  │\n└──┘\x1b[?25l"))
    [across] = [y for y, line in enumerate(shown.cell(1, 0, 2)) if line == [INK] * 16]
    left, right = shown.cell(0, 0), shown.cell(3, 0)
    [down] = [x for x in range(8) if all(line[x] == INK for line in shown.cell(0, 1))]
    assert left[across][down:] == [INK] * (8 - down)
    assert right[across][: down + 1] == [INK] * (down + 1)
    assert [line[down] for line in left][across:] == [INK] * (16 - across)
    assert [line[down] for line in shown.cell(0, 2)][: across + 1] == [INK] * (across + 1)


def test_bold_and_italic_are_told_from_plain(painter: Painter) -> None:
    shown = Shown(painter, frame_of("a\x1b[1ma\x1b[0;3ma\x1b[1ma\x1b[?25l"))
    cells = [shown.cell(column, 0) for column in range(4)]
    assert all(one != other for i, one in enumerate(cells) for other in cells[i + 1 :])


@pytest.mark.parametrize("kind", ["4", "4:2", "4:3", "4:4", "4:5", "9", "53"])
def test_lines_under_through_and_over_are_drawn_in_their_colour(painter: Painter, kind: str) -> None:
    shown = Shown(painter, frame_of(f"\x1b[{kind};58;2;255;0;0;38;2;255;0;0m    \x1b[?25l"))
    assert (255, 0, 0) in shown.colors(0, 0, 4)


def test_what_is_invisible_is_not_drawn(painter: Painter) -> None:
    assert Shown(painter, frame_of("\x1b[8mhidden\x1b[?25l")).colors(0, 0, 6) == {PAPER}


@pytest.mark.parametrize(("shape", "inked"), [(2, 128), (4, 16), (6, 32)], ids=["block", "underline", "bar"])
def test_the_cursor_is_drawn_as_the_program_wants_it(painter: Painter, shape: int, inked: int) -> None:
    shown = Shown(painter, frame_of(f"\x1b[{shape} q\x1b[2;3H"))
    pixels = [pixel for line in shown.cell(2, 1) for pixel in line]
    assert pixels.count(INK) == inked
    assert shown.colors(2, 0) == {PAPER}


def test_a_block_cursor_shows_what_it_stands_on(painter: Painter) -> None:
    over, without = Shown(painter, frame_of("▌\b")), Shown(painter, frame_of("▌\b\x1b[?25l"))
    inverse = [[INK if pixel == PAPER else PAPER for pixel in line] for line in without.cell(0, 0)]
    assert over.cell(0, 0) == inverse


def test_a_cursor_that_is_hidden_is_not_drawn(painter: Painter) -> None:
    assert Shown(painter, frame_of("\x1b[?25l")).colors(0, 0) == {PAPER}


def test_a_thumbnail_is_small(painter: Painter) -> None:
    picture = painter.paint(frame_of("text\n" * 30, columns=120, rows=40))
    small = Image.open(io.BytesIO(picture.thumbnail))
    assert small.width <= THUMBNAIL[0]
    assert small.height <= THUMBNAIL[1]
    assert small.width * 40 * 16 == pytest.approx(small.height * 120 * 8, rel=0.02)


def test_the_largest_terminals_fit_into_a_picture(painter: Painter) -> None:
    for columns, rows in ((1000, 1000), (20, 1000), (1000, 5)):
        shown = Shown(painter, frame_of("x", columns, rows))
        assert shown.image.width * shown.image.height <= 40_000 * 8 * 16
        assert shown.image.width == columns * 8


def test_a_font_that_is_missing_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(FontsMissingError, match=r"DejaVuSansMono\.ttf is not installed.*apt-get install"):
        find_fonts((tmp_path,))
