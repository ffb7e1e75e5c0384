"""How much one round's result differs from that of the round before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def changed_percent(before: Path, after: Path) -> int:
    """Two patches against the same base → the share of their lines that only one of them has, rounded up.

    Lines that add or remove count, and those that name a file; context and positions do not, nor does the order. So 0 is
    the same work, and 100 has nothing in common.
    """
    with before.open("rb") as one, after.open("rb") as other:
        return share(one, other)


def share(before: Iterable[bytes], after: Iterable[bytes]) -> int:
    """The same of two patches' lines. Pure."""
    one, other = _counted(before), _counted(after)
    total = one.total() + other.total()
    apart = (one - other).total() + (other - one).total()
    return -(-100 * apart // total) if total else 0


def _counted(lines: Iterable[bytes]) -> Counter[int]:
    """Hashes stand for lines, of which there may be many."""
    return Counter(hash(line) for line in lines if line.startswith((b"+", b"-")))
