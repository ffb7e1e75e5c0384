"""A run as a Markdown page for whoever reviews its result: what was asked, said, found and changed, what is missing, and what
it cost.

Everything that a task, an agent or its tools wrote stands in code spans and code blocks (`harmless`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from axiom.api.agenttask import AgentTask
from axiom.evidence.harmless import code_block, code_span
from axiom.evidence.searching import Line
from axiom_sandbox.ledger.records import Record

_LONGEST_PROMPT = 8_000
_LONGEST_CLAIM = 4_000
_MOST_ROWS = 50


@dataclass(frozen=True)
class Proved:
    """One ledger of the run: its records, and what its proof came to."""

    name: str
    lines: Sequence[Line]
    head: str
    """Hash of the last sound record."""
    witnessed: bool
    """The head is the one in the task's status."""
    faults: tuple[str, ...] = ()

    @property
    def slot(self) -> str:
        """`agent`, `verifier-1-1`, …"""
        return self.name.rpartition("/")[2]

    def records(self, *events: str) -> list[Record]:
        """Records of these events."""
        return [line.record for line in self.lines if line.record and line.record.event in events]


@dataclass(frozen=True)
class DiffSize:
    """How much a patch changes."""

    files: tuple[tuple[str, int, int], ...]
    """Path, lines added, lines deleted."""

    @classmethod
    def of(cls, patch: bytes) -> DiffSize:
        """Counts the lines of a git patch."""
        counting = _Counting()
        for line in patch.decode(errors="replace").split("\n"):
            counting.take(line)
        return cls(tuple((path, added, deleted) for path, (added, deleted) in counting.files.items()))

    @property
    def added(self) -> int:
        """Lines."""
        return sum(added for _, added, _ in self.files)

    @property
    def deleted(self) -> int:
        """Lines."""
        return sum(deleted for _, _, deleted in self.files)


