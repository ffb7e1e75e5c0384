"""From YAML that a person wrote to typed objects, and from pydantic's errors to sentences with a cure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import TypeAdapter, ValidationError, model_validator

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import (
    API_VERSION,
    IMMUTABLE,
    MUTABLE_LIMITS,
    MUTABLE_SPEC_FIELDS,
    NO_HARD_CRITERION,
    AgentTask,
    Criteria,
    ObjectName,
    VerificationSpec,
)
from axiom.api.explaining import Problem, explain, similar
from axiom.api.profile import ProfileError, VerificationProfile, added
from axiom.api.yaml_files import Document, UnreadableError, read_documents
from axiom_sandbox.protocol.criteria import Criterion, Enforcement
from axiom_sandbox.protocol.model import ApiModel

_Object = TypeVar("_Object", bound=ApiModel)

_OBJECT_NAME: TypeAdapter[str] = TypeAdapter(ObjectName)


class RefusedError(ValueError):
    """Input that cannot be carried out. `problems` names every field at fault."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


class CriteriaFile(ApiModel):
    """What `axiom verify` decides: the criteria and the place, as they stand in a task's spec."""

    criteria: Criteria
    """What must be true; at least one of them Hard."""
    verification: VerificationSpec = VerificationSpec()
    """Where the criteria are decided."""

    @model_validator(mode="after")
    def _decidable(self) -> Self:
        if not any(criterion.enforcement is Enforcement.HARD for criterion in self.criteria):
            raise ValueError(NO_HARD_CRITERION)
        return self


class Manifest(NamedTuple):
    """What one or more YAML files hold together."""

    task: AgentTask
    agent_class: AgentClass
    profile_criteria: tuple[Criterion, ...] = ()
    """What the profiles that the task names add to its own criteria."""


def parse_task(document: Document, source: str = "AgentTask") -> AgentTask:
    """A parsed YAML document → AgentTask. Raises RefusedError."""
    return _parse(AgentTask, document, source)


def parse_class(document: Document, source: str = "AgentClass") -> AgentClass:
    """A parsed YAML document → AgentClass. Raises RefusedError."""
    return _parse(AgentClass, document, source)


def parse_profile(document: Document, source: str = "VerificationProfile") -> VerificationProfile:
    """A parsed YAML document → VerificationProfile. Raises RefusedError."""
    return _parse(VerificationProfile, document, source)


def load_manifest(paths: Iterable[Path]) -> Manifest:
    """Files that hold one AgentTask, the AgentClass and the VerificationProfiles that it names; of a name, the last counts.

    Raises RefusedError.
    """
    paths = list(paths)
    return _one_manifest(_objects(paths), source=" and ".join(str(path) for path in paths))


def load_task(path: Path) -> AgentTask:
    """A file that holds one AgentTask; what else is in it is checked and left aside. Raises RefusedError."""
    return _one_task(_objects([path]).tasks, str(path))


def load_class(path: Path) -> AgentClass:
    """A file that holds one AgentClass; what else is in it is checked and left aside. Raises RefusedError."""
    classes = _objects([path]).classes
    if len(classes) != 1:
        found = ", ".join(classes) or "none"
        raise RefusedError(str(path), [Problem("", f"exactly one AgentClass is needed, but found: {found}")])
    return next(iter(classes.values()))


def load_criteria(path: Path) -> CriteriaFile:
    """A file with `criteria:` at its top, or one AgentTask, whose criteria are taken; with the VerificationProfiles that it
    names, whose criteria are added. Raises RefusedError.
    """
    documents = _documents(path)
    plain = [document for document in documents if "kind" not in document]
    objects = _parsed([document for document in documents if "kind" in document], str(path))
    if not plain:
        spec = _one_task(objects.tasks, str(path)).spec
        found = CriteriaFile(criteria=spec.criteria, verification=spec.verification)
    elif len(plain) == 1 and not objects.tasks:
        found = _validated(CriteriaFile, plain[0], str(path))
    else:
        problem = "must hold `criteria:` once, or one AgentTask instead; remove the others"
        raise RefusedError(str(path), [Problem("", problem)])
    try:
        more = added(found.criteria, found.verification.profiles, objects.profiles.values())
    except ProfileError as error:
        raise RefusedError(str(path), [Problem("verification.profiles", str(error))]) from error
    return found.model_copy(update={"criteria": [*found.criteria, *more]})


