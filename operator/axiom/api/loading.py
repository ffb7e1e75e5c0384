"""From YAML that a person wrote to typed objects, and from pydantic's errors to sentences with a cure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import (
    API_VERSION,
    IMMUTABLE,
    MUTABLE_LIMITS,
    MUTABLE_SPEC_FIELDS,
    AgentTask,
    ObjectName,
)
from axiom.api.explaining import Problem, explain
from axiom.api.yaml_files import Document, UnreadableError, read_documents
from axiom_sandbox.protocol.model import ApiModel

_Object = TypeVar("_Object", bound=ApiModel)

_OBJECT_NAME: TypeAdapter[str] = TypeAdapter(ObjectName)


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


def parse_task(document: Document, source: str = "AgentTask") -> AgentTask:
    """A parsed YAML document → AgentTask. Raises RefusedError."""
    return _parse(AgentTask, document, source)


def parse_class(document: Document, source: str = "AgentClass") -> AgentClass:
    """A parsed YAML document → AgentClass. Raises RefusedError."""
    return _parse(AgentClass, document, source)


def load_manifest(paths: Iterable[Path]) -> Manifest:
    """Files that hold one AgentTask and the AgentClass it names; a class replaces an earlier one of its name.

    Raises RefusedError.
    """
    paths = list(paths)
    tasks, classes = _objects(paths)
    return _one_manifest(tasks, classes, source=" and ".join(str(path) for path in paths))


def load_task(path: Path) -> AgentTask:
    """A file that holds one AgentTask; classes in it are checked and left aside. Raises RefusedError."""
    tasks, _ = _objects([path])
    return _one_task(tasks, str(path))


def load_class(path: Path) -> AgentClass:
    """A file that holds one AgentClass; tasks in it are checked and left aside. Raises RefusedError."""
    _, classes = _objects([path])
    if len(classes) != 1:
        found = ", ".join(classes) or "none"
        raise RefusedError(str(path), [Problem("", f"exactly one AgentClass is needed, but found: {found}")])
    return next(iter(classes.values()))


def differing_fields(one: AgentTask, other: AgentTask) -> list[str]:
    """Where two tasks' specs differ: paths such as `spec.prompt`."""
    first, second = _comparable(one), _comparable(other)
    return [f"spec.{field}" for field in first if first[field] != second[field]]


def check_update(old: AgentTask, new: AgentTask) -> list[Problem]:
    """Which immutable fields of a task's spec an update would change."""
    before, after = _comparable(old), _comparable(new)
    return [
        Problem(f"spec.{field}", IMMUTABLE)
        for field in before
        if _is_immutable(field) and before[field] != after[field]
    ]


def _comparable(task: AgentTask) -> dict[str, Any]:
    """The spec's fields and those of limits, by path. The order of named objects means nothing."""
    spec = task.spec.model_dump(by_alias=True)
    spec["criteria"].sort(key=lambda criterion: criterion["name"])
    spec["workspace"]["files"].sort(key=lambda file: file["path"])
    limits = spec.pop("limits")
    return spec | {f"limits.{field}": value for field, value in limits.items()}


def _is_immutable(field: str) -> bool:
    return field not in (*MUTABLE_SPEC_FIELDS, *(f"limits.{name}" for name in MUTABLE_LIMITS))


def _parse(model: type[_Object], document: Document, source: str) -> _Object:
    """Strictly, as the API server does: a quoted number is no number. A field that is null is a field left out."""
    _require_name(document, source)
    try:
        text = json.dumps(_without_nulls(document))
    except (TypeError, ValueError, RecursionError) as error:
        raise RefusedError(
            source, [Problem("", f"holds what JSON cannot say: {error}; remove it")]
        ) from error
    try:
        return model.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise RefusedError(source, explain(error, model)) from error


def _parse_any(document: Document, source: str) -> AgentTask | AgentClass:
    match document.get("kind"):
        case "AgentTask" as kind:
            _require_version(document, source)
            return parse_task(document, f"{source} ({kind})")
        case "AgentClass" as kind:
            _require_version(document, source)
            return parse_class(document, f"{source} ({kind})")
        case None:
            problem = "this field is required; write AgentTask or AgentClass"
        case other:
            problem = f"{other!r} is neither AgentTask nor AgentClass; correct or remove it"
    raise RefusedError(source, [Problem("kind", problem)])


def _objects(paths: Iterable[Path]) -> tuple[list[AgentTask], dict[str, AgentClass]]:
    tasks: list[AgentTask] = []
    classes: dict[str, AgentClass] = {}
    for path in paths:
        for document in _documents(path):
            match _parse_any(document, str(path)):
                case AgentTask() as task:
                    tasks.append(task)
                case AgentClass() as agent_class:
                    classes[agent_class.name] = agent_class
    return tasks, classes


def _one_task(tasks: Sequence[AgentTask], source: str) -> AgentTask:
    if len(tasks) != 1:
        found = ", ".join(task.name for task in tasks) or "none"
        raise RefusedError(source, [Problem("", f"exactly one AgentTask is needed, but found: {found}")])
    return tasks[0]


def _one_manifest(tasks: Sequence[AgentTask], classes: dict[str, AgentClass], source: str) -> Manifest:
    task = _one_task(tasks, source)
    wanted = task.spec.agent_class_name
    if wanted not in classes:
        cure = "put the AgentClass in the same file after a line ---, or name its file with --class"
        raise RefusedError(
            source, [Problem("spec.agentClassName", f"no AgentClass {wanted!r} was given; {cure}")]
        )
    return Manifest(task, classes[wanted])


def _documents(path: Path) -> list[Document]:
    try:
        return read_documents(path)
    except UnreadableError as error:
        raise RefusedError(str(path), [Problem("", str(error))]) from error


def _require_version(document: Document, source: str) -> None:
    if document.get("apiVersion") != API_VERSION:
        raise RefusedError(source, [Problem("apiVersion", f"must be {API_VERSION}; write it so")])


def _require_name(document: Document, source: str) -> None:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise RefusedError(source, [Problem("metadata.name", "this field is required; add it")])
    try:
        _OBJECT_NAME.validate_python(metadata["name"])
    except ValidationError as error:
        raise RefusedError(source, [Problem("metadata.name", explain(error)[0].message)]) from error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value
