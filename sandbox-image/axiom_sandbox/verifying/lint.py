"""A linter reads the candidate's code; nothing of it runs.

The room holds the code and the base's configuration files alone, so no configuration, ignore file or cache of the
candidate is there to be read. Comments that silence the linter are honoured as far as the base had silenced the same line
(or as the criterion says): the linter runs with and without them, on both sides, and the results are compared here.

Pass: no more findings than `maxFindings`. Fail: more; or a changed file cannot be linted (a syntax error, or text that is
no UTF-8, which the linter would skip); or the linter breaks down on the candidate and not on the base. Inconclusive: the
linter is not in the image, does not end in time, or breaks down on the base, too.
Evidence: how many findings count, by rule, and the first of them with path and line.

A linter's result depends on its input alone, so one run of each kind is enough.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import dirname, join, normpath
from typing import Any

from axiom_sandbox.protocol.changes import EntryKind
from axiom_sandbox.protocol.criteria import LintCriterion, Suppressions
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.protocol.verdicts import Remark, Verdict
from axiom_sandbox.snapshots.paths import is_derived, is_git, printable
from axiom_sandbox.verifying.globs import matches
from axiom_sandbox.verifying.judging import Judgement, Ran, Run, Side, Source, Subject, Verifier, environment
from axiom_sandbox.verifying.rooms import Job, Outcome, Place
from axiom_sandbox.verifying.texts import clean, clean_bytes, named

CODE = (".py", ".pyi", ".pyw")
CONFIGURATIONS = ("pyproject.toml", "ruff.toml", ".ruff.toml")
UNREADABLE = ("invalid-syntax", "not-utf-8", "symlink")
_CHANNEL = "findings"
_MAX_BYTES = 8 * 1024 * 1024
_SHOWN = 8
_LINE_END = re.compile(rb"\r\n|\r|\n")
_OTHER_SUPPRESSION = re.compile(rb"#\s*(?:ruff:\s*)?isort:\s*(?:skip|off|dont-add|split)", re.IGNORECASE)
"""What --ignore-noqa leaves in force."""


@dataclass(frozen=True)
class Finding:
    """One complaint."""

    path: str
    line: int
    code: str
    message: str
    text: bytes
    """The line itself, without space around it."""

    @property
    def key(self) -> tuple[str, bytes]:
        """Equal for the same complaint about the same line, wherever that was moved."""
        return self.code, self.text


@dataclass(frozen=True)
class _Kind:
    """One of the four runs."""

    source: Source
    honours: bool
    """Whether comments silence it."""


class LintVerifier(Verifier[LintCriterion]):
    """Runs the linter as often as the criterion makes necessary."""

    def prepare(
        self, spec: LintCriterion, subject: Subject, place: Place, done: Sequence[Ran], entropy: bytes
    ) -> Run | None:
        """The candidate; what has to be subtracted from it, only if there is anything."""
        kinds, last = _kinds(spec), done[-1] if done else None
        if last and _broke(last.outcome):
            # The same on the base, to tell what the candidate broke from what is broken here.
            again = not last.run.reusable and not last.outcome.start_error
            return (
                _run(spec, subject, place, _Kind(Source.BASE, kinds[len(done) - 1].honours))
                if again
                else None
            )
        if len(done) >= len(kinds) or any(_broke(ran.outcome) for ran in done):
            return None
        if kinds[len(done)].source is Source.BASE and not any(_records(ran.outcome) for ran in done):
            return None
        return _run(spec, subject, place, kinds[len(done)])

    def judge(self, spec: LintCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """What counts, against what may be."""
        evidence: dict[str, Any] = {"runs": [_describe(ran) for ran in done]}
        if broken := next((ran for ran in done if _broke(ran.outcome)), None):
            return Judgement(*_broken(spec, broken, done[-1]), evidence)
        found = _counted(spec, subject, dict(zip(_kinds(spec), done, strict=False)))
        counts = Counter(finding.code for finding in found)
        evidence |= {"findings": len(found), "rules": dict(sorted(counts.items()))}
        remarks = tuple(
            Remark(path=printable(one.path), line=one.line, text=clean(f"{one.code} {one.message}", 500))
            for one in found
        )
        unreadable = [one for one in found if one.code in UNREADABLE and _is_new(subject, one.path)]
        if not unreadable and len(found) <= spec.max_findings:
            text = f"{len(found)} findings, no more than {spec.max_findings}." if found else "No finding."
            return Judgement(Verdict.PASS, text, evidence, remarks)
        lines = [f"{remark.path}:{remark.line} {remark.text}" for remark in remarks[:_SHOWN]]
        head = f"{len(found)} findings count, and {spec.max_findings} may: {named(_by_count(counts))}."
        if unreadable:
            head = f"{printable(unreadable[0].path)} cannot be linted. {head}"
        rest = [f"… and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        return Judgement(Verdict.FAIL, clean("\n".join([head, *lines, *rest])), evidence, remarks)


def _kinds(spec: LintCriterion) -> list[_Kind]:
    """Those of the candidate first."""
    honours = {Suppressions.ALL: [True], Suppressions.NONE: [False], Suppressions.OF_THE_BASE: [True, False]}
    sides = [Source.CANDIDATE]
    if spec.only_new or spec.suppressions is Suppressions.OF_THE_BASE:
        sides.append(Source.BASE)
    return [_Kind(source, each) for source in sides for each in honours[spec.suppressions]]


def _run(spec: LintCriterion, subject: Subject, place: Place, kind: _Kind) -> Run:
    side = subject.base if kind.source is Source.BASE else subject.candidate
    configurations = {} if spec.select else configurations_of(subject.base)
    layout = dict.fromkeys(_linted(spec, side), kind.source) | dict.fromkeys(configurations, Source.BASE)
    argv = [
        "ruff", "check", "--no-cache", "--no-fix", "--no-respect-gitignore", "--quiet", "--exit-zero",
        "--output-format", "json-lines", "--output-file", "/dev/fd/3",
    ]  # fmt: skip
    if spec.select:
        argv += [
            "--isolated",
            "--select",
            ",".join(spec.select),
            *(["--ignore", ",".join(spec.ignore)] if spec.ignore else []),
        ]
    # Else code could hide in venv/, node_modules/ and the like, or under another suffix.
    ours = {"exclude": [], "include": [f"*{suffix}" for suffix in CODE]}
    for option, value in ours.items():
        if not any(option in options for options in configurations.values()):
            argv += ["--config", f"{option}={json.dumps(value)}"]
    if not kind.honours:
        argv.append("--ignore-noqa")
    argv.append(".")
    job = Job(
        purpose=f"lint of the {kind.source.value.lower()}{'' if kind.honours else ', suppressions off'}",
        argv=tuple(argv),
        env=environment(place),
        cwd=place.workspace,
        timeout=parse_duration(spec.timeout).total_seconds(),
        channels=(_CHANNEL,),
        max_channel=_MAX_BYTES,
    )
    of_the_base = kind.source is Source.BASE
    return Run(layout, job, reusable=f"lint {spec.exclude} {argv}" if of_the_base else "")


def configurations_of(base: Side) -> dict[str, Mapping[str, Any]]:
    """The base's configuration files of the linter, and what they extend: path → the linter's own options."""
    found: dict[str, Mapping[str, Any]] = {}
    waiting = [path for path in base.tree.entries if path.rpartition("/")[2] in CONFIGURATIONS]
    while waiting:
        path = waiting.pop()
        if path in found or path not in base.files or is_derived(path) or is_git(path):
            continue
        found[path] = options = _options(path, base.files[path])
        if isinstance(extended := options.get("extend"), str):
            waiting.append(normpath(join(dirname(path), extended)))
    return found


def _options(path: str, content: bytes) -> Mapping[str, Any]:
    try:
        whole: Any = tomllib.loads(content.decode())
    except ValueError:
        return {}  # the linter will say what is wrong with it
    if path.rpartition("/")[2] == "pyproject.toml":
        tool = whole.get("tool")
        whole = tool.get("ruff", {}) if isinstance(tool, dict) else {}
    return whole if isinstance(whole, dict) else {}


def _linted(spec: LintCriterion, side: Side) -> Iterator[str]:
    for path, entry in side.tree.entries.items():
        is_code = (
            entry.kind is EntryKind.FILE and path.endswith(CODE) and not is_derived(path) and not is_git(path)
        )
        if is_code and not matches(printable(path), spec.exclude):
            yield path


# --- what counts ------------------------------------------------------------------------------------------------------


def _counted(spec: LintCriterion, subject: Subject, runs: Mapping[_Kind, Ran]) -> list[Finding]:
    """The candidate's findings, without what the base may excuse."""

    def found(source: Source, honours: bool) -> list[Finding]:
        ran = runs.get(_Kind(source, honours))
        side = subject.base if source is Source.BASE else subject.candidate
        return list(_findings(ran, side)) if ran else []

    candidate = _united(found(Source.CANDIDATE, True), found(Source.CANDIDATE, False))
    base = found(Source.BASE, False)
    honoured = Counter(finding.key for finding in found(Source.BASE, True))
    excused: Counter[tuple[str, bytes]] = Counter()
    if spec.suppressions is Suppressions.OF_THE_BASE:
        excused = Counter(finding.key for finding in base) - honoured
    if spec.only_new:
        excused |= Counter(finding.key for finding in base) | honoured
    own = _own_findings(spec, subject)
    return sorted(
        [*_without(candidate, excused), *own],
        key=lambda one: (not _is_new(subject, one.path), one.path, one.line),
    )


