"""Named tests of the base must pass on the candidate, and say something by passing.

One run on the base, before any code of the agent runs; then two on the candidate, each with a nonce, an order and a
test that must fail of its own.

Pass: on the base every `failToPass` id fails and every `passToPass` id passes; in both runs on the candidate every
test that these ids stand for is reported passed, with the nonce, its own body having run, and nothing was tampered
with; where an id stands for several tests, those of them that the base skips count neither way. Fail: in both runs an id does not pass (skipped, missing and unreported are not passed), or the code under test
meddled with the run; where nothing fails but tests that passed on the base, in two further runs, too. Inconclusive: the base does not behave as the criterion says, the two runs disagree, or tests
could not be run at all.
With `mutation` a candidate that passes is run on, each time with a small fault in a function that the agent changed
(`mutating`): too few that the named tests, or the agent's own, notice are a Fail, and none that could be tried Inconclusive.
Evidence: for each run the state of every id, pytest's status, what was tampered with; which of the agent's changes
the runs did not see. The strength is InProcess: the tests share a process with the code under test.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from axiom_sandbox.protocol.criteria import Isolation, MutationCheck, Runner, TestsCriterion
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.protocol.verdicts import Remark, Strength, Verdict
from axiom_sandbox.snapshots.paths import is_derived, printable
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.verifying.judging import (
    Guard,
    Judgement,
    Ran,
    Run,
    Source,
    Subject,
    Verifier,
    whole,
)
from axiom_sandbox.verifying.rooms import Job, Place
from axiom_sandbox.verifying.suites.adapters import Adapter
from axiom_sandbox.verifying.suites.coverage import in_total, of_changes
from axiom_sandbox.verifying.suites.mutating import Sample, sample_of
from axiom_sandbox.verifying.suites.pinning import Pins, disregarded, layout_of, name_of, pins_of
from axiom_sandbox.verifying.suites.reports import Reading, State, read_reports, set_aside, state_of
from axiom_sandbox.verifying.suites.with_go import GoAdapter
from axiom_sandbox.verifying.suites.with_jest import JestAdapter
from axiom_sandbox.verifying.suites.with_node import NodeAdapter
from axiom_sandbox.verifying.suites.with_pytest import PytestAdapter
from axiom_sandbox.verifying.texts import clean, clean_bytes, named

ADAPTERS: dict[Runner, Adapter] = {
    Runner.PYTEST: PytestAdapter(),
    Runner.NODE_TEST: NodeAdapter(),
    Runner.JEST: JestAdapter(),
    Runner.GO_TEST: GoAdapter(),
}
CHANNEL = "reports"
_RUNS = 2
_MORE_RUNS = 2
_PATIENCE, _START_SECONDS = 10, 30
"""How much slower tests may be while the code under test has a process of its own."""
_REFUSED = re.compile(
    r"PermissionError: \[Errno (?:1|13)\] [\w ]+ \(\S*/socket\.py:"
    r"|\b(?:listen|connect|bind) (?:EACCES|EPERM)\b"
    r"|\bsocket: (?:permission denied|operation not permitted)"
)
"""A socket that could not be made, as Python, Node.js and Go say it. Code under test may itself be about permissions."""
_NOT_INSTALLED = re.compile(r"\bNo module named\b")
_LOOPBACK = " If it needs a socket, set loopback: true."
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


@dataclass(frozen=True)
class _Result:
    """One run, read."""

    ran: Ran
    reading: Reading
    states: Mapping[str, tuple[State, str]]

    @property
    def passed(self) -> bool:
        return all(state is State.PASSED for state, _ in self.states.values())


class TestsVerifier(Verifier[TestsCriterion]):
    """Runs tests through a program of ours, which reports with a nonce."""

    __test__ = False  # pytest: not a test class

    strength = Strength.IN_PROCESS

    def prepare(
        self, spec: TestsCriterion, subject: Subject, place: Place, done: Sequence[Ran], entropy: bytes
    ) -> Run | None:
        """The base; then, if it behaves as the criterion says, the candidate twice."""
        if _unfit(spec, subject):
            return None
        wanted = _next(spec, subject, [ran for ran in done if not ran.run.about])
        if wanted is None and spec.mutation:
            return _next_of_mutation(spec, spec.mutation, subject, place, done, entropy)
        is_first_apart = wanted == (Source.BASE, Strength.PROCESS)
        patience = _PATIENCE * done[0].outcome.duration + _START_SECONDS if is_first_apart else math.inf
        return _run(spec, subject, place, *wanted, entropy, patience) if wanted else None

    def judge(self, spec: TestsCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """The base first; then whether both runs on the candidate prove the same."""
        if problem := _unfit(spec, subject):
            return Judgement(Verdict.INCONCLUSIVE, clean(problem))
        found = _sort(spec, [ran for ran in done if not ran.run.about])
        base = found.base
        unseen = disregarded(subject.base.tree, subject.changes, _pins(spec, subject))
        evidence = {
            "base": _describe(base),
            "runs": [_describe(result) for result in found.results],
            "again": [_describe(result) for result in found.again],
            "disregarded": [clean(path, 300) for path in unseen[:50]],
        }
        if subject.hidden:
            evidence["hidden"] = {"digest": subject.hidden.digest, "files": len(subject.hidden.paths)}
        if found.apart:
            evidence["apart"] = _describe(found.apart) | {
                "problem": clean(_apart_problem(spec, base, found.apart))
            }
        if problem := _base_problem(spec, base):
            return Judgement(Verdict.INCONCLUSIVE, clean(problem), evidence)
        if found.strength is Strength.IN_PROCESS and spec.isolation is Isolation.PROCESS:
            assert found.apart is not None
            why = _apart_problem(spec, base, found.apart)
            message = f"The tests need to share a process with the code under test: {why} Set isolation: InProcess, or Auto."
            return Judgement(Verdict.INCONCLUSIVE, clean(message), evidence)
        verdict, message = _compare(spec, found)
        strength = found.strength
        if spec.min_coverage_percent or spec.min_changed_coverage_percent:
            strength = Strength.IN_PROCESS  # which lines ran is known from the process that ran them
            missing, evidence["coverage"] = _coverage(spec, subject, found.results)
            if verdict is Verdict.PASS and missing:
                verdict, message = Verdict.FAIL, "\n".join(missing)
        remarks: tuple[Remark, ...] = ()
        if spec.mutation and verdict is Verdict.PASS:
            tried = _mutated(spec, spec.mutation, subject, found, done)
            evidence["mutation"] = tried.evidence
            strength, remarks = Strength.IN_PROCESS, tried.remarks
            if tried.verdict is Verdict.PASS:
                message += f"\n{tried.message}"
            else:
                verdict, message = tried.verdict, tried.message
        if unseen and verdict is not Verdict.INCONCLUSIVE and not spec.hidden:
            message += f"\nThe agent changed {named(unseen)}; the base's version was used."
        return Judgement(verdict, clean(message), evidence, remarks, strength=strength)


@dataclass(frozen=True)
class _Runs:
    """All runs of a criterion, by what they are for."""

    base: _Result
    """The base, in one process with its tests."""
    apart: _Result | None = None
    """The base in a process of its own."""
    results: tuple[_Result, ...] = ()
    """The candidate, as often as it is asked for."""
    second_opinion: _Result | None = None
    """The candidate in one process with its tests, after it failed in a process of its own."""
    again: tuple[_Result, ...] = ()
    """Further runs beside its tests, where nothing fails but tests that passed on the base: a test that now passes and now
    fails must not fail honest work."""

    @property
    def strength(self) -> Strength:
        """How the candidate was run."""
        return self.results[0].ran.run.strength if self.results else Strength.IN_PROCESS


def _sort(spec: TestsCriterion, done: Sequence[Ran]) -> _Runs:
    base = _read(spec, done[0])
    rest = [_read(spec, ran, base.reading) for ran in done[1:]]
    apart = rest.pop(0) if _tries_apart(spec) and rest else None
    results, later = rest[:_RUNS], rest[_RUNS:]
    is_apart = bool(later) and results[0].ran.run.strength is Strength.PROCESS
    return _Runs(base, apart, tuple(results), later.pop(0) if is_apart else None, tuple(later))


def _next(spec: TestsCriterion, subject: Subject, done: Sequence[Ran]) -> tuple[Source, Strength] | None:
    """The next run that is needed, if any."""
    if not done:
        return Source.BASE, Strength.IN_PROCESS
    found = _sort(spec, done)
    if _base_problem(spec, found.base):
        return None
    if found.apart is None and _tries_apart(spec):
        return Source.BASE, Strength.PROCESS
    alike = found.apart is not None and not _apart_problem(spec, found.base, found.apart)
    if not alike and spec.isolation is Isolation.PROCESS:
        return None
    if len(found.results) < _RUNS:
        return Source.CANDIDATE, Strength.PROCESS if alike else Strength.IN_PROCESS
    if alike and not found.second_opinion and not all(result.passed for result in found.results):
        return Source.CANDIDATE, Strength.IN_PROCESS
    if len(found.again) < _MORE_RUNS and _may_be_luck(spec, found):
        return Source.CANDIDATE, Strength.IN_PROCESS
    return None


def _may_be_luck(spec: TestsCriterion, found: _Runs) -> bool:
    """In every run what had to be mended passes, and other tests fail in the ordinary way."""
    if not spec.fail_to_pass:
        return False
    runs = [*found.results, *((found.second_opinion,) if found.second_opinion else ()), *found.again]
    return all(
        not result.passed
        and not _could_not_run(spec, result)
        and not _meddling(found.base, result)
        and all(result.states[test_id][0] is State.PASSED for test_id in spec.fail_to_pass)
        and all(state in (State.PASSED, State.FAILED) for state, _ in result.states.values())
        for result in runs
    )


def _tries_apart(spec: TestsCriterion) -> bool:
    wanted = spec.isolation is not Isolation.IN_PROCESS and not spec.loopback
    return wanted and ADAPTERS[spec.runner].may_be_apart


def _apart_problem(spec: TestsCriterion, base: _Result, apart: _Result) -> str:
    """Why the tests need to share a process with the code under test, as the base shows; empty: they do not."""
    reading = apart.reading
    if reading.unable:
        return f"{reading.unable}."
    if reading.beyond:
        return f"{min(reading.beyond)}."
    for test_id, (state, message) in base.states.items():
        other, told = apart.states[test_id]
        if state is not other or _kind_of(message) != _kind_of(told):
            return f"on the base {test_id} comes to something else in a process of its own."
    return ""


def _kind_of(message: str) -> str:
    """The exception that a message begins with."""
    return re.split(r"[\s:(]", message, maxsplit=1)[0]


def runner_digest(adapter: Adapter) -> str:
    """SHA-256 of our own copy of a runner, in hexadecimal."""
    return adapter.digest()


def _ids(spec: TestsCriterion) -> list[str]:
    return [*spec.fail_to_pass, *spec.pass_to_pass]


def _files(spec: TestsCriterion) -> list[str]:
    return list(dict.fromkeys(test_id.partition("::")[0] for test_id in _ids(spec)))


def _unfit(spec: TestsCriterion, subject: Subject) -> str:
    """Why nothing can be run; empty: it can."""
    if subject.hidden and subject.hidden.problem:
        return subject.hidden.problem
    adapter, files = ADAPTERS[spec.runner], _files(spec)
    if foreign := [file for file in files if not file.endswith(adapter.suffixes)]:
        endings = ", ".join(adapter.suffixes)
        return (
            f"{named(foreign)}: {adapter.name} runs tests in files that end in {endings}. "
            "Correct the ids, or the criterion's runner."
        )
    if spec.isolation is Isolation.PROCESS and not adapter.may_be_apart:
        return (
            f"isolation: with {adapter.name} the code under test shares a process with its tests, and Process asks for"
            " one of its own. Set InProcess or Auto, or decide by a Probe or by hidden tests."
        )
    absent = [file for file in files if file not in subject.base.tree.entries]
    if not absent:
        return ""
    where = (
        "Neither the base workspace nor the hidden tests have" if spec.hidden else "The base workspace has"
    )
    return (
        f"{where} {'' if spec.hidden else 'no '}{named(absent)}. The tests that are named must be part of it."
    )


def _pins(spec: TestsCriterion, subject: Subject) -> Pins:
    adapter = ADAPTERS[spec.runner]
    others = (
        *adapter.set_up_by(subject.base, _files(spec)),
        *(subject.hidden.paths if subject.hidden else ()),
    )
    return pins_of(subject.base.tree, _ids(spec), adapter.conventions, others)


def _run(
    spec: TestsCriterion,
    subject: Subject,
    place: Place,
    source: Source,
    strength: Strength,
    entropy: bytes,
    patience: float,
    own: Sequence[str] = (),
) -> Run:
    base, candidate = subject.base.tree, subject.candidate.tree
    pins = _pins(spec, subject)
    nonce, adapter = entropy[:32], ADAPTERS[spec.runner]
    layout = whole(base, Source.BASE) if source is Source.BASE else layout_of(base, candidate, pins)
    if own:
        layout = _with_own_tests(base, candidate, adapter)
    ours = [path for path, whose in layout.items() if whose is Source.BASE and pins.covers(path)]
    plan: dict[str, Any] = {
        "tests": _ids(spec),
        "files": _files(spec),
        "workspace": place.workspace,
        "nonce": nonce.hex(),
        "seed": entropy[32:].hex(),
        "ours": ours,
        "measured": _measured(spec, adapter, source, layout, pins),
    }
    plan |= adapter.plan(subject.base, _files(spec), place, layout, pins)
    if apart := strength is Strength.PROCESS:
        hidden = [path for path in ours if not adapter.conventions.is_settings(path)]
        plan |= {"process": True, "hidden": hidden, "folders": sorted(pins.folders)}
    job = Job(
        purpose=f"tests on the {source.value.lower()}{', in a process of its own' if apart else ''}",
        argv=adapter.argv(place),
        env=adapter.environment(place),
        cwd=place.workspace,
        timeout=min(parse_duration(spec.timeout).total_seconds(), patience),
        feeds={"plan": json.dumps(plan).encode()},
        channels=(CHANNEL,),
        loopback=spec.loopback,
    )
    reusable = f"{strength} {spec.model_dump_json()}" if source is Source.BASE else ""
    guard = Guard(pins.covers, pins.forbids)
    return Run(layout, job, nonce, guard, strength, discreet=spec.hidden is not None, reusable=reusable)


# --- faults in the changed functions ---


def _sample(spec: TestsCriterion, check: MutationCheck, subject: Subject) -> Sample:
    """The faults that are tried, in Python that is neither tests nor configuration."""
    pins, after = _pins(spec, subject), subject.candidate.files
    files = tuple(
        (
            change.path,
            subject.base.files.get(change.path, b""),
            after[change.path],
        )
        for change in subject.changes.changes
        if change.path in after
        and change.path.endswith(".py")
        and not pins.covers(change.path)
        and not pins.leaves_out(change.path)
    )
    seed = f"{subject.changes.base} {spec.model_dump_json()}".encode()
    return sample_of(files, check.max_mutants, seed)


def _with_own_tests(base: Tree, candidate: Tree, adapter: Adapter) -> dict[str, Source]:
    """All of the candidate, fixtures and helpers of its tests, too, but the base's configuration."""

    def is_configuration(path: str) -> bool:
        return adapter.conventions.steers(path) and name_of(path) != "conftest.py"

    layout = {
        path: whose
        for path, whose in whole(candidate, Source.CANDIDATE).items()
        if not is_configuration(path)
    }
    return layout | {
        path: Source.BASE for path in base.entries if is_configuration(path) and not is_derived(path)
    }


