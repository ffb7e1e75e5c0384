"""How much of the code under test the tests ran: in total, and of what the agent changed. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from axiom_sandbox.verifying.judging import Side
from axiom_sandbox.verifying.suites.reports import CoveredFile


@dataclass(frozen=True)
class Share:
    """So many of so many lines."""

    ran: int = 0
    lines: int = 0
    missed: tuple[str, ...] = ()
    """Where lines did not run: `src/leap.py:3-5`."""

    @property
    def percent(self) -> int:
        """Rounded down; nothing to run is all of it."""
        return self.ran * 100 // self.lines if self.lines else 100


def in_total(covered: Mapping[str, CoveredFile]) -> Share:
    """Of every line that has code."""
    return _share({path: (file.lines, file.ran) for path, file in covered.items()})


def of_changes(covered: Mapping[str, CoveredFile], base: Side, candidate: Side) -> Share:
    """Of the lines that have code and are not in the base."""
    found = {}
    for path, file in covered.items():
        lines = file.lines & _changed(base.files.get(path, b""), candidate.files.get(path, b""))
        found[path] = (lines, file.ran)
    return _share(found)


def _share(files: Mapping[str, tuple[frozenset[int], frozenset[int]]]) -> Share:
    missed = [
        f"{path}:{span}"
        for path, (lines, ran) in sorted(files.items())
        for span in _spans(lines - ran, lines)
    ]
    ran = sum(len(lines & ran) for lines, ran in files.values())
    return Share(ran, sum(len(lines) for lines, _ in files.values()), tuple(missed))


def _changed(before: bytes, after: bytes) -> frozenset[int]:
    old, new = before.splitlines(), after.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new)
    blocks = [range(b + 1, b + 1 + size) for _, b, size in matcher.get_matching_blocks()]
    kept = {number for block in blocks for number in block}
    return frozenset(range(1, len(new) + 1)) - kept


def _spans(missed: frozenset[int], lines: frozenset[int]) -> list[str]:
    """Neighbours among the lines that have code are one span."""
    spans: list[list[int]] = []
    previous = 0
    for line in sorted(lines):
        if line in missed:
            if spans and spans[-1][1] == previous and previous in missed:
                spans[-1][1] = line
            else:
                spans.append([line, line])
        previous = line
    return [str(first) if first == last else f"{first}-{last}" for first, last in spans]
