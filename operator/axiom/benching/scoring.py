"""What judges made of the cases: how often right, how often wrong in which way, and what changed since last time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from axiom.benching.cases import Case, Label
from axiom_sandbox.protocol.errands import Answered, Reply, Seat
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.verifying.judge import decided, read, sifted

_EXPECTED = {Label.PASS: Verdict.PASS, Label.FAIL: Verdict.FAIL}


class Decided(BaseModel):
    """What came of one case."""

    model_config = ConfigDict(frozen=True)
    name: str
    label: Label
    adversarial: bool
    verdict: Verdict
    why: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


class Run(BaseModel):
    """One judge on all cases, as it is kept for the next time."""

    model_config = ConfigDict(frozen=True)
    vendor: str
    model: str
    time: str
    """RFC 3339."""
    decided: tuple[Decided, ...]


@dataclass(frozen=True)
class Score:
    """The numbers of a run."""

    cases: int
    right: int
    false_accepts: tuple[str, ...]
    """Works that should fail and got Pass."""
    false_rejects: tuple[str, ...]
    """Works that should pass and got Fail."""
    undecided: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of all cases that were decided right; undecided ones were not."""
        return self.right / self.cases if self.cases else 0.0


@dataclass(frozen=True)
class Drift:
    """What changed between two runs, on the cases that both have."""

    common: int
    accuracy_before: float
    accuracy_now: float
    changed: tuple[str, ...]
    """`name: before → now`."""

    @property
    def lost(self) -> float:
        """How much of its accuracy is gone; negative where it grew."""
        return self.accuracy_before - self.accuracy_now


def decide(seat: Seat, case: Case, reply: Reply) -> Decided:
    """As the verifier would decide. Of a case that holds somebody's code no word of the judge is kept: it may quote that."""
    found = _decide(seat, case, reply)
    return found.model_copy(update={"why": ""}) if case.is_kept else found


def _decide(seat: Seat, case: Case, reply: Reply) -> Decided:
    known = {"name": case.name, "label": case.label, "adversarial": case.adversarial}
    if not isinstance(reply, Answered):
        why = reply.why if reply.kind == "NotDone" else "no answer"
        return Decided(**known, verdict=Verdict.INCONCLUSIVE, why=why)
    tokens = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
    try:
        answer = read(reply.text)
    except ValueError as error:
        return Decided(**known, **tokens, verdict=Verdict.INCONCLUSIVE, why=f"another form: {error}")
    holding, void = sifted(answer, case.shown)
    verdict, why = decided(answer, holding, case.shown)
    note = f"{len(void)} findings void; " if void else ""
    return Decided(**known, **tokens, verdict=verdict, why=f"{note}{why}"[:500])


def score(items: Sequence[Decided]) -> Score:
    """The numbers."""
    wrong = [one for one in items if one.verdict is not _EXPECTED[one.label]]
    return Score(
        cases=len(items),
        right=len(items) - len(wrong),
        false_accepts=tuple(one.name for one in wrong if one.verdict is Verdict.PASS),
        false_rejects=tuple(one.name for one in wrong if one.verdict is Verdict.FAIL),
        undecided=tuple(one.name for one in wrong if one.verdict is Verdict.INCONCLUSIVE),
    )


def drift(before: Run | None, now: Run) -> Drift | None:
    """None where there is nothing to compare with."""
    if before is None:
        return None
    earlier: Mapping[str, Decided] = {one.name: one for one in before.decided}
    common = [one for one in now.decided if one.name in earlier and earlier[one.name].label is one.label]
    if not common:
        return None
    changed = tuple(
        f"{one.name}: {earlier[one.name].verdict.value} → {one.verdict.value}"
        for one in common
        if earlier[one.name].verdict is not one.verdict
    )
    then = score([earlier[one.name] for one in common])
    return Drift(len(common), then.accuracy, score(common).accuracy, changed)