def _own_tests(spec: TestsCriterion, subject: Subject) -> list[str]:
    """Files of tests that the agent added or changed."""
    conventions, files = ADAPTERS[spec.runner].conventions, subject.candidate.files
    return [
        change.path
        for change in subject.changes.changes
        if change.path in files and conventions.is_test(change.path) and not is_derived(change.path)
    ]


def _steps(
    spec: TestsCriterion, check: MutationCheck, subject: Subject, done: Sequence[Ran]
) -> Iterator[_Step]:
    """What is to be run, as far as the runs so far tell: the control first, then each fault, until the time is over."""
    sample = _sample(spec, check, subject)
    if not sample.mutants:
        return
    own = _own_tests(spec, subject) if check.own_tests else []
    yield _Step("control", sample.control, own=False)
    if own:
        yield _Step("own tests", {}, own=True)
        yield _Step("control", sample.control, own=True)
    tried, aside = {ran.run.about: ran for ran in done if ran.run.about}, _aside(done)
    left = parse_duration(check.budget).total_seconds()
    for number, mutant in enumerate(sample.mutants, 1):
        for is_own in (False, True) if own else (False,):
            step = _Step(f"fault {number}", {mutant.path: mutant.text}, own=is_own)
            if left <= 0 and step.about not in tried:
                return
            yield step
            ran = tried.get(step.about)
            left -= ran.outcome.duration if ran else 0
            if ran is None or not _all_pass(ran, aside):
                break


