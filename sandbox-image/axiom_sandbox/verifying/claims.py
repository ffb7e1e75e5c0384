"""What an agent stated, held against what is known: its ledger, the captured workspace, and what the criteria came to. Pure.

A statement disagrees only where something shows that it is wrong: an honest agent that removed a file again, or that worked
in another sandbox before, has none. Criteria are decided without it; it is told beside the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from axiom_sandbox.protocol.agents import Statement, StatementKind
from axiom_sandbox.protocol.changes import CandidateSource, ChangeKind
from axiom_sandbox.protocol.conduct import Conduct, ToolUse
from axiom_sandbox.protocol.criteria import CriterionType
from axiom_sandbox.protocol.events import Compared
from axiom_sandbox.protocol.verdicts import ClaimAbout, ClaimDisagreement, CriterionResult, Verdict
from axiom_sandbox.snapshots.paths import is_derived, is_git
from axiom_sandbox.verifying.judging import Subject
from axiom_sandbox.verifying.running_files import flattened, wrapped
from axiom_sandbox.verifying.shell_lines import steps_of
from axiom_sandbox.verifying.texts import clean
from axiom_sandbox.verifying.tool_use import command_of, program_of

MAX_DISAGREEMENTS = 8
_LONGEST = 500
_TESTING = re.compile(
    r"(?:python[\d.]*\s+(?:-\w+\s+)*-m\s+|(?:npx|bunx)\s+(?:-\S+\s+)*|(?:yarn|pnpm)\s+(?:exec\s+|run\s+)?)?"
    r"(?:pytest|py\.test|unittest|tox|nox|jest|vitest|mocha|ctest|rspec|phpunit"
    r"|(?:go|cargo|npm|yarn|pnpm|bun|deno|dotnet|mvn|gradlew?|make)\s+(?:run\s+|nextest\s+|-\S+\s+)*(?:test|check)\w*"
    r"|node\s+(?:\S+\s+)*--test)\b"
)
"""A command that runs tests, from its program on."""
_TESTING_SOMEWHERE = re.compile(rf"(?:^|[\s;&|(])(?:{_TESTING.pattern})")
_SELDOM_FAIL = frozenset({"cd", "export", "set", "source", ".", "echo", "printf", "true", ""})

_Found = tuple[bool | None, str]
"""Whether a statement agrees with the evidence, and what that says."""


def compare(subject: Subject, results: Sequence[CriterionResult]) -> tuple[Compared, ...]:
    """Every statement of the last claim, in its order."""
    conduct = subject.conduct
    if conduct is None:
        return ()
    found = ((one, _hold(one, conduct, subject, results)) for one in dict.fromkeys(conduct.statements))
    return tuple(
        Compared(statement=statement, agrees=agrees, found=clean(text, _LONGEST))
        for statement, (agrees, text) in found
    )


def disagreements(compared: Iterable[Compared]) -> tuple[ClaimDisagreement, ...]:
    """The first statements that the evidence says otherwise of; of each thing one."""
    found = {
        (one.statement.kind, one.statement.subject): ClaimDisagreement(
            about=ClaimAbout(one.statement.kind.value), claimed=clean(one.statement.subject), found=one.found
        )
        for one in compared
        if one.agrees is False
    }
    return tuple(found.values())[:MAX_DISAGREEMENTS]


def _hold(
    statement: Statement, conduct: Conduct, subject: Subject, results: Sequence[CriterionResult]
) -> _Found:
    match statement.kind:
        case StatementKind.TESTS_PASS:
            return _tests_pass(conduct, results)
        case StatementKind.COMMAND_RAN:
            return (_ran_in_words if statement.in_words else _ran)(statement, conduct)
        case _ if subject.candidate_source is CandidateSource.MESSAGE:
            return None, "the workspace was not captured: what the final message holds was verified"
        case StatementKind.FILE_WRITTEN:
            return _written(statement, conduct, subject)
        case StatementKind.FILE_DELETED:
            return _deleted(statement, subject)


# --- files ------------------------------------------------------------------------------------------------------------


def _written(statement: Statement, conduct: Conduct, subject: Subject) -> _Found:
    if not statement.ok or (path := _own_path(statement.subject)) is None:
        return None, ""
    is_it = _named(path, loosely=statement.in_words)
    changes = [change for change in subject.changes.changes if is_it(change.path)]
    if any(change.kind is not ChangeKind.DELETED for change in changes):
        return True, "it was changed"
    if any(is_it(finding.path) for finding in subject.changes.findings):
        return None, "it was left out of the capture"
    is_there = any(is_it(one) for one in subject.candidate.tree.entries)
    if statement.in_words:
        if changes:
            return None, "it was deleted"
        if is_there:
            return False, "the file is as it was in the base: nothing in it was changed"
        return False, "there is no such file in the workspace as it was captured"
    if is_there or any(is_it(file.path) for file in conduct.files):
        return None, "it is there, or was for a while"
    if not conduct.watched or conduct.file_gaps or conduct.passing or conduct.begun_elsewhere:
        return None, "not all changes of the workspace were seen"
    return False, "no such file was seen in the workspace, neither when it was captured nor before"


def _deleted(statement: Statement, subject: Subject) -> _Found:
    if (path := _own_path(statement.subject)) is None:
        return None, ""
    is_it = _named(path, loosely=True)
    if any(change.kind is ChangeKind.DELETED and is_it(change.path) for change in subject.changes.changes):
        return True, "it was deleted"
    if any(is_it(one) for one in subject.candidate.tree.entries):
        return False, "the file is still there"
    return None, "there was no such file in the base"


def _own_path(text: str) -> str | None:
    """None: it lies outside the workspace, or where nothing is captured."""
    path = text.removeprefix("./")
    if path.startswith(("/", "~", "..")) or is_derived(path) or is_git(path):
        return None
    return path


def _named(path: str, *, loosely: bool) -> Callable[[str], bool]:
    """Words name a file by the end of its path, too."""
    return lambda other: other == path or (loosely and other.endswith(f"/{path}"))


# --- commands ---------------------------------------------------------------------------------------------------------


def _ran(statement: Statement, conduct: Conduct) -> _Found:
    """A tool said how its command ended, and so does its exit code, where there is one."""
    uses = [use for use in conduct.tools if command_of(use).startswith(statement.subject)]
    if not statement.ok or not uses or any(use.ok and use.exit_code in (None, 0) for use in uses):
        return None, ""
    codes = [use.exit_code for use in uses if use.exit_code is not None]
    return (False, f"its exit code was {codes[-1]}") if codes else (None, "")


def _ran_in_words(statement: Statement, conduct: Conduct) -> _Found:
    said, commands = " ".join(statement.subject.split()), [*filter(None, map(command_of, conduct.tools))]
    program = program_of(said)
    if any(said in " ".join(one.split()) or (program and program in one) for one in commands):
        return True, "it is in the ledger"
    if not _is_whole(conduct):
        return None, "not all that was run is known"
    return False, f"the ledger tells of {len(commands)} commands, and of none like it"


def _tests_pass(conduct: Conduct, results: Sequence[CriterionResult]) -> _Found:
    """The verifiers' own runs decide; where they ran none, the agent's last one."""
    tests = [result for result in results if result.type is CriterionType.TESTS]
    if failed := [result for result in tests if result.verdict is Verdict.FAIL]:
        return False, f"{failed[0].name}: {failed[0].message}"
    if any(result.verdict is Verdict.PASS for result in tests):
        return True, "the verifiers ran tests, and they passed"
    uses = [(use, command) for use in conduct.tools if (command := command_of(use))]
    runs = [(use, command, run) for use, command in uses if (run := _run_of_tests(command))]
    if runs:
        use, command, run = runs[-1]
        if _failed(use) and run.fails_by_itself:
            return False, f"the last run of tests in the ledger failed{_how(use)}: {command[:200]}"
        if not _failed(use) and run.decides:
            return True, "the last run of tests in the ledger ended well"
        return (
            None,
            f"how the last run of tests ended is not told by the exit code of its line: {command[:200]}",
        )
    if uses or not _is_whole(conduct):
        return None, "whether tests were run is not known"
    return False, "the ledger tells of no command at all, and the verifiers had no tests to run"


@dataclass(frozen=True)
class _Run:
    """A line in which tests are run."""

    decides: bool
    """If it ended well, so did they."""
    fails_by_itself: bool
    """If it failed, so did they."""


def _run_of_tests(command: str) -> _Run | None:
    """A line that is not understood counts by its words alone."""
    steps = [*flattened(steps_of(command, "/"))]
    if not steps:
        return _Run(True, True) if _TESTING_SOMEWHERE.search(command) else None
    commands = [(" ".join(wrapped(step.words)), step) for step in steps]
    tests = [step for words, step in commands if _TESTING.match(words)]
    if not tests:
        return None
    others = {words.partition(" ")[0] for words, _ in commands if not _TESTING.match(words)}
    return _Run(tests[-1].decides, tests[-1].decides and others <= _SELDOM_FAIL)


def _failed(use: ToolUse) -> bool:
    return bool(use.exit_code) or (use.exit_code is None and not use.ok and use.returned is not None)


def _how(use: ToolUse) -> str:
    return "" if use.exit_code is None else f" with exit code {use.exit_code}"


def _is_whole(conduct: Conduct) -> bool:
    """All that the agent ran in this task is known."""
    return conduct.speaks and not (conduct.gaps or conduct.dropped or conduct.begun_elsewhere)