def _without(findings: Sequence[Finding], excused: Counter[tuple[str, bytes]]) -> Iterator[Finding]:
    left = Counter(excused)
    for finding in findings:
        if left[finding.key] > 0:
            left[finding.key] -= 1
        else:
            yield finding


def _united(one: Sequence[Finding], other: Sequence[Finding]) -> list[Finding]:
    """Those of both: a complaint about a comment that silences is made only where comments count."""
    return list((Counter(one) | Counter(other)).elements())


def _own_findings(spec: LintCriterion, subject: Subject) -> Iterator[Finding]:
    """What the linter passes over: files that are no UTF-8, and comments that silence it in ways of their own."""
    for path in _linted(spec, subject.candidate):
        if _is_new(subject, path) and not _is_utf8(subject.candidate.files[path]):
            yield Finding(path, 1, "not-utf-8", "the file is not UTF-8, so the linter skips it", b"")
    for path, entry in subject.candidate.tree.entries.items():
        is_code = entry.kind is EntryKind.SYMLINK and path.endswith(CODE)
        if is_code and subject.base.tree.entries.get(path) != entry:
            target = normpath(join(dirname(path), entry.target))
            if not target.endswith(CODE) or target not in subject.candidate.files:
                yield Finding(path, 1, "symlink", "what this symlink leads to is not linted", b"")
    if spec.suppressions is Suppressions.ALL:
        return
    excused = spec.only_new or spec.suppressions is Suppressions.OF_THE_BASE
    silenced = Counter(text for _, _, text in _silencing(spec, subject.base)) if excused else Counter()
    for path, line, text in _silencing(spec, subject.candidate):
        if silenced[text] > 0:
            silenced[text] -= 1
        else:
            yield Finding(path, line, "suppression", "a comment silences the sorting of imports", text)