@dataclass(frozen=True)
class _Step:
    """One run with files of ours in the candidate's place."""

    name: str
    over: Mapping[str, bytes]
    own: bool
    """Whether the agent's own tests are run, and not those that are named."""

    @property
    def about(self) -> str:
        return f"{self.name}{_BY_OWN_TESTS if self.own else ''}"


_BY_OWN_TESTS = ", by its own tests"
_OWN_TESTS = f"own tests{_BY_OWN_TESTS}"


_Aside = Mapping[str, Mapping[str, frozenset[str]]]
"""By whose tests they are ("": those that are named; _OWN_TESTS): what counts neither way."""


def _aside(done: Sequence[Ran]) -> _Aside:
    """What the first run of these tests skips: on the base, or, of the agent's own tests, without a fault."""
    first: dict[str, Ran] = {}
    for ran in done:
        first.setdefault(ran.run.about, ran)
    return {about: set_aside(_reading_of(first[about])) for about in ("", _OWN_TESTS) if about in first}


def _all_pass(ran: Ran, aside: _Aside) -> bool:
    """Whether every id of a run's own plan passed."""
    skipped = aside[_OWN_TESTS if ran.run.about.endswith(_BY_OWN_TESTS) else ""]
    plan, reading = json.loads(ran.run.job.feeds["plan"]), _reading_of(ran)
    return all(
        state_of(reading, test_id, aside=skipped.get(test_id, ()))[0] is State.PASSED
        for test_id in plan["tests"]
    )


