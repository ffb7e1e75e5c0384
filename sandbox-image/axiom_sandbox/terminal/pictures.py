"""A frame → a picture of it: lossless WebP, and a thumbnail. Pure, but for the fonts that it reads.

A cell is 8 by 16 pixels. Letters are DejaVu Sans Mono; what that does not have, and what must join its neighbours without a
seam, is GNU Unifont, whose glyphs are made for just this cell and cover nearly all of Unicode. The same
frame gives the same bytes wherever fonts and library are the same.
"""

from __future__ import annotations

import io
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from axiom_sandbox.terminal.frames import TAIL, CursorShape, Frame, Run, Style, Underline

CELL_WIDTH, CELL_HEIGHT = 8, 16
THUMBNAIL = (320, 240)
"""Pixels that a thumbnail has at most."""
_LETTER_PIXELS, _UNIFONT_PIXELS = 13, 16
_BASELINE = 13
"""Pixels from a cell's top."""
_MARGIN = 8
_NO_CHARACTER = "\U000e0fff"
_BRAILLE = range(0x2800, 0x2900)
_SEAMLESS = (range(0x2500, 0x25A0), range(0x1FB00, 0x1FC00))
"""Lines and blocks."""


class FontsMissingError(RuntimeError):
    """There is nothing to draw letters with."""


@dataclass(frozen=True)
class Fonts:
    """The files of the fonts."""

    regular: Path
    bold: Path
    wide: Path
    """GNU Unifont, of the Basic Multilingual Plane."""
    upper: Path
    """The same for the planes above."""


@dataclass(frozen=True)
class Picture:
    """A frame, drawn."""

    webp: bytes
    width: int
    height: int
    thumbnail: bytes


_FOLDERS = (
    Path("/opt/axiom/fonts"),
    Path("/usr/share/fonts/truetype/dejavu"),
    Path("/usr/share/fonts/opentype/unifont"),
    Path("/usr/share/fonts/dejavu-sans-mono-fonts"),
    Path("/usr/share/fonts/TTF"),
    Path("/usr/share/fonts/Unifont"),
)
"""The sandbox image's own, Debian's, and those of other distributions."""


def find_fonts(folders: tuple[Path, ...] = _FOLDERS) -> Fonts:
    """Raises FontsMissingError."""

    def find(name: str) -> Path:
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        raise FontsMissingError(
            f"the font {name} is not installed, so terminals cannot be drawn; on Debian or Ubuntu:"
            " apt-get install fonts-dejavu-core fonts-unifont"
        )

    return Fonts(
        regular=find("DejaVuSansMono.ttf"),
        bold=find("DejaVuSansMono-Bold.ttf"),
        wide=find("unifont.otf"),
        upper=find("unifont_upper.otf"),
    )