def _silencing(spec: LintCriterion, side: Side) -> Iterator[tuple[str, int, bytes]]:
    for path in _linted(spec, side):
        content = side.files[path]
        if b"isort" not in content:
            continue
        for number, line in enumerate(_LINE_END.split(content), 1):
            if _OTHER_SUPPRESSION.search(line):
                yield path, number, line.strip()


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _findings(ran: Ran, side: Side) -> Iterator[Finding]:
    lines: dict[str, list[bytes]] = {}
    for record in _records(ran.outcome):
        path = str(record.get("filename", "")).removeprefix(f"{ran.run.job.cwd}/")
        row = _row(record)
        if path not in lines:
            lines[path] = _LINE_END.split(side.files[path]) if path in side.files else []
        text = lines[path][row - 1].strip() if 0 < row <= len(lines[path]) else b""
        code = str(record.get("code") or "invalid-syntax")
        yield Finding(path, row, code, str(record.get("message", "")), text)


def _row(record: Mapping[str, Any]) -> int:
    location = record.get("location")
    row = location.get("row") if isinstance(location, dict) else None
    return row if isinstance(row, int) and row > 0 else 1


def _records(outcome: Outcome) -> list[dict[str, Any]]:
    found = []
    for line in outcome.channels.get(_CHANNEL, b"").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def _is_new(subject: Subject, path: str) -> bool:
    """Whether the base has no file of this content, under whatever name."""
    entry = subject.candidate.tree.entries.get(path)
    return entry is not None and entry.digest not in {
        each.digest for each in subject.base.tree.entries.values()
    }


# --- runs that gave no result -----------------------------------------------------------------------------------------


def _broke(outcome: Outcome) -> bool:
    return (
        bool(outcome.start_error)
        or outcome.timed_out
        or outcome.code != 0
        or len(outcome.channels.get(_CHANNEL, b"")) >= _MAX_BYTES
    )


def _broken(spec: LintCriterion, broken: Ran, last: Ran) -> tuple[Verdict, str]:
    outcome = broken.outcome
    if outcome.start_error:
        return Verdict.INCONCLUSIVE, clean(
            f"ruff could not be started: {outcome.start_error}. Add ruff to the image of the clean room."
        )
    if len(outcome.channels.get(_CHANNEL, b"")) >= _MAX_BYTES:
        problem = "has more findings than can be read"
    elif outcome.timed_out:
        problem = f"is not linted within {spec.timeout}"
    else:
        problem = "cannot be linted"
    said = clean_bytes(outcome.output, 800)
    if broken.run.reusable or last is broken or _broke(last.outcome):
        return Verdict.INCONCLUSIVE, clean(f"The base {problem}. {said}")
    return Verdict.FAIL, clean(f"The result {problem}, and the base is. {said}")


def _describe(ran: Ran) -> dict[str, Any]:
    outcome = ran.outcome
    return {
        "purpose": ran.run.job.purpose,
        "code": outcome.code,
        "timedOut": outcome.timed_out,
        "startError": clean(outcome.start_error, 500),
        "findings": len(_records(outcome)),
    }


def _by_count(counts: Counter[str]) -> list[str]:
    return [f"{count} × {code}" for code, count in counts.most_common()]