def _next_of_mutation(
    spec: TestsCriterion,
    check: MutationCheck,
    subject: Subject,
    place: Place,
    done: Sequence[Ran],
    entropy: bytes,
) -> Run | None:
    """The next run with a fault, if the candidate passes without."""
    found = _sort(spec, [ran for ran in done if not ran.run.about])
    if (
        _base_problem(spec, found.base)
        or len(found.results) < _RUNS
        or _compare(spec, found)[0] is not Verdict.PASS
    ):
        return None
    tried, aside = {ran.run.about: ran for ran in done if ran.run.about}, _aside(done)
    for step in _steps(spec, check, subject, done):
        if ran := tried.get(step.about):
            if not step.name.startswith("fault") and not _all_pass(ran, aside):
                return None
            continue
        slowest = max(result.ran.outcome.duration for result in found.results)
        return _run_of(
            spec, subject, place, step, found.strength, entropy, _PATIENCE * slowest + _START_SECONDS
        )
    return None


def _run_of(
    spec: TestsCriterion,
    subject: Subject,
    place: Place,
    step: _Step,
    strength: Strength,
    entropy: bytes,
    patience: float,
) -> Run:
    own = _own_tests(spec, subject) if step.own else []
    asked = spec.model_copy(update={"fail_to_pass": own, "pass_to_pass": []}) if own else spec
    run = _run(
        asked,
        subject,
        place,
        Source.CANDIDATE,
        Strength.IN_PROCESS if own else strength,
        entropy,
        patience,
        own,
    )
    job = replace(run.job, purpose=f"tests on the candidate, {step.about}")
    return replace(run, job=job, over=step.over, about=step.about, guard=None if own else run.guard)


