"""Puts every case before every judge, some at once, and keeps what came of it for the next time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from axiom.benching.cases import Case, fence_of
from axiom.benching.scoring import Decided, Drift, Run, Score, decide, drift, score
from axiom.planning.statuses import rfc3339
from axiom.storage.store import ConflictError, MissingError, ObjectStore
from axiom_sandbox.protocol.errands import AskJudge, Errand, Reply, Seat
from axiom_sandbox.verifying.judge import FORM, INSTRUCTIONS, SHORTEST_QUOTATION

AT_ONCE = 4
_PREFIX = "judge-bench"
_UNFIT = re.compile(r"[^A-Za-z0-9._-]")


class Messenger(Protocol):
    """Whoever asks judges."""

    async def go(self, errand: Errand) -> Reply:
        """What came of it."""


@dataclass(frozen=True)
class Measured:
    """One judge."""

    seat: Seat
    run: Run
    drift: Drift | None

    @property
    def score(self) -> Score:
        """Of all cases."""
        return score(self.run.decided)

    @property
    def adversarial(self) -> Score:
        """Of those that try to deceive."""
        return score([one for one in self.run.decided if one.adversarial])

    def as_json(self) -> dict[str, Any]:
        """What `axiom judge-bench --json` prints for it."""
        return {
            "judge": self.seat.name,
            "vendor": self.seat.vendor.value,
            "model": self.seat.model,
            "time": self.run.time,
            **_numbers(self.score),
            "adversarial": _numbers(self.adversarial),
            "inputTokens": sum(one.input_tokens for one in self.run.decided),
            "outputTokens": sum(one.output_tokens for one in self.run.decided),
            "drift": {
                "common": self.drift.common,
                "accuracyBefore": round(self.drift.accuracy_before, 4),
                "accuracyNow": round(self.drift.accuracy_now, 4),
                "changed": list(self.drift.changed),
            }
            if self.drift
            else None,
        }


async def measure(
    seat: Seat,
    cases: Sequence[Case],
    messenger: Messenger,
    store: ObjectStore,
    now: datetime,
    tell: Callable[[Decided], None] = lambda _: None,
) -> Measured:
    """Asks one judge about all cases, compares with the last run of the same model, and keeps this one. Raises StorageError."""
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> Decided:
        errand = AskJudge(
            id="judge",
            seat=seat,
            instructions=INSTRUCTIONS.format(fence=fence_of(case.name), shortest=SHORTEST_QUOTATION),
            shown=case.shown.text,
            form=FORM,
        )
        async with at_once:
            found = decide(seat, case, await messenger.go(errand))
        tell(found)
        return found

    decided = await asyncio.gather(*(one(case) for case in cases))
    run = Run(vendor=seat.vendor.value, model=seat.model, time=rfc3339(now), decided=tuple(decided))
    before = await last_run(store, seat)
    await _keep(store, seat, run)
    return Measured(seat, run, drift(before, run))


async def last_run(store: ObjectStore, seat: Seat) -> Run | None:
    """The newest that is kept of this model. Raises StorageError."""
    keys = sorted([key async for key in store.list(f"{_prefix(seat)}/")], reverse=True)
    for key in keys:
        try:
            return Run.model_validate_json(await store.get(key))
        except (MissingError, ValidationError):
            continue  # of another version, or just deleted: the one before it will do
    return None


async def _keep(store: ObjectStore, seat: Seat, run: Run) -> None:
    stamp = re.sub(r"[^0-9]", "", run.time)
    try:
        await store.put(f"{_prefix(seat)}/{stamp}.json", run.model_dump_json().encode())
    except ConflictError:
        pass  # two runs in one second: the first is kept


def _prefix(seat: Seat) -> str:
    return f"{_PREFIX}/{seat.vendor.value}-{_UNFIT.sub('-', seat.model)}"


def _numbers(found: Score) -> dict[str, Any]:
    return {
        "cases": found.cases,
        "accuracy": round(found.accuracy, 4),
        "falseAccepts": list(found.false_accepts),
        "falseRejects": list(found.false_rejects),
        "undecided": list(found.undecided),
    }
