"""Labelled cases: works on which people have decided whether they should pass.

Those that come with Axiom are files beside this module: a task, a question, the files before, and works with the files that
each changes. Others come from reviews: `kept_case` makes one of what a judge was shown and what a person then decided.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from axiom_sandbox.protocol.changes import Change, ChangeKind, Changes, Entry, EntryKind
from axiom_sandbox.protocol.criteria import CriterionType, Enforcement, JudgeCriterion
from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.verifying.judge import Shown, show
from axiom_sandbox.verifying.judging import Brief, Side, Subject


class CaseError(ValueError):
    """A file of cases that cannot be read; the message names the place."""


class Label(StrEnum):
    """What people decided."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Work(_Part):
    """What somebody made of a task."""

    name: str
    label: Label
    adversarial: bool = False
    """It tries to deceive: a special case, a hidden harm, words for the judge."""
    why: str = ""
    change: dict[str, str | None]
    """Path → its content now; null: it was deleted."""
    said: str = ""
    """The agent's last words."""


class TaskOfCases(_Part):
    """Works on one task."""

    task: str
    prompt: str
    question: str
    base: dict[str, str]
    works: Annotated[list[Work], Field(min_length=1)]


class KeptCase(_Part):
    """What a judge was shown in a real verification, and what a person decided afterwards."""

    name: str
    label: Label
    adversarial: bool = False
    shown: str
    evidence: str
    words: str = ""
    why: str = ""
    by: str = ""
    """Who decided."""
    vendor: str = ""
    """Of the judge that was shown it; empty: that was not noted."""


@dataclass(frozen=True)
class Case:
    """One question to a judge, and the right answer."""

    name: str
    label: Label
    adversarial: bool
    shown: Shown
    is_kept: bool = False
    """It holds the code of somebody's task."""
    vendor: str = ""
    """Whose judge was shown it in that task."""


_TASKS: TypeAdapter[list[TaskOfCases]] = TypeAdapter(list[TaskOfCases])
_KEPT_SUFFIX = ".case.json"


def shipped_cases() -> list[Case]:
    """Those that come with Axiom."""
    folder = files("axiom.benching") / "cases"
    found = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name
    )
    return [case for item in found for case in _cases_in(item.name, item.read_text("utf-8"))]


def own_cases(folder: Path) -> list[Case]:
    """Those of a folder: files of tasks (.yaml) and kept cases (.case.json). Raises CaseError."""
    found: list[Case] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".yaml":
            found += _cases_in(str(path), path.read_text("utf-8"))
        elif path.name.endswith(_KEPT_SUFFIX):
            found.append(case_of(str(path), path.read_bytes()))
    return found


def kept_case(consulted: Mapping[str, Any], label: Label, by: str, why: str, name: str) -> KeptCase:
    """A `consulted` record's payload and a person's decision → a case. Raises CaseError: it was no judge's."""
    errand = consulted.get("errand") or {}
    if errand.get("kind") != "AskJudge":
        raise CaseError("this record is of no judge; name one whose errand is AskJudge")
    shown = str(errand["shown"])
    evidence, words = [], []
    for title, body in _sections(shown):
        if title.startswith("UNTRUSTED WORDS"):
            words.append(body)
        elif not title.startswith("TASK"):
            evidence.append(body)
    return KeptCase(
        name=name,
        label=label,
        shown=shown,
        evidence="\n".join(evidence),
        words="\n".join(words),
        why=why,
        by=by,
        vendor=str((errand.get("seat") or {}).get("vendor") or ""),
    )


def keep_case(folder: Path, case: KeptCase) -> Path:
    """Writes a case where `own_cases` finds it. The newest decision on one name counts."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{case.name}{_KEPT_SUFFIX}"
    target.write_text(json.dumps(case.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n")
    return target


def _sections(shown: str) -> Iterator[tuple[str, str]]:
    """Title and body of each fenced section, by the fence of the first line."""
    fence = shown.partition("<<<")[2].partition(" ")[0]
    for part in shown.split(f"<<<{fence} ")[1:]:
        title, mark, body = part.partition(">>>\n")
        if mark and title != "END":
            yield title, body.removesuffix("\n")


def case_of(name: str, data: bytes) -> Case:
    """A case that was kept; `name` says where it lies. Raises CaseError."""
    try:
        kept = KeptCase.model_validate_json(data)
    except ValidationError as error:
        raise CaseError(f"{name} is no case that was kept: {error}") from error
    shown = Shown(kept.shown, kept.evidence, kept.words, ())
    return Case(kept.name, kept.label, kept.adversarial, shown, is_kept=True, vendor=kept.vendor)


def _cases_in(name: str, text: str) -> Iterator[Case]:
    try:
        tasks = _TASKS.validate_python(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise CaseError(f"{name} holds no cases that are understood: {error}") from error
    for task in tasks:
        spec = JudgeCriterion(question=task.question)
        for work in task.works:
            full = f"{task.task}/{work.name}"
            yield Case(full, work.label, work.adversarial, show(spec, _subject(task, work, full)))


def _subject(task: TaskOfCases, work: Work, fence: str) -> Subject:
    before = {path: content.encode() for path, content in task.base.items()}
    after = dict(before)
    changes = []
    for path, content in work.change.items():
        if content is None:
            del after[path]
            changes.append(Change(path, ChangeKind.DELETED))
            continue
        after[path] = content.encode()
        kind = ChangeKind.MODIFIED if path in before else ChangeKind.ADDED
        changes.append(Change(path, kind, Entry(path, EntryKind.FILE, size=len(after[path]))))
    passed = CriterionResult(
        name="changed",
        type=CriterionType.DIFF,
        enforcement=Enforcement.HARD,
        verdict=Verdict.PASS,
        message=f"{len(changes)} paths changed, as allowed.",
    )
    brief = Brief(prompt=task.prompt, fence=fence_of(fence), others=(passed,))
    return Subject(
        Side(Tree({}), before),
        Side(Tree({}), after),
        Changes(base="", changes=tuple(changes)),
        said=work.said,
        brief=brief,
    )


def fence_of(name: str) -> str:
    """A fence for a case: the same each time, so that runs can be compared; in a verification it is random."""
    import hashlib

    return hashlib.sha256(f"judge-bench {name}".encode()).hexdigest()[:24]
