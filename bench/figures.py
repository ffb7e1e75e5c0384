"""What the report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One line of the report."""

    what: str
    measured: str
    asked: str
    method: str


def milliseconds(values: Sequence[float]) -> str:
    """p50, p90 and the largest of some durations in seconds."""
    ordered = sorted(values)
    p90 = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
    return f"p50 {median(ordered) * 1000:,.0f} ms, p90 {p90 * 1000:,.0f} ms, max {ordered[-1] * 1000:,.0f} ms"
