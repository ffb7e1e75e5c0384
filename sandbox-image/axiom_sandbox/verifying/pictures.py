"""Compares two pictures of a page: how many pixels differ, and where. Pure.

A pixel differs where its colour lies outside what the other picture has there and in the eight pixels around, by more than TOLERANCE
in red, green or blue; looked at from both sides. So edges that are smoothed otherwise, or moved by one pixel, count as equal; a line
that is gone, a letter that is another and a colour that changed do not. The score is the share of such pixels among those that no
mask covers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Pillow takes long to load, and most verifications compare nothing
    from PIL import Image

TOLERANCE = 24
"""Of 255, in each of the three colours."""
MOST_BYTES = 16 * 1024 * 1024
"""Of a baseline's file."""
MOST_PIXELS = 16_000_000
_RED, _BLUE = (220, 0, 0), (80, 120, 220)


class PictureError(Exception):
    """A file is no picture that can be compared. The message ends a sentence that begins with its name."""


@dataclass(frozen=True)
class Pixels:
    """A picture: three bytes (red, green, blue) for each pixel, row by row."""

    width: int
    height: int
    data: bytes

    @property
    def size(self) -> str:
        """For a person."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Area:
    """A rectangle of a picture, in pixels from its left upper corner. What lies outside the picture means nothing."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Comparison:
    """What two pictures of one size have in common."""

    different: int
    """Pixels that differ."""
    compared: int
    """Pixels that no mask covers."""
    difference: Pixels
    """The second picture, pale; red where it differs, blue where nothing was compared."""

    @property
    def percent(self) -> str:
        """The score, with two decimals, rounded up: `0.00` is no difference at all."""
        hundredths = -(-self.different * 10_000 // self.compared) if self.compared else 0
        return f"{hundredths // 100}.{hundredths % 100:02}"

    def is_within(self, percent: int) -> bool:
        """Whether no more differs than so many percent."""
        return self.different * 100 <= percent * self.compared


def compare(baseline: Pixels, picture: Pixels, masks: Sequence[Area] = ()) -> Comparison:
    """Two pictures of the same size."""
    assert (baseline.width, baseline.height) == (picture.width, picture.height)
    from PIL import Image

    size = (picture.width, picture.height)
    marks, covered = Image.new("L", size, 0), Image.new("L", size, 0)
    before, after = _image(baseline), _image(picture)
    if box := _where(before, after):
        marks.paste(_beyond(before.crop(box), after.crop(box)), box)
    for mask in masks:
        area = (mask.x, mask.y, min(mask.x + mask.width, size[0]), min(mask.y + mask.height, size[1]))
        if area[0] < area[2] and area[1] < area[3]:
            marks.paste(0, area)
            covered.paste(255, area)
    shown = after.convert("L").point([191 + value // 4 for value in range(256)]).convert("RGB")
    shown.paste(_BLUE, mask=covered.point([value // 3 for value in range(256)]))
    shown.paste(_RED, mask=marks)
    different, masked = marks.histogram()[255], covered.histogram()[255]
    return Comparison(different, size[0] * size[1] - masked, Pixels(*size, shown.tobytes()))


def read_png(data: bytes) -> Pixels:
    """The pixels of a PNG, on white where it is transparent. Raises PictureError."""
    from PIL import Image

    if len(data) > MOST_BYTES:
        raise PictureError(f"has more than {MOST_BYTES // 2**20} MiB")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as found:
            if found.width * found.height > MOST_PIXELS:
                raise PictureError(f"has more than {MOST_PIXELS} pixels")
            whole = found.convert("RGBA")
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise what they like
        raise PictureError("is no PNG") from error
    white = Image.new("RGBA", whole.size, "white")
    return Pixels(*whole.size, Image.alpha_composite(white, whole).convert("RGB").tobytes())


def to_png(pixels: Pixels) -> bytes:
    """A file that `read_png` reads."""
    sink = io.BytesIO()
    _image(pixels).save(sink, "PNG")
    return sink.getvalue()


def _image(pixels: Pixels) -> Image.Image:
    from PIL import Image

    return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.data)


def _where(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int] | None:
    """Outside this box, but for the one pixel around it that smoothing looks at, both are the same."""
    from PIL import ImageChops

    box = ImageChops.difference(one, other).getbbox()
    if box is None:
        return None
    left, upper, right, lower = box
    return max(left - 1, 0), max(upper - 1, 0), min(right + 1, one.width), min(lower + 1, one.height)


def _beyond(one: Image.Image, other: Image.Image) -> Image.Image:
    """255 where either lies outside what the other has around there, else 0."""
    from PIL import ImageChops

    bands = ImageChops.lighter(_outside(one, other), _outside(other, one)).split()
    most = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    return most.point([255 if value > TOLERANCE else 0 for value in range(256)])


def _outside(one: Image.Image, other: Image.Image) -> Image.Image:
    from PIL import ImageChops, ImageFilter

    above = ImageChops.subtract(one, other.filter(ImageFilter.MaxFilter(3)))
    below = ImageChops.subtract(other.filter(ImageFilter.MinFilter(3)), one)
    return ImageChops.lighter(above, below)
