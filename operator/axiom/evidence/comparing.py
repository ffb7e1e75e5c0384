"""Two runs side by side: what happened, what was found, and what came of it. Pure.

Times, process numbers, hashes and durations differ between any two runs, and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from axiom.evidence.harmless import plain
from axiom.evidence.searching import Line

_PASSING = frozenset({
    "pid", "user_ms", "system_ms", "max_rss_kib", "duration_ms", "took_ms", "start", "size", "digest", "diff", "changes",
    "fingerprint", "base", "task_id", "agent_id", "namespace", "sent_ms", "deadline_ms", "key", "kernel", "time",
})  # fmt: skip
_LEFT_OUT = frozenset({"terminal", "sandbox_started", "launcher_connected", "isolation", "files_changed"})
_LONGEST_LINE = 400
_MOST_LINES = 20_000


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    verdict: str
    criteria: tuple[tuple[str, str], ...]
    """Name and verdict of each, of the last round."""
    facts: tuple[tuple[str, str], ...]
    """Rounds, cost, and the like."""
    ledgers: tuple[tuple[str, Sequence[Line]], ...]
    """By slot."""
    patch: str


def compare(one: Side, other: Side) -> Iterator[str]:
    """Lines of text; every foreign character in them is harmless."""
    yield f"--- {plain(one.name)}"
    yield f"+++ {plain(other.name)}"
    yield ""
    yield from _table("verdict", [("verdict", one.verdict)], [("verdict", other.verdict)])
    yield from _table("criteria", one.criteria, other.criteria)
    yield from _table("figures", one.facts, other.facts)
    left, right = dict(one.ledgers), dict(other.ledgers)
    for slot in dict.fromkeys((*left, *right)):
        yield from _unified(f"events of {slot}", _told(left.get(slot, ())), _told(right.get(slot, ())))
    yield from _unified("diff", one.patch.split("\n"), other.patch.split("\n"))


def _table(title: str, one: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> Iterator[str]:
    left, right = dict(one), dict(other)
    yield f"== {title}"
    for name in dict.fromkeys((*left, *right)):
        before, after = left.get(name, "—"), right.get(name, "—")
        mark, shown = (" ", before) if before == after else ("!", f"{before} → {after}")
        yield plain(f"{mark} {name}: {shown}", kept="")
    yield ""


def _unified(title: str, one: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    yield f"== {plain(title)}"
    if len(one) + len(other) > _MOST_LINES:
        yield f"! too long to be compared: {len(one)} and {len(other)} lines"
    else:
        found = list(unified_diff(one, other, lineterm="", n=2))[2:]
        yield from (plain(line, kept="\t") for line in found or ["  the same"])
    yield ""


def _told(lines: Sequence[Line]) -> list[str]:
    records = (line.record for line in lines)
    told = [
        f"{record.event} {json.dumps(_lasting(record.payload), ensure_ascii=False, sort_keys=True)}"[
            :_LONGEST_LINE
        ]
        for record in records
        if record is not None and record.event not in _LEFT_OUT
    ]
    return told + ["a line that is no record" for line in lines if line.record is None]


def _lasting(value: Any) -> Any:
    match value:
        case dict():
            return {key: _lasting(item) for key, item in value.items() if key not in _PASSING}
        case list():
            return [_lasting(item) for item in value]
        case _:
            return value
