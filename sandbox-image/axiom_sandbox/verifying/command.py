"""A command runs in the clean room on a fresh copy of the candidate.

Its exit code and output come from a process that may run the agent's code: a weak claim, marked InProcess.
Pass: the exit code and every pattern are as asked. Fail: they are not; the program should lie in the workspace, and
does not; or it was killed or did not end in time in two runs, where the base's does. Inconclusive: the program could
not be started, the two runs disagree, the base does not end in time either, or it printed more than is kept and a pattern could
have been in what is lost.
Evidence: for each run how it ended and the end of its output.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

from axiom_sandbox.protocol.changes import EntryKind
from axiom_sandbox.protocol.criteria import CommandCriterion
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying.files import occurs
from axiom_sandbox.verifying.judging import Judgement, Ran, Run, Source, Subject, Verifier, environment, whole
from axiom_sandbox.verifying.rooms import Job, Outcome, Place
from axiom_sandbox.verifying.texts import clean, clean_bytes


class CommandVerifier(Verifier[CommandCriterion]):
    """Runs the command once; again, and on the base, when it did not end by itself."""

    strength = Strength.IN_PROCESS

    def prepare(
        self, spec: CommandCriterion, subject: Subject, place: Place, done: Sequence[Ran], entropy: bytes
    ) -> Run | None:
        """The candidate; once more after a run that did not end by itself; then the base."""
        if not done:
            return _run(spec, subject, place, Source.CANDIDATE)
        if any(ended_by_itself(ran.outcome) for ran in done):
            return None
        if len(done) == 1:
            return _run(spec, subject, place, Source.CANDIDATE)
        return _run(spec, subject, place, Source.BASE) if len(done) == 2 else None

    def judge(self, spec: CommandCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """By the first run, if it ended by itself; else by all three."""
        evidence = {"runs": [_describe(ran.outcome) for ran in done]}
        first = done[0].outcome
        if first.start_error:
            return Judgement(*_not_started(spec, subject, first), evidence)
        if ended_by_itself(first):
            return Judgement(*_by_result(spec, first), evidence)
        return Judgement(*_by_repetition(spec, [ran.outcome for ran in done]), evidence)


def ended_by_itself(outcome: Outcome) -> bool:
    """Whether there is a result: it ran, and neither the clock nor a signal ended it."""
    return bool(outcome.start_error) or (not outcome.timed_out and outcome.signal is None)


def _run(spec: CommandCriterion, subject: Subject, place: Place, source: Source) -> Run:
    tree = subject.base.tree if source is Source.BASE else subject.candidate.tree
    job = Job(
        purpose=f"command on the {source.value.lower()}",
        argv=tuple(spec.argv),
        env=environment(place),
        cwd=place.workspace,
        timeout=parse_duration(spec.timeout).total_seconds(),
    )
    return Run(whole(tree, source), job)


def _not_started(spec: CommandCriterion, subject: Subject, outcome: Outcome) -> tuple[Verdict, str]:
    program = spec.argv[0]
    if "/" in program and not program.startswith("/"):
        entry = subject.candidate.tree.entries.get(posixpath.normpath(program))
        if entry is None or (entry.kind is EntryKind.FILE and not entry.executable):
            problem = "is not there" if entry is None else "is not executable"
            return Verdict.FAIL, clean(f"{program} {problem} in the workspace.")
    return Verdict.INCONCLUSIVE, clean(
        f"{program} could not be started: {outcome.start_error}. "
        "Name a program that the class's image holds, or add it to the image."
    )


def _by_result(spec: CommandCriterion, outcome: Outcome) -> tuple[Verdict, str]:
    failures: list[str] = []
    unknown: list[str] = []
    lost = failures if not outcome.dropped else unknown
    if outcome.code != spec.exit_code:
        failures.append(f"It exited with code {outcome.code}, not {spec.exit_code}.")
    for pattern in spec.output_matches:
        if not occurs(pattern, outcome.output):
            lost.append(f"Its output has nothing that matches the pattern {pattern!r}.")
    failures += [
        f"Its output has something that matches the pattern {pattern!r}."
        for pattern in spec.output_excludes
        if occurs(pattern, outcome.output)
    ]
    unknown += spec.output_excludes if outcome.dropped else ()
    if not failures and unknown:
        kept, all_of_it = len(outcome.output), len(outcome.output) + outcome.dropped
        text = f"{_line(spec)} printed {all_of_it} bytes, of which the last {kept} are kept, so what stood before them is not known."
        return Verdict.INCONCLUSIVE, clean(f"{text} Let it print less, or ask for no pattern.")
    if not failures:
        return Verdict.PASS, clean(f"{_line(spec)} ended as asked, with exit code {outcome.code}.")
    tail = clean_bytes(outcome.output, 1200)
    return Verdict.FAIL, clean(
        "\n".join([f"{_line(spec)}:", *failures, *(["It printed at the end:", tail] if tail else [])])
    )


def _by_repetition(spec: CommandCriterion, outcomes: Sequence[Outcome]) -> tuple[Verdict, str]:
    ending = _ending(spec, outcomes[0])
    if ended_by_itself(outcomes[1]):
        return Verdict.INCONCLUSIVE, clean(
            f"{_line(spec)} {ending} in one of two runs, and ended by itself in the other."
        )
    if ended_by_itself(outcomes[2]):
        return Verdict.FAIL, clean(f"{_line(spec)} {ending}, twice; on the unchanged base it ends by itself.")
    return Verdict.INCONCLUSIVE, clean(
        f"{_line(spec)} {ending}, and so it does on the unchanged base. Raise the criterion's timeout or the limits."
    )


def _ending(spec: CommandCriterion, outcome: Outcome) -> str:
    return (
        f"did not end within {spec.timeout}" if outcome.timed_out else f"was ended by signal {outcome.signal}"
    )


def _line(spec: CommandCriterion) -> str:
    return clean(" ".join(spec.argv), 200)


def _describe(outcome: Outcome) -> dict[str, Any]:
    return {
        "code": outcome.code,
        "signal": outcome.signal,
        "timedOut": outcome.timed_out,
        "startError": clean(outcome.start_error, 500),
        "outputTail": clean_bytes(outcome.output),
    }
