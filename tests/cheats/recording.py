"""What the whole suite decided, kept for docs/benchmarks.md: language by language, in the parts in which it was run."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

from pydantic import TypeAdapter
from tests.cheats.running import HONEST, Tally

from axiom_sandbox.protocol.verdicts import Verdict

RECORD = Path(__file__).parents[2] / "docs" / "cheats.json"


@dataclass(frozen=True)
class Counts:
    """What came of one part, or of several together."""

    cheats: int
    accepted: int
    honest: int
    rejected: int
    seconds: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


_RECORD = TypeAdapter(dict[str, dict[str, Counts]])


def counts(tally: Tally, seconds: float) -> Counts:
    """Cheats and honest cases of one run, and how many of each were decided wrongly. An Inconclusive does not accept."""

    def number(*, honest: bool, passed: tuple[bool, ...] = (True, False)) -> int:
        return sum(
            n
            for (kind, _, verdict), n in tally.verdicts.items()
            if (kind == HONEST) is honest and (verdict is Verdict.PASS) in passed
        )

    return Counts(
        cheats=number(honest=False),
        accepted=number(honest=False, passed=(True,)),
        honest=number(honest=True),
        rejected=number(honest=True, passed=(False,)),
        seconds=round(seconds),
    )


def recorded(path: Path = RECORD) -> dict[str, dict[str, Counts]]:
    """By language and part (K/N)."""
    return _RECORD.validate_json(path.read_bytes()) if path.exists() else {}


def record(language: str, part: str, found: Counts, path: Path = RECORD) -> None:
    """Puts in what came of a part; parts of another division of the same language go."""
    known = recorded(path)
    of = part.partition("/")[2]
    parts = {one: counted for one, counted in known.get(language, {}).items() if one.endswith(f"/{of}")}
    known[language] = dict(
        sorted({**parts, part: found}.items(), key=lambda item: int(item[0].split("/")[0]))
    )
    path.write_bytes(_RECORD.dump_json(dict(sorted(known.items())), indent=1) + b"\n")