@dataclass(frozen=True)
class _Tried:
    """What came of the faults."""

    verdict: Verdict
    message: str
    evidence: dict[str, Any]
    remarks: tuple[Remark, ...] = ()


def _mutated(
    spec: TestsCriterion, check: MutationCheck, subject: Subject, found: _Runs, done: Sequence[Ran]
) -> _Tried:
    """How many faults the tests noticed."""
    sample = _sample(spec, check, subject)
    tried, aside = {ran.run.about: ran for ran in done if ran.run.about}, _aside(done)
    evidence: dict[str, Any] = {
        "functions": sample.functions,
        "possible": sample.possible,
        "unread": list(sample.unread[:20]),
    }
    if sample.unread:
        text = f"No faults can be put into {named(sample.unread)}, which is no Python of this version, or too large."
        return _Tried(Verdict.INCONCLUSIVE, text, evidence)
    if not sample.mutants:
        return _Tried(Verdict.PASS, "No function was changed in which there is room for a fault.", evidence)
    for about in _MUTATION_PROBLEMS:
        if (ran := tried.get(about)) and not _all_pass(ran, aside):
            evidence["broken"] = about
            return _Tried(Verdict.FAIL, _MUTATION_PROBLEMS[about], evidence)
    survivors, killed, undecided = [], 0, 0
    for number, mutant in enumerate(sample.mutants, 1):
        runs = [
            tried[about] for about in (f"fault {number}", f"fault {number}{_BY_OWN_TESTS}") if about in tried
        ]
        if not runs:
            continue
        if any(_could_not_run(spec, _read(spec, ran)) for ran in runs):
            undecided += 1
        elif all(_all_pass(ran, aside) for ran in runs):
            survivors.append(mutant)
        else:
            killed += 1
    count = killed + len(survivors)
    evidence |= {"tried": count, "killed": killed, "undecided": undecided}
    if not spec.hidden:
        evidence["survivors"] = [f"{one.place}: {clean(one.what, 200)}" for one in survivors]
    if not count:
        return _Tried(
            Verdict.INCONCLUSIVE, f"No fault could be tried within {check.budget}. Raise budget.", evidence
        )
    share = f"The tests notice {killed} of {count} faults in the changed functions ({killed * 100 // count}%)"
    if killed * 100 >= check.min_killed_percent * count:
        return _Tried(Verdict.PASS, f"{share}.", evidence)
    lines = [f"{share}, and {check.min_killed_percent}% are asked for."]
    remarks: tuple[Remark, ...] = ()
    if not spec.hidden:
        lines += [
            f"{one.place}: no test fails when {clean(one.what, 200)}." for one in survivors[:_SHOWN_SURVIVORS]
        ]
        remarks = tuple(
            Remark(path=printable(one.path), line=one.line, text=f"no test fails when {clean(one.what, 200)}")
            for one in survivors
        )
    return _Tried(Verdict.FAIL, "\n".join(lines), evidence, remarks)


