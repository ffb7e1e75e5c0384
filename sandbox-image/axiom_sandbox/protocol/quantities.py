"""Durations as Go writes them, and quantities as Kubernetes writes them. Pure parsing."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from axiom_sandbox.protocol.checks import form

QUANTITY_PATTERN = r"^([0-9]{1,15}(?:\.[0-9]{1,9})?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"

_DURATION = form(
    r"^([0-9]{1,7}(h|m|s|ms))+$", "is not a duration; write hours, minutes and seconds such as 20m or 1h30m"
)
_QUANTITY = form(
    QUANTITY_PATTERN, "is not a quantity; write a number with an optional unit such as 500m, 2 or 512Mi"
)
_MONEY = form(r"^[0-9]{1,7}(\.[0-9]{1,4})?$", 'is not an amount; write US dollars as a string such as "2.00"')
_POSITIVE = form("^[^0]|[1-9]", "is zero; write something larger")

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
    _DURATION.verify(text)
    return timedelta(milliseconds=sum(int(n) * _DURATION_UNITS[u] for n, u in _DURATION_PART.findall(text)))


def parse_quantity(text: str) -> Decimal:
    """`500m`, `2`, `512Mi` → its value in cores or bytes. Raises ValueError with the cure."""
    match = re.fullmatch(QUANTITY_PATTERN, _QUANTITY.verify(text))
    assert match
    number, unit = match.groups()
    return Decimal(number) * _QUANTITY_UNITS[unit or ""]


def parse_money(text: str) -> Decimal:
    """`2.00` → Decimal US dollars. Raises ValueError with the cure."""
    return Decimal(_MONEY.verify(text))


DurationText = Annotated[str, Field(max_length=32), _DURATION, _POSITIVE]
QuantityText = Annotated[str, Field(max_length=32), _QUANTITY, _POSITIVE]
MoneyText = Annotated[str, Field(max_length=12), _MONEY]
