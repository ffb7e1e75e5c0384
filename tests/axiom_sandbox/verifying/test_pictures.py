"""How two pictures of a page are compared."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw, ImageFont

from axiom_sandbox.verifying.pictures import (
    TOLERANCE,
    Area,
    Comparison,
    PictureError,
    Pixels,
    compare,
    read_png,
    to_png,
)

SIZE = (200, 100)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
Draw = Callable[[ImageDraw.ImageDraw], object]


def page(draw: Draw = lambda _: None) -> Pixels:
    image = Image.new("RGB", SIZE, WHITE)
    draw(ImageDraw.Draw(image))
    return Pixels(*SIZE, image.tobytes())


def text(words: str, x: float = 10) -> Draw:
    font = ImageFont.load_default(24)
    return lambda pen: pen.text((x, 30), words, BLACK, font)


def rectangle(x: int, y: int, width: int, height: int, colour: tuple[int, int, int] = BLACK) -> Draw:
    return lambda pen: pen.rectangle((x, y, x + width - 1, y + height - 1), colour)


def differ(one: Pixels, other: Pixels, *masks: Area) -> Comparison:
    """In either order it is the same."""
    found = compare(one, other, masks)
    assert compare(other, one, masks).different == found.different
    return found


def test_a_picture_is_the_same_as_itself() -> None:
    found = differ(page(text("leap")), page(text("leap")))
    assert (found.different, found.compared, found.percent) == (0, 20_000, "0.00")
    assert found.is_within(0)


def test_every_pixel_of_another_colour_counts() -> None:
    found = differ(page(), page(rectangle(10, 10, 20, 30)))
    assert (found.different, found.percent) == (600, "3.00")
    assert found.is_within(3)
    assert not found.is_within(2)


def test_one_pixel_is_never_nothing() -> None:
    found = differ(page(), page(rectangle(0, 0, 1, 1)))
    assert (found.different, found.percent, found.is_within(0)) == (1, "0.01", False)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_colour_counts_from_the_tolerance_on(channel: int) -> None:
    def shade(by: int) -> Pixels:
        colour = [200, 200, 200]
        colour[channel] -= by
        return page(rectangle(10, 10, 10, 10, (colour[0], colour[1], colour[2])))

    assert differ(shade(0), shade(TOLERANCE)).different == 0
    assert differ(shade(0), shade(TOLERANCE + 1)).different == 100


def test_smoothing_and_a_shift_by_one_pixel_are_equal() -> None:
    assert differ(page(text("leap year")), page(text("leap year", 10.5))).different == 0
    assert differ(page(rectangle(10, 10, 40, 40)), page(rectangle(11, 10, 40, 40))).different == 0


def test_a_shift_by_more_is_not() -> None:
    assert differ(page(rectangle(10, 10, 40, 40)), page(rectangle(13, 10, 40, 40))).different > 100


@pytest.mark.parametrize("line", [(0, 50, 200, 1), (70, 0, 1, 100)])
def test_a_thin_line_that_is_gone_counts_in_full(line: tuple[int, int, int, int]) -> None:
    assert differ(page(rectangle(*line)), page()).different == line[2] * line[3]


def test_other_words_differ() -> None:
    assert differ(page(text("1900 is a leap year")), page(text("1900 is no leap year"))).different > 200


def test_what_is_masked_is_neither_compared_nor_counted() -> None:
    found = differ(page(), page(rectangle(10, 10, 20, 30)), Area(10, 10, 20, 29), Area(190, 90, 500, 500))
    assert (found.different, found.compared) == (20, 20_000 - 580 - 100)


def test_masks_outside_and_over_each_other_cover_what_they_cover() -> None:
    found = differ(page(), page(), Area(300, 0, 5, 5), Area(0, 0, 200, 50), Area(0, 0, 200, 50))
    assert found.compared == 10_000
    assert differ(page(), page(rectangle(0, 0, 200, 100)), Area(0, 0, 200, 100)).compared == 0


def test_the_difference_shows_where() -> None:
    found = compare(page(text("leap")), page(rectangle(100, 50, 4, 4)), [Area(0, 0, 10, 10)]).difference
    image = Image.frombytes("RGB", SIZE, found.data)
    assert image.getpixel((101, 51)) == (220, 0, 0)
    assert image.getpixel((150, 80)) == (254, 254, 254)
    red, _, blue = image.getpixel((5, 5))
    assert blue > red


def test_it_is_symmetrical_and_bounded_for_any_pictures() -> None:
    chance = random.Random(7)
    for _ in range(10):
        one, other = (Pixels(*SIZE, chance.randbytes(SIZE[0] * SIZE[1] * 3)) for _ in range(2))
        assert 0 <= differ(one, other).different <= 20_000


def test_a_png_keeps_every_pixel() -> None:
    drawn = page(text("leap"))
    assert read_png(to_png(drawn)) == drawn


def test_transparency_lies_on_white() -> None:
    sink = io.BytesIO()
    Image.new("RGBA", (2, 1), (255, 0, 0, 0)).save(sink, "PNG")
    assert read_png(sink.getvalue()) == Pixels(2, 1, b"\xff" * 6)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is no PNG"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "is no PNG"),
        (to_png(page())[:-40], "is no PNG"),
        (b"GIF89a" + b"\0" * 100, "is no PNG"),
        (b"\0" * (16 * 1024 * 1024 + 1), "has more than 16 MiB"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(PictureError, match=complaint):
        read_png(data)


def test_a_picture_that_unfolds_beyond_measure_is_refused() -> None:
    sink = io.BytesIO()
    Image.new("1", (5000, 5000)).save(sink, "PNG")
    with pytest.raises(PictureError, match="has more than 16000000 pixels"):
        read_png(sink.getvalue())
