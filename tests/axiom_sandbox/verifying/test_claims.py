"""What an agent stated, held against its ledger, the captured workspace and the criteria."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from axiom_sandbox.protocol.agents import Statement, StatementKind
from axiom_sandbox.protocol.changes import (
    CandidateSource,
    Change,
    ChangeKind,
    Changes,
    Entry,
    EntryKind,
    Finding,
)
from axiom_sandbox.protocol.conduct import Conduct, ToolUse, Touched
from axiom_sandbox.protocol.criteria import CriterionType, Enforcement
from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict
from axiom_sandbox.snapshots import Tree
from axiom_sandbox.verifying.claims import MAX_DISAGREEMENTS, compare, disagreements
from axiom_sandbox.verifying.judging import Side, Subject

ADDED, MODIFIED, DELETED = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.DELETED
BASE = ("src/leap.py", "src/old.py")


def tree(*paths: str) -> Tree:
    return Tree({path: Entry(path, EntryKind.FILE) for path in paths}, "0" * 64)


def subject(conduct: Conduct, *changes: tuple[str, ChangeKind], findings: tuple[str, ...] = ()) -> Subject:
    gone = {path for path, kind in changes if kind is DELETED}
    paths = [path for path in {*BASE, *(path for path, _ in changes)} if path not in gone]
    found = Changes(
        base="0" * 64,
        changes=tuple(Change(path, kind) for path, kind in changes),
        findings=tuple(Finding(path, "a device") for path in findings),
    )
    return Subject(Side(tree(*BASE), {}), Side(tree(*paths), {}), found, conduct=conduct)


def said(kind: StatementKind, about: str, **fields: Any) -> Statement:
    return Statement(kind=kind, subject=about, **{"in_words": True, **fields})


def told(kind: StatementKind, about: str, **fields: Any) -> Statement:
    return said(kind, about, in_words=False, **fields)


def ran(command: str, **fields: Any) -> ToolUse:
    given = {"seq": 1, "round": 1, "tool": "Bash", "returned": 2, "ok": True, **fields}
    return ToolUse(input=json.dumps({"command": command}), **given)


def decided(verdict: Verdict) -> CriterionResult:
    return CriterionResult(
        name="tests",
        type=CriterionType.TESTS,
        enforcement=Enforcement.HARD,
        verdict=verdict,
        message="test_1900 failed",
    )


WRITTEN, GONE, RAN, PASS = (
    StatementKind.FILE_WRITTEN,
    StatementKind.FILE_DELETED,
    StatementKind.COMMAND_RAN,
    StatementKind.TESTS_PASS,
)
CHANGED = ("src/leap.py", MODIFIED)
PYTEST = ran("cd /workspace && python3 -m pytest -q")
FAILED = ran("pytest -q", ok=False, exit_code=1)


def hold(
    statement: Statement,
    *changes: tuple[str, ChangeKind],
    results: tuple[CriterionResult, ...] = (),
    findings: tuple[str, ...] = (),
    **conduct: Any,
) -> tuple[bool | None, str]:
    known = Conduct(**{"speaks": True, "watched": True, "statements": (statement,), **conduct})
    [found] = compare(subject(known, *changes, findings=findings), results)
    return found.agrees, found.found


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (hold(said(WRITTEN, "src/leap.py")), "as it was in the base"),
        (hold(said(WRITTEN, "leap.py")), "as it was in the base"),
        (hold(said(WRITTEN, "new.py"), CHANGED), "no such file"),
        (hold(said(WRITTEN, "new.py"), CHANGED, files=(Touched(seq=1, path="new.py"),)), "no such file"),
        (hold(told(WRITTEN, "new.py"), CHANGED), "neither when it was captured nor before"),
        (hold(said(GONE, "old.py")), "still there"),
        (hold(said(RAN, "pytest -q"), tools=(ran("ls"),)), "1 commands, and of none like it"),
        (hold(told(RAN, "make"), tools=(ran("make", exit_code=2),)), "its exit code was 2"),
        (hold(said(PASS, "All pass."), results=(decided(Verdict.FAIL),), tools=(PYTEST,)), "tests: test_1900 failed"),
        (hold(said(PASS, "All pass."), tools=(PYTEST, FAILED)), "failed with exit code 1: pytest -q"),
        (hold(said(PASS, "All pass.")), "no command at all"),
        (hold(said(PASS, "All pass."), tools=(ran("cd src; make test", ok=False, exit_code=2),)), "failed with exit code 2"),
    ],
)  # fmt: skip
def test_what_the_evidence_refutes_disagrees_and_is_said(found: tuple[bool | None, str], text: str) -> None:
    assert found[0] is False
    assert text in found[1]


@pytest.mark.parametrize(
    "found",
    [
        hold(said(WRITTEN, "src/leap.py"), CHANGED),
        hold(said(WRITTEN, "leap.py"), CHANGED),
        hold(said(WRITTEN, "./new.py"), ("new.py", ADDED)),
        hold(told(WRITTEN, "new.py"), ("new.py", ADDED)),
        hold(said(GONE, "old.py"), ("src/old.py", DELETED)),
        hold(said(RAN, "pytest"), tools=(PYTEST,)),
        hold(said(PASS, "All pass."), results=(decided(Verdict.PASS),), tools=(FAILED,)),
        hold(said(PASS, "All pass."), results=(decided(Verdict.INCONCLUSIVE),), tools=(FAILED, PYTEST)),
        hold(said(PASS, "All pass."), tools=(ran("npm run test"),)),
        hold(said(PASS, "All pass."), tools=(ran("set -o pipefail; uv run python -m pytest -q | tail -3"),)),
        hold(
            said(PASS, "All pass."), tools=(PYTEST, ran("grep -rn pytest README.md", ok=False, exit_code=1))
        ),
        hold(said(PASS, "All pass."), tools=(ran("bash -c 'cd src && npx jest'"),)),
    ],
)
def test_what_the_evidence_confirms_agrees(found: tuple[bool | None, str]) -> None:
    assert found[0] is True


@pytest.mark.parametrize(
    "found",
    [
        hold(said(PASS, "All pass."), tools=(ran("echo pytest"),)),
        hold(said(PASS, "All pass."), tools=(ran("pip install pytest && which pytest"),)),
        hold(said(PASS, "All pass."), tools=(ran("pytest -q || true"),)),
        hold(said(PASS, "All pass."), tools=(ran("pytest -q | tail -3"),)),
        hold(said(PASS, "All pass."), tools=(ran("ruff check && pytest -q", ok=False, exit_code=1),)),
        hold(told(WRITTEN, "notes.txt"), CHANGED, files=(Touched(seq=1, path="notes.txt"),)),
        hold(told(WRITTEN, "notes.txt"), CHANGED, file_gaps=(7,)),
        hold(told(WRITTEN, "notes.txt"), CHANGED, passing=1),
        hold(told(WRITTEN, "notes.txt"), CHANGED, watched=False),
        hold(told(WRITTEN, "notes.txt"), CHANGED, begun_elsewhere=True),
        hold(told(WRITTEN, "src/old.py"), CHANGED),
        hold(told(WRITTEN, "new.py", ok=False), CHANGED),
        hold(said(WRITTEN, "/home/agent/plan.md")),
        hold(said(WRITTEN, "../other/plan.md")),
        hold(said(WRITTEN, ".git/config")),
        hold(said(WRITTEN, "disk.img.md"), findings=("disk.img.md",)),
        hold(said(WRITTEN, "old.py"), ("src/old.py", DELETED)),
        hold(said(GONE, "never.py")),
        hold(said(RAN, "pytest"), speaks=False),
        hold(said(RAN, "pytest"), gaps=1),
        hold(said(RAN, "pytest"), dropped=1),
        hold(said(RAN, "pytest"), begun_elsewhere=True),
        hold(told(RAN, "make"), tools=(ran("make", exit_code=2), ran("make", exit_code=0))),
        hold(told(RAN, "make", ok=False), tools=(ran("make", ok=False, exit_code=2),)),
        hold(said(PASS, "All pass."), speaks=False),
        hold(said(PASS, "All pass."), tools=(ran("./check-all"),)),
    ],
)
def test_what_is_not_known_for_sure_is_held_against_nobody(found: tuple[bool | None, str]) -> None:
    assert found[0] is None


def test_without_an_agent_there_is_nothing_to_compare() -> None:
    assert compare(Subject(Side(tree(), {}), Side(tree(), {}), Changes(base="0")), ()) == ()


def test_what_is_told_is_bounded_and_clean() -> None:
    lies = tuple(said(WRITTEN, f"{n}\x1b[31m/{'x' * 280}.py") for n in range(20))
    found = disagreements(compare(subject(Conduct(speaks=True, statements=lies)), ()))
    assert len(found) == MAX_DISAGREEMENTS
    assert all("\x1b" not in one.claimed and len(one.claimed) <= 300 for one in found)


def test_a_file_of_the_workspace_is_no_disagreement_where_the_message_was_verified() -> None:
    conduct = Conduct(statements=(said(StatementKind.FILE_WRITTEN, "notes.md"),), speaks=True, watched=True)
    assert disagreements(compare(subject(conduct), ()))
    given = replace(subject(conduct), candidate_source=CandidateSource.MESSAGE)
    [compared] = compare(given, ())
    assert compared.agrees is None
