"""What the report is made of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One line of the report."""

    what: str
    measured: str
    asked: str
    method: str


@dataclass(frozen=True)
class Phase:
    """One line of a table of phases: how long it took in each of the measured cases, in seconds."""

    name: str
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Part:
    """What one benchmark found."""

    figures: tuple[Figure, ...]
    phases: tuple[Phase, ...] = ()
    title: str = ""
    """Of the table of phases."""
    load: str = field(default_factory=lambda: f"{os.getloadavg()[0]:.1f}")
    """The machine's load average over the last minute."""


def milliseconds(values: Sequence[float]) -> str:
    """p50, p90 and the largest of some durations in seconds."""
    ordered = sorted(values)
    return (
        f"p50 {median(ordered) * 1000:,.0f} ms, p90 {p90(ordered) * 1000:,.0f} ms,"
        f" max {ordered[-1] * 1000:,.0f} ms"
    )


def p90(values: Sequence[float]) -> float:
    """The value that nine of ten do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