_SHOWN_SURVIVORS = 8
_MUTATION_PROBLEMS = {
    "control": "The tests fail when the changed functions are written otherwise and mean the same: the code looks at its own"
    " text or compiled form. Let what it does depend on its input alone.",
    _OWN_TESTS: "The tests that the agent added or changed do not pass.",
    f"control{_BY_OWN_TESTS}": "The tests that the agent added or changed fail when the changed functions are written otherwise"
    " and mean the same: they look at the code's text or compiled form. Let them look at what it does.",
}


def _measured(
    spec: TestsCriterion, adapter: Adapter, source: Source, layout: Mapping[str, Source], pins: Pins
) -> list[str]:
    """The files whose coverage is asked for."""
    if source is Source.BASE or not (spec.min_coverage_percent or spec.min_changed_coverage_percent):
        return []
    return [path for path in layout if adapter.is_code(path) and not pins.covers(path)]


def _reading_of(ran: Ran) -> Reading:
    return read_reports(ran.outcome.channels.get(CHANNEL, b""), ran.run.nonce)


def _read(spec: TestsCriterion, ran: Ran, base: Reading | None = None) -> _Result:
    """A run, held against what the base's reported; without: the base's own."""
    reading = _reading_of(ran)
    required = (base.collected or {}) if base else {}
    aside = set_aside(base or reading)
    states = {
        test_id: state_of(reading, test_id, required.get(test_id, ()), aside.get(test_id, ()))
        for test_id in _ids(spec)
    }
    if spec.hidden:  # nobody is told more of these than whether they pass
        states = {test_id: (state, "") for test_id, (state, _) in states.items()}
    return _Result(ran, reading, states)


def _printed(result: _Result) -> str:
    """What a run printed at its end, where that may be told."""
    if result.ran.run.discreet:
        return "what it printed is not shown, as its tests are hidden."
    return clean_bytes(result.ran.outcome.output, 800)


# --- the base ---


def _base_problem(spec: TestsCriterion, base: _Result) -> str:
    """Why the base proves nothing; empty: it behaves as the criterion says."""
    if problem := _could_not_run(spec, base):
        return problem
    if base.reading.collected is None and base.reading.status is not None:
        return f"{ADAPTERS[spec.runner].name} could not begin on the unchanged base:\n{_printed(base)}"
    found = [_fail_to_pass_problem(test_id, *base.states[test_id]) for test_id in spec.fail_to_pass]
    found += [_pass_to_pass_problem(spec, base, test_id) for test_id in spec.pass_to_pass]
    told = [problem for problem in found if problem]
    if told and base.reading.collected is None and not base.ran.outcome.timed_out:
        told.append(f"It printed at the end:\n{_printed(base)}")
    return "\n".join(told)


def _could_not_run(spec: TestsCriterion, result: _Result) -> str:
    """Why the tests could not be run at all, which no code of the agent can have caused."""
    outcome, reading = result.ran.outcome, result.reading
    if outcome.start_error:
        return f"Python, which our runner needs, could not be started: {outcome.start_error}. Add it to the image of the clean room."
    if reading.unable:
        return f"The tests could not be run: {reading.unable}. {reading.cure}"
    if not reading.runner:
        return f"The test runner did not begin. It printed at the end:\n{_printed(result)}"
    if reading.runner != runner_digest(ADAPTERS[spec.runner]):
        return "The test runner in the clean room is not the one that belongs to this version."
    return ""