def load_classes(paths: Iterable[Path]) -> tuple[AgentClass, ...]:
    """The AgentClasses in files; tasks in them are checked and left aside. Raises RefusedError."""
    return tuple(_objects(paths).classes.values())


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
    _require_name(document, source)
    return _validated(model, document, source)


def _validated(model: type[_Object], document: Document, source: str) -> _Object:
    """Strictly, as the API server does: a quoted number is no number. A field that is null is a field left out."""
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


class _Objects(NamedTuple):
    """What a person wrote, by kind."""

    tasks: list[AgentTask]
    classes: dict[str, AgentClass]
    profiles: dict[str, VerificationProfile]


def _parse_any(document: Document, source: str) -> AgentTask | AgentClass | VerificationProfile:
    match document.get("kind"):
        case "AgentTask" as kind:
            _require_version(document, source)
            return parse_task(document, f"{source} ({kind})")
        case "AgentClass" as kind:
            _require_version(document, source)
            return parse_class(document, f"{source} ({kind})")
        case "VerificationProfile" as kind:
            _require_version(document, source)
            return parse_profile(document, f"{source} ({kind})")
        case None:
            problem = "this field is required; write AgentTask or AgentClass"
        case other:
            meant = similar(str(other), ("AgentTask", "AgentClass", "VerificationProfile"))
            cure = f"did you mean {meant}?" if meant else "correct or remove it"
            problem = f"{other!r} is neither AgentTask nor AgentClass; {cure}"
    raise RefusedError(source, [Problem("kind", problem)])


def _objects(paths: Iterable[Path]) -> _Objects:
    found = _Objects([], {}, {})
    for path in paths:
        more = _parsed(_documents(path), str(path))
        found.tasks.extend(more.tasks)
        found.classes.update(more.classes)
        found.profiles.update(more.profiles)
    return found


def _parsed(documents: Iterable[Document], source: str) -> _Objects:
    found = _Objects([], {}, {})
    for document in documents:
        match _parse_any(document, source):
            case AgentTask() as task:
                found.tasks.append(task)
            case AgentClass() as agent_class:
                found.classes[agent_class.name] = agent_class
            case VerificationProfile() as profile:
                found.profiles[profile.name] = profile
    return found


def _one_task(tasks: Sequence[AgentTask], source: str) -> AgentTask:
    if len(tasks) != 1:
        found = ", ".join(task.name for task in tasks) or "none"
        raise RefusedError(source, [Problem("", f"exactly one AgentTask is needed, but found: {found}")])
    return tasks[0]


def _one_manifest(objects: _Objects, source: str) -> Manifest:
    task, classes = _one_task(objects.tasks, source), objects.classes
    wanted = task.spec.agent_class_name
    if wanted not in classes:
        cure = "put the AgentClass in the same file after a line ---, or name its file with --class"
        if classes:
            meant = similar(wanted, classes)
            cure = f"did you mean {meant}?" if meant else f"only {', '.join(sorted(classes))}; {cure}"
        raise RefusedError(
            source, [Problem("spec.agentClassName", f"no AgentClass {wanted!r} was given; {cure}")]
        )
    try:
        more = added(task.spec.criteria, task.spec.verification.profiles, objects.profiles.values())
    except ProfileError as error:
        raise RefusedError(source, [Problem("spec.verification.profiles", str(error))]) from error
    return Manifest(task, classes[wanted], tuple(more))


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
