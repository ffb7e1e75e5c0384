"""Durations, quantities and amounts as people write them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from axiom_sandbox.protocol.quantities import parse_duration, parse_money, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20m", timedelta(minutes=20)),
        ("1h30m5s250ms", timedelta(hours=1, minutes=30, seconds=5, milliseconds=250)),
        ("90s30s", timedelta(minutes=2)),
        ("9999999h", timedelta(hours=9_999_999)),
    ],
)
def test_duration(text: str, value: timedelta) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", Decimal(2)),
        ("500m", Decimal("0.5")),
        ("0.25", Decimal("0.25")),
        ("1.5Gi", Decimal(3 * 2**29)),
        ("3G", Decimal(3_000_000_000)),
        ("512Mi", Decimal(2**29)),
    ],
)
def test_quantity(text: str, value: Decimal) -> None:
    assert parse_quantity(text) == value


def test_money() -> None:
    assert parse_money("2.00") == Decimal(2)


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "1.5h", "-5m", "5m\n", "99999999h", "٥m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write hours, minutes and seconds"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "-1", "1e3", "1.", "1\n"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity; write a number with an optional unit"):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["", "$1", "1,5", "-1", "1.00001", "12345678"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount; write US dollars"):
        parse_money(text)