@dataclass
class _Counting:
    """Reads a patch line by line; a hunk's header says how many lines of content follow."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    _path: str = ""
    _old: int = 0
    _new: int = 0

    def take(self, line: str) -> None:
        if self._old > 0 or self._new > 0:
            self._content(line)
        elif line.startswith("diff --git "):
            self._path = _path_of(line)
            self.files[self._path] = (0, 0)
        elif line.startswith("@@ -"):
            self._old, self._new = _hunk(line)

    def _content(self, line: str) -> None:
        added, deleted = self.files.get(self._path, (0, 0))
        match line[:1]:
            case "+":
                self._new, added = self._new - 1, added + 1
            case "-":
                self._old, deleted = self._old - 1, deleted + 1
            case "\\":
                return
            case _:
                self._old, self._new = self._old - 1, self._new - 1
        self.files[self._path] = (added, deleted)


def _path_of(line: str) -> str:
    rest = line.removeprefix("diff --git ")
    if rest.startswith('"'):
        return rest.rpartition(' "')[2].rstrip('"').removeprefix("b/")
    half = rest[len(rest) // 2 + 1 :]
    return half.removeprefix("b/")


def _hunk(line: str) -> tuple[int, int]:
    try:
        _, old, new, *_ = line.split(" ")
        return _count(old), _count(new)
    except ValueError:
        return 0, 0


def _count(part: str) -> int:
    _, comma, number = part.partition(",")
    return int(number) if comma else 1


def report(task: AgentTask | None, ledgers: Sequence[Proved], diff: DiffSize | None) -> Iterator[str]:
    """The page, in blocks."""
    yield "\n".join(_title(task, ledgers))
    yield "\n".join(_asked(task, ledgers))
    yield "\n".join(_rounds(task, ledgers))
    yield "\n".join(_changes(ledgers, diff))
    yield "\n".join(_events(ledgers))
    yield "\n".join(_cost(task))
    yield "\n".join(_evidence(ledgers))


def _title(task: AgentTask | None, ledgers: Sequence[Proved]) -> Iterator[str]:
    name = task.name if task else _declared(ledgers).get("task", "") or (ledgers[0].name if ledgers else "?")
    verdict = task.status.verdict.value if task and task.status.verdict else _last_verdict(ledgers)
    yield f"# {code_span(str(name), 80)}: {verdict or 'no verdict'}"
    yield ""
    if task and task.status.message:
        yield code_block(task.status.message, 2_000)
        yield ""
    if task and task.status.claim_disagreement:
        yield "**What the agent claimed and what was found disagree.**"
        yield ""
        for one in task.status.claim_disagreements:
            yield _disagreement(one.about.value, one.claimed, one.found)
        yield ""
    if task and task.status.assisted:
        rounds = ", ".join(str(one.number) for one in task.status.rounds if one.assisted)
        yield f"**Assisted: a person stepped in{f' in round {rounds}' if rounds else ''}.**"
        yield ""
    facts = []
    if task:
        facts += [f"class {code_span(task.spec.agent_class_name)}", f"rounds {len(task.status.rounds)}"]
        facts += [f"attempts {max(task.status.attempt, 1)}"]
    began, ended = _span(ledgers)
    if began and ended:
        facts += [f"{began:%Y-%m-%d %H:%M:%S} UTC", f"{(ended - began).total_seconds():.0f} s"]
    if task and task.uid:
        facts.append(f"UID {code_span(task.uid)}")
    yield " · ".join(facts)
    yield ""


def _asked(task: AgentTask | None, ledgers: Sequence[Proved]) -> Iterator[str]:
    yield "## What was asked"
    yield ""
    told = [record for ledger in ledgers for record in ledger.records("user_msg")]
    prompt = task.spec.prompt if task else str(told[0].payload.get("text", "")) if told else ""
    yield code_block(prompt, _LONGEST_PROMPT) if prompt else "Not recorded."
    yield ""


def _rounds(task: AgentTask | None, ledgers: Sequence[Proved]) -> Iterator[str]:
    yield "## What the agent said, and what was found"
    yield ""
    rounds = sorted({number for ledger in ledgers for number in _numbers(ledger)})
    for number in rounds:
        yield f"### Round {number}"
        yield ""
        yield from _round(number, ledgers)
    if not rounds:
        yield "No round ended."
        yield ""


def _numbers(ledger: Proved) -> Iterator[int]:
    for record in ledger.records("claim", "verdict", "criteria_check"):
        if isinstance(number := record.payload.get("round"), int):
            yield number


def _round(number: int, ledgers: Sequence[Proved]) -> Iterator[str]:
    def of(*events: str) -> list[Record]:
        return [r for ledger in ledgers for r in ledger.records(*events) if r.payload.get("round") == number]

    for record in of("user_msg"):
        if number > 1 and not record.payload.get("by"):
            yield "The agent was told:"
            yield ""
            yield code_block(str(record.payload.get("text", "")), _LONGEST_PROMPT)
            yield ""
    for record in of("claim"):
        if rebuttal := record.payload.get("rebuttal"):
            yield "It answered to that:"
            yield ""
            yield code_block(str(rebuttal), _LONGEST_CLAIM)
            yield ""
        claim = _object(record.payload.get("claim"))
        code = claim.get("exitCode", claim.get("exit_code"))
        how = "" if code is None else f", exit code {code_span(str(code), 20)}"
        yield f"The agent claims {code_span(str(claim.get('says', '?')), 40)}{how}:"
        yield ""
        yield code_block(str(claim.get("text", "")), _LONGEST_CLAIM)
        yield ""
    checks = [_object(record.payload.get("result")) for record in of("criteria_check")]
    if checks:
        yield "| Criterion | Type | | Found | Why |"
        yield "|---|---|---|---|---|"
        for check in checks[:_MOST_ROWS]:
            cells = (
                (check.get("name"), 63), (check.get("type"), 30), (check.get("enforcement"), 12),
                (check.get("verdict"), 16), (check.get("message"), 400),
            )  # fmt: skip
            yield "| " + " | ".join(code_span(str(text or ""), limit) for text, limit in cells) + " |"
        yield ""
    for record in of("claim_compared"):
        compared = [_object(one) for one in record.payload.get("statements") or ()]
        agreed = sum(one.get("agrees") is True for one in compared)
        wrong = [one for one in compared if one.get("agrees") is False]
        yield f"Of {len(compared)} statements the evidence confirms {agreed}, and says otherwise of {len(wrong)}."
        yield ""
        for one in wrong[:_MOST_ROWS]:
            stated = _object(one.get("statement"))
            yield _disagreement(
                str(stated.get("kind", "")), str(stated.get("subject", "")), str(one.get("found", ""))
            )
        yield ""
    for record in of("verdict"):
        yield f"Verdict of this round: **{_verdict(record.payload.get('verdict'))}**"
        yield ""


def _disagreement(about: str, claimed: str, found: str) -> str:
    return f"- claimed {code_span(about, 30)}: {code_span(claimed, 300)}; found: {code_span(found, 600)}"


def _changes(ledgers: Sequence[Proved], diff: DiffSize | None) -> Iterator[str]:
    yield "## What changed"
    yield ""
    if diff is None:
        captured = [record for ledger in ledgers for record in ledger.records("captured")]
        paths = captured[-1].payload.get("paths") if captured else None
        yield (
            f"{paths} paths; the patch itself was not at hand."
            if isinstance(paths, int)
            else "Nothing was captured."
        )
    elif not diff.files:
        yield "Nothing."
    else:
        yield f"{len(diff.files)} files, {diff.added} lines added, {diff.deleted} deleted."
        yield ""
        yield "| File | + | − |"
        yield "|---|---:|---:|"
        for path, added, deleted in diff.files[:_MOST_ROWS]:
            yield f"| {code_span(path)} | {added} | {deleted} |"
        if more := len(diff.files) - _MOST_ROWS:
            yield f"\n… and {more} more." if more > 0 else ""
    yield ""
    left_out = [
        _object(finding)
        for ledger in ledgers
        for record in ledger.records("captured")
        for finding in record.payload.get("findings") or []
    ]
    for finding in left_out[:_MOST_ROWS]:
        yield f"- left out: {code_span(str(finding.get('path', '')))}: {code_span(str(finding.get('reason', '')), 300)}"
    yield ""


def _events(ledgers: Sequence[Proved]) -> Iterator[str]:
    yield "## What is missing, and what went wrong"
    yield ""
    is_empty = True
    for ledger in ledgers:
        for record in ledger.records("gap", "failure", "intruder", "intervention", "tool_error"):
            is_empty = False
            said = (
                record.payload.get("reason") or record.payload.get("message") or record.payload.get("detail")
            )
            what = record.payload.get("what") or record.payload.get("action") or ""
            yield (
                f"- {record.event} at {code_span(f'{ledger.slot} {record.seq}', 60)}"
                f" {code_span(str(what), 60)}: {code_span(str(said or ''), 400)}"
            )
    if is_empty:
        yield "Nothing that was recorded."
    yield ""


def _cost(task: AgentTask | None) -> Iterator[str]:
    yield "## Cost"
    yield ""
    usage = task.status.usage if task else None
    if usage is None:
        yield "Nothing was counted."
    else:
        cost = f"${usage.cost_usd}" if usage.cost_usd else "no price is known"
        yield (
            f"{cost}: {usage.requests} calls of a model, {usage.input_tokens} tokens in"
            f" ({usage.cached_input_tokens} of them cached), {usage.output_tokens} out."
        )
        if usage.unpriced or usage.unmeasured or usage.estimated:
            yield (
                f"\nNot in these numbers in full: {usage.unpriced} calls without a price, {usage.unmeasured} that told no"
                f" usage, {usage.estimated} estimated."
            )
    yield ""


def _evidence(ledgers: Sequence[Proved]) -> Iterator[str]:
    yield "## Evidence"
    yield ""
    yield "| Ledger | Records | Head | Chain |"
    yield "|---|---:|---|---|"
    for ledger in ledgers:
        state = (
            "broken" if ledger.faults else "whole" if ledger.witnessed else "whole; its end was not witnessed"
        )
        yield f"| {code_span(ledger.name)} | {len(ledger.lines)} | {code_span(ledger.head[:16])} | {state} |"
    yield ""
    for ledger in ledgers:
        for fault in ledger.faults[:_MOST_ROWS]:
            yield f"- {code_span(ledger.slot, 40)}: {code_span(fault, 300)}"
    yield ""


def _declared(ledgers: Sequence[Proved]) -> dict[str, Any]:
    for ledger in ledgers:
        for record in ledger.records("task_declared"):
            return _object(_object(record.payload.get("envelope")).get("identity"))
    return {}


def _last_verdict(ledgers: Sequence[Proved]) -> str:
    found = [record for ledger in ledgers for record in ledger.records("verdict")]
    return _verdict(found[-1].payload.get("verdict")) if found else ""


def _verdict(value: object) -> str:
    return str(value) if value in {"Pass", "Fail", "Inconclusive"} else "unknown"


def _span(ledgers: Sequence[Proved]) -> tuple[datetime | None, datetime | None]:
    times = [line.record.time_utc for ledger in ledgers for line in ledger.lines if line.record]
    return (min(times), max(times)) if times else (None, None)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