def _fail_to_pass_problem(test_id: str, state: State, message: str) -> str:
    if state is State.PASSED:
        return f"{test_id} passes on the unchanged base, so it proves nothing. Name a test that fails there."
    if state is State.MISSING:
        return f"{test_id} is no test of the base workspace. Correct the id."
    if state is State.SKIPPED:
        return f"{test_id} is skipped on the unchanged base ({message}), so it proves nothing."
    return ""


def _pass_to_pass_problem(spec: TestsCriterion, base: _Result, test_id: str) -> str:
    state, message = base.states[test_id]
    if state is State.PASSED:
        return ""
    if state is State.MISSING:
        return f"{test_id} is no test of the base workspace. Correct the id."
    if state is State.UNREPORTED and base.ran.outcome.timed_out:
        return f"The tests do not end within {spec.timeout} on the unchanged base. Raise the criterion's timeout."
    in_order = ", in random order" if ADAPTERS[spec.runner].order else ""
    cure = _LOOPBACK if not spec.loopback and _REFUSED.search(message) else ""
    if _NOT_INSTALLED.search(message):
        cure = "\nWhat tests need must be in the image of the clean room; without an image, in the Python that runs axiom."
    return f"{test_id} does not pass on the unchanged base{in_order}: {_because(base, state, message)}{cure}"


# --- the candidate ---


def _compare(spec: TestsCriterion, found: _Runs) -> tuple[Verdict, str]:
    base, results = found.base, found.results
    if found.second_opinion:
        return _with_second_opinion(spec, found, found.second_opinion)
    return _compare_runs(spec, base, [*results, *found.again])


def _coverage(
    spec: TestsCriterion, subject: Subject, results: Sequence[_Result]
) -> tuple[list[str], list[dict[str, int]]]:
    """What is missing, in sentences, and the percentages of each run."""
    missing, percentages = [], []
    for result in results:
        covered = result.reading.coverage or {}
        total = in_total(covered)
        changed = of_changes(covered, subject.base, subject.candidate)
        percentages.append({"total": total.percent, "changed": changed.percent, "lines": total.lines})
        for share, least, what in (
            (total, spec.min_coverage_percent, "all lines"),
            (changed, spec.min_changed_coverage_percent, "the changed lines"),
        ):
            if least and (result.reading.coverage is None or share.ran * 100 < least * share.lines):
                where = "" if spec.hidden else f" Not run: {named(share.missed)}."
                missing.append(
                    f"The tests run {share.percent}% of {what}, and {least}% are asked for.{where}"
                )
    return list(dict.fromkeys(missing)), percentages


def _with_second_opinion(spec: TestsCriterion, found: _Runs, other: _Result) -> tuple[Verdict, str]:
    """In a process of its own the candidate does not pass. That counts only if it does not pass beside its tests, either:
    honest code may do what cannot be passed on, and there nobody is failed for it.
    """
    beside = _compare_runs(spec, found.base, [other, *found.again])
    if beside[0] is not Verdict.PASS:
        return beside
    verdict, message = _compare_runs(spec, found.base, found.results)
    if verdict is Verdict.INCONCLUSIVE:
        return verdict, message
    beyond = sorted(why for result in found.results for why in result.reading.beyond)
    why = f"{beyond[0]}. " if beyond and not spec.hidden else ""
    return (
        Verdict.INCONCLUSIVE,
        f"The tests pass while the code under test shares a process with them, where it can see what is expected, and do not"
        f" pass while it has one of its own. {why}A person should look at the change. There:\n{message}",
    )


def _compare_runs(spec: TestsCriterion, base: _Result, results: Sequence[_Result]) -> tuple[Verdict, str]:
    for result in results:
        if problem := _could_not_run(spec, result):
            return Verdict.INCONCLUSIVE, problem
    if meddling := [text for result in results for text in _meddling(base, result)]:
        told = ["The code under test meddled with its tests."] if spec.hidden else dict.fromkeys(meddling)
        return Verdict.FAIL, "\n".join(told)
    if all(result.passed for result in results):
        aside = len(frozenset().union(*set_aside(base.reading).values()))
        unasked = f", but for {aside} that the base skips" if aside and not spec.hidden else ""
        message = f"{len(_ids(spec))} tests pass in {_RUNS} runs{ADAPTERS[spec.runner].order}{unasked}."
        return Verdict.PASS, message
    if any(result.passed for result in results):
        failing = next(result for result in results if not result.passed)
        return Verdict.INCONCLUSIVE, f"{len(results)} runs disagree. In one of them:\n{_failures(failing)}"
    if base.ran.outcome.timed_out and all(result.ran.outcome.timed_out for result in results):
        return (
            Verdict.INCONCLUSIVE,
            f"The tests do not end within {spec.timeout}, neither on the unchanged base nor now. "
            "Raise the criterion's timeout if they need longer.",
        )
    if not spec.loopback and any(_is_refused_everywhere(base, results, test_id) for test_id in _ids(spec)):
        return Verdict.INCONCLUSIVE, f"{_failures(results[0])}\nSo it is on the unchanged base.{_LOOPBACK}"
    return Verdict.FAIL, _failures(results[0])