class Painter:
    """Draws frames, and remembers the glyphs that it has drawn."""

    def __init__(self, fonts: Fonts) -> None:
        self._regular = _Face(fonts.regular, _LETTER_PIXELS)
        self._bold = _Face(fonts.bold, _LETTER_PIXELS)
        self._bitmaps = (_Face(fonts.wide, _UNIFONT_PIXELS), _Face(fonts.upper, _UNIFONT_PIXELS))
        self._glyph = lru_cache(maxsize=8192)(self._drawn)

    def paint(self, frame: Frame) -> Picture:
        """The picture of a frame."""
        size = (max(frame.columns, 1) * CELL_WIDTH, max(len(frame.rows), 1) * CELL_HEIGHT)
        image = Image.new("RGB", size, _channels(frame.background))
        draw = ImageDraw.Draw(image)
        for number, row in enumerate(frame.rows):
            for run in row.runs:
                self._paint_run(image, draw, run, number * CELL_HEIGHT)
        if frame.cursor.visible and 0 <= frame.cursor.row - frame.first < len(frame.rows):
            self._paint_cursor(image, draw, frame)
        small = image.copy()
        small.thumbnail(THUMBNAIL, Image.Resampling.BOX)
        return Picture(_lossless(image), *size, _lossy(small))

    def _paint_run(self, image: Image.Image, draw: ImageDraw.ImageDraw, run: Run, top: int) -> None:
        left, right = run.column * CELL_WIDTH, (run.column + len(run.texts)) * CELL_WIDTH
        draw.rectangle((left, top, right - 1, top + CELL_HEIGHT - 1), _channels(run.style.background))
        ink = _channels(run.style.foreground)
        for index, text in enumerate(run.texts):
            if text and text not in (TAIL, " "):
                is_wide = run.texts[index + 1 : index + 2] == (TAIL,)
                glyph = self._glyph(text, is_wide, run.style.bold, run.style.italic)
                image.paste(ink, (left + index * CELL_WIDTH, top), glyph)
        _draw_lines(draw, run.style, left, right, top)

    def _paint_cursor(self, image: Image.Image, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
        cursor, row = frame.cursor, frame.cursor.row - frame.first
        text, style, is_wide = _under(frame, row, cursor.column)
        left, top = cursor.column * CELL_WIDTH, row * CELL_HEIGHT
        right, bottom = left + (2 if is_wide else 1) * CELL_WIDTH - 1, top + CELL_HEIGHT - 1
        color = style.foreground if cursor.color is None else cursor.color
        match cursor.shape:
            case CursorShape.BLOCK:
                inverse = Style(style.background, color, style.bold, style.italic)
                under = Run(cursor.column, (text, TAIL) if is_wide else (text,), inverse)
                self._paint_run(image, draw, under, top)
            case CursorShape.HOLLOW:
                draw.rectangle((left, top, right, bottom), outline=_channels(color))
            case CursorShape.BAR:
                draw.rectangle((left, top, left + 1, bottom), _channels(color))
            case CursorShape.UNDERLINE:
                draw.rectangle((left, bottom - 1, right, bottom), _channels(color))

    def _drawn(self, text: str, is_wide: bool, bold: bool, italic: bool) -> Image.Image:
        """A character as a mask of one cell, or two."""
        mask = Image.new("L", (CELL_WIDTH * (2 if is_wide else 1), CELL_HEIGHT), 0)
        points = unicodedata.normalize("NFC", text)
        if ord(points[0]) in _BRAILLE:
            _draw_dots(mask, ord(points[0]) - _BRAILLE.start)
            return mask
        for place, point in enumerate(points):
            if place and not unicodedata.combining(point):
                break  # what is joined to an emoji: its first part stands for it
            face = self._face(point, bold, is_wide)
            mask.paste(255, (0, 0), face.glyph(point, mask.size, bold))
        return _slanted(mask) if italic and not _is_seamless(points[0]) else mask

    def _face(self, point: str, bold: bool, is_wide: bool) -> _Face:
        letters = self._bold if bold else self._regular
        if not is_wide and not _is_seamless(point) and letters.knows(point):
            return letters
        lower, upper = self._bitmaps
        return upper if ord(point) > 0xFFFF else lower


class _Face:
    """One font at one size."""

    def __init__(self, path: Path, pixels: int) -> None:
        self._font = ImageFont.truetype(str(path), pixels, layout_engine=ImageFont.Layout.BASIC)
        self._is_bitmap = pixels == _UNIFONT_PIXELS
        self._top = 0 if self._is_bitmap else _BASELINE - self._font.getmetrics()[0]
        self._absent = self._shape(_NO_CHARACTER)

    def knows(self, point: str) -> bool:
        """Whether it has a glyph for this code point."""
        return self._shape(point) != self._absent

    def glyph(self, point: str, size: tuple[int, int], bold: bool) -> Image.Image:
        """A glyph as a mask of a cell; one that is too broad for it is made narrower."""
        width, height = size
        broad = Image.new("L", (_MARGIN + 2 * width + _MARGIN, height), 0)
        draw = ImageDraw.Draw(broad)
        draw.fontmode = "1" if self._is_bitmap else "L"
        doubled = int(bold and self._is_bitmap)
        for left in range(_MARGIN, _MARGIN + doubled + 1):
            draw.text((left, self._top), point, fill=255, font=self._font)
        left, _, right, _ = broad.getbbox() or (_MARGIN, 0, _MARGIN, height)
        if right - left > width + doubled:
            return broad.resize(size, Image.Resampling.BOX, (left, 0, right, height))
        left = min(max(right - width, min(left, _MARGIN)), _MARGIN)
        return broad.crop((left, 0, left + width, height))

    def _shape(self, point: str) -> tuple[tuple[int, int], bytes]:
        mask = self._font.getmask(point, mode="1")
        return mask.size, bytes(mask)


def _under(frame: Frame, row: int, column: int) -> tuple[str, Style, bool]:
    """What stands in a place: character, looks, and whether it is two columns wide."""
    for run in frame.rows[row].runs:
        if run.column <= column < run.column + len(run.texts):
            at = column - run.column
            return run.texts[at], run.style, run.texts[at + 1 : at + 2] == (TAIL,)
    return "", Style(frame.foreground, frame.background), False


def _draw_lines(draw: ImageDraw.ImageDraw, style: Style, left: int, right: int, top: int) -> None:
    """Under, through and over characters."""
    ink = _channels(style.foreground)
    color = ink if style.underline_color is None else _channels(style.underline_color)
    below, low = top + _BASELINE + 1, top + CELL_HEIGHT - 1
    match style.underline:
        case Underline.NONE:
            pass
        case Underline.SINGLE:
            draw.line((left, below, right - 1, below), color)
        case Underline.DOUBLE:
            draw.line((left, below - 1, right - 1, below - 1), color)
            draw.line((left, low, right - 1, low), color)
        case Underline.CURLY:
            draw.point([(x, below + (x // 2 % 2)) for x in range(left, right)], color)
        case Underline.DOTTED:
            draw.point([(x, below) for x in range(left, right, 2)], color)
        case Underline.DASHED:
            draw.point([(x, below) for x in range(left, right) if x % 6 < 4], color)
    if style.strikethrough:
        draw.line((left, top + 9, right - 1, top + 9), ink)
    if style.overline:
        draw.line((left, top, right - 1, top), ink)


def _draw_dots(mask: Image.Image, dots: int) -> None:
    """A character of Braille: two columns of four dots, numbered 1-3 and 7, 4-6 and 8."""
    for bit, (column, row) in enumerate(((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))):
        if dots >> bit & 1:
            left, top = 1 + 4 * column, 1 + 4 * row
            mask.paste(255, (left, top, left + 2, top + 2))


def _slanted(mask: Image.Image) -> Image.Image:
    return mask.transform(
        mask.size,
        Image.Transform.AFFINE,
        (1, 0.2, -0.2 * _BASELINE + 0.6, 0, 1, 0),
        Image.Resampling.BILINEAR,
    )


def _is_seamless(point: str) -> bool:
    return any(ord(point) in block for block in _SEAMLESS)


def _channels(color: int) -> tuple[int, int, int]:
    return color >> 16, color >> 8 & 0xFF, color & 0xFF


def _lossless(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, quality=50, method=1)
    return out.getvalue()


def _lossy(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=60, method=2)
    return out.getvalue()
