"""From YAML that a person wrote to typed objects, and from pydantic's errors to sentences with a cure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import MUTABLE_LIMITS, MUTABLE_SPEC_FIELDS, AgentTask


class Problem(NamedTuple):
    """One thing that is wrong with an object, where, and what to do."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class RefusedError(ValueError):
    """Input that cannot be carried out. `problems` names every field at fault."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


class Manifest(NamedTuple):
    """What one or more YAML files hold together."""

    task: AgentTask
    agent_class: AgentClass


def parse_task(document: dict[str, Any], source: str = "AgentTask") -> AgentTask:
    """A parsed YAML document → AgentTask. Raises RefusedError."""
    _require_name(document, source)
    try:
        return AgentTask.model_validate(document)
    except ValidationError as error:
        raise RefusedError(source, explain(error)) from error


def parse_class(document: dict[str, Any], source: str = "AgentClass") -> AgentClass:
    """A parsed YAML document → AgentClass. Raises RefusedError."""
    _require_name(document, source)
    try:
        return AgentClass.model_validate(document)
    except ValidationError as error:
        raise RefusedError(source, explain(error)) from error


def load_manifest(paths: Iterable[Path]) -> Manifest:
    """Files that hold one AgentTask and the AgentClass it names. Raises RefusedError."""
    tasks: list[AgentTask] = []
    classes: dict[str, AgentClass] = {}
    source = ""
    for path in paths:
        source = str(path)
        for document in _documents(path):
            match document.get("kind"):
                case "AgentTask":
                    tasks.append(parse_task(document, source))
                case "AgentClass":
                    agent_class = parse_class(document, source)
                    classes[agent_class.name] = agent_class
                case other:
                    raise RefusedError(
                        source, [Problem("kind", f"{other!r} is neither AgentTask nor AgentClass")]
                    )
    if len(tasks) != 1:
        raise RefusedError(source, [Problem("", f"one AgentTask is needed, and {len(tasks)} were found")])
    [task] = tasks
    wanted = task.spec.agent_class_name
    if wanted not in classes:
        cure = "put the AgentClass in the same file after a line ---, or name its file with --class"
        raise RefusedError(
            source, [Problem("spec.agentClassName", f"no AgentClass {wanted!r} was given; {cure}")]
        )
    return Manifest(task, classes[wanted])


def check_update(old: AgentTask, new: AgentTask) -> list[Problem]:
    """Which immutable fields of a task's spec an update would change."""
    before, after = old.spec.model_dump(by_alias=True), new.spec.model_dump(by_alias=True)
    cure = "cannot be changed once the task exists; create a new task"
    problems = [
        Problem(f"spec.{field}", cure)
        for field in before
        if field not in (*MUTABLE_SPEC_FIELDS, "limits") and before[field] != after[field]
    ]
    problems += [
        Problem(f"spec.limits.{field}", cure)
        for field in before["limits"]
        if field not in MUTABLE_LIMITS and before["limits"][field] != after["limits"][field]
    ]
    return problems


def explain(error: ValidationError) -> list[Problem]:
    """Pydantic's findings → problems that name the field as the person wrote it."""
    return [Problem(_field(item["loc"]), _sentence(item)) for item in error.errors(include_url=False)]


def _field(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _sentence(item: Any) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "missing":
            return "this field is required; add it"
        case "extra_forbidden":
            return "there is no such field; check the spelling (names are camelCase) or remove it"
        case "string_too_short":
            return "must not be empty"
        case "too_short":
            return f"needs at least {context['min_length']} entry"
        case "string_pattern_mismatch":
            return f"does not have the form {context['pattern']}"
        case "value_error":
            return str(context["error"])
        case "enum" | "literal_error":
            return f"must be {context['expected']}"
        case _:
            return str(item["msg"])


def _documents(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(str(path), [Problem("", f"cannot be read: {error}")]) from error
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise RefusedError(str(path), [Problem("", f"is not YAML: {error}")]) from error
    for document in documents:
        if not isinstance(document, dict):
            raise RefusedError(str(path), [Problem("", "holds something that is not an object with a kind")])
    return documents


def _require_name(document: dict[str, Any], source: str) -> None:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise RefusedError(source, [Problem("metadata.name", "this field is required; add it")])