def _is_refused_everywhere(base: _Result, results: Sequence[_Result], test_id: str) -> bool:
    """The room keeps a test from something, whatever the code is like."""
    found = [result.states[test_id] for result in (base, *results)]
    return all(state is State.FAILED and _REFUSED.search(message) for state, message in found)


def _meddling(base: _Result, result: _Result) -> list[str]:
    """What only code under test can have done to its own verification."""
    reading, found = result.reading, []
    if replaced := sorted(reading.tampered - base.reading.tampered):
        found.append(
            f"The code under test replaced {named(replaced)}. Change the program, not what tests it."
        )
    if altered := [path for path in result.ran.altered if path not in base.ran.altered]:
        found.append(f"The code under test changed {named(altered)} while the tests ran.")
    if eased := [
        name for name, test in reading.tests.items() if test.under != _under(base, name, test.under)
    ]:
        found.append(f"The code under test changed how much is tried in {named(eased)}.")
    if reading.forged:
        found.append("The code under test wrote results of its own making.")
    if any(outcome not in {"", "failed"} for outcome in reading.sentinels.values()):
        found.append("With the code under test, tests pass whatever they find.")
    unproven = [test_id for test_id, (state, _) in result.states.items() if state is State.UNPROVEN]
    if unproven := [test_id for test_id in unproven if not _is_unproven_on(base, test_id)]:
        found.append(f"{named(unproven)} passed without its own code being what ran.")
    return found


def _under(base: _Result, name: str, otherwise: str) -> str:
    report = base.reading.tests.get(name)
    return report.under if report else otherwise


def _is_unproven_on(base: _Result, test_id: str) -> bool:
    return base.states[test_id][0] is State.UNPROVEN


def _failures(result: _Result) -> str:
    """What failed and why; ids with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for test_id, (state, message) in result.states.items():
        if state is not State.PASSED:
            shown = test_id.partition("[")[0] if result.ran.run.discreet else test_id
            reasons.setdefault(_because(result, state, message), []).append(shown)
    found = [f"{named(ids)} {reason}" for reason, ids in reasons.items()]
    return "\n".join([*found[:10], *([f"… and {len(found) - 10} more."] if len(found) > 10 else [])])


def _because(result: _Result, state: State, message: str) -> str:
    message = _ADDRESS.sub("0x…", message)  # else the same failure would read differently each time
    match state:
        case State.FAILED:
            return f"failed: {message}" if message else "failed."
        case State.SKIPPED:
            return f"was skipped, which does not count as passed: {message}".rstrip(": ")
        case State.MISSING:
            return "was not found."
        case State.UNREPORTED:
            return f"gave no result: {_ending(result)}"
        case State.PASSED | State.UNPROVEN:
            return "passed without its own code being what ran."


def _ending(result: _Result) -> str:
    outcome, hanging = result.ran.outcome, result.reading.hanging()
    where = f" in {hanging}" if hanging else " while the tests were collected"
    if result.ran.run.discreet:
        where = ""
    if outcome.timed_out:
        return f"the run did not end within {result.ran.run.job.timeout:g} s{where and f'; it was{where}'}."
    if outcome.signal is not None:
        return f"the process was ended by signal {outcome.signal}{where}."
    return f"the process ended early, with exit code {outcome.code}{where}."


def _describe(result: _Result) -> dict[str, Any]:
    reading = result.reading
    return {
        "states": {test_id: state.value for test_id, (state, _) in result.states.items()},
        "status": reading.status,
        "tampered": [clean(name, 200) for name in sorted(reading.tampered)],
        "sentinels": len(reading.sentinels),
        "forged": reading.forged,
        "strength": result.ran.run.strength.value,
        "beyond": [clean(why, 300) for why in sorted(reading.beyond)[:10]],
        "altered": [clean(path, 300) for path in result.ran.altered[:50]],
        "timedOut": result.ran.outcome.timed_out,
    }
