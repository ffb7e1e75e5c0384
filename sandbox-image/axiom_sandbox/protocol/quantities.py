"""Durations as Go writes them, and quantities as Kubernetes writes them. Pure parsing."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

DURATION_PATTERN = r"^([0-9]+(h|m|s|ms))+$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
MONEY_PATTERN = r"^[0-9]{1,7}(\.[0-9]{1,4})?$"

_DURATION_PART = re.compile(r"([0-9]+)(h|ms|m|s)")
_DURATION_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_QUANTITY_UNITS = {
    "": Decimal(1),
    "m": Decimal(1) / 1000,
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


def parse_duration(text: str) -> timedelta:
    """`1h30m`, `45s`, `500ms` → timedelta. Raises ValueError with the cure."""
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration; write hours, minutes and seconds such as 20m or 1h30m")
    return timedelta(milliseconds=sum(int(n) * _DURATION_UNITS[u] for n, u in _DURATION_PART.findall(text)))


def parse_quantity(text: str) -> Decimal:
    """`500m`, `2`, `512Mi` → its value in cores or bytes. Raises ValueError with the cure."""
    match = re.fullmatch(QUANTITY_PATTERN, text)
    if not match:
        raise ValueError(
            f"{text!r} is not a quantity; write a number with an optional unit such as 500m, 2 or 512Mi"
        )
    unit = match.group(3) or ""
    return Decimal(text[: len(text) - len(unit)]) * _QUANTITY_UNITS[unit]


def parse_money(text: str) -> Decimal:
    """`2.00` → Decimal US dollars. Raises ValueError with the cure."""
    if not re.fullmatch(MONEY_PATTERN, text):
        raise ValueError(f'{text!r} is not an amount; write US dollars as a string such as "2.00"')
    return Decimal(text)


def _duration(text: str) -> str:
    if parse_duration(text) <= timedelta(0):
        raise ValueError("the duration must be longer than zero")
    return text


def _quantity(text: str) -> str:
    if parse_quantity(text) <= 0:
        raise ValueError("the quantity must be larger than zero")
    return text


def _money(text: str) -> str:
    parse_money(text)
    return text


DurationText = Annotated[
    str, AfterValidator(_duration), Field(max_length=32, json_schema_extra={"x-axiom-format": "duration"})
]
QuantityText = Annotated[
    str, AfterValidator(_quantity), Field(max_length=32, json_schema_extra={"x-axiom-format": "quantity"})
]
MoneyText = Annotated[
    str, AfterValidator(_money), Field(max_length=12, json_schema_extra={"x-axiom-format": "money"})
]
