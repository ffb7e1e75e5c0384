"""docs/reference/events.md, from the models: every event of the ledger, and what it says."""

from __future__ import annotations

from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from axiom.api.structure import Part, field_documentation, member_documentation, nested
from axiom_sandbox.protocol.events import KNOWN

_INTRODUCTION = """\
<!-- Generated from sandbox-image/axiom_sandbox/protocol/events.py by `make generate`; change it there. -->
# Events of the ledger

One JSON object a line: `seq`, `time_utc`, `agent_id`, `parent_id`, `task_id`, `attempt`, `event`, `payload`, `prev`, `hash`. This
page says what stands in `payload`, for each `event`. Events of a later version are kept as they come. A field without a default
is always there.
"""


_NAMES = {str: "string", int: "integer", bool: "boolean", float: "number", dict: "object"}


def events_reference() -> str:
    """The whole page."""
    parts = _parts()
    sections = [_section(f"`{name}`", model) for name, model in sorted(KNOWN.items())]
    others = [
        _enum_section(part) if issubclass(part, StrEnum) else _section(part.__name__, part) for part in parts
    ]
    return "\n".join([_INTRODUCTION, *sections, "# What they are made of\n", *others])


def _section(title: str, model: type[BaseModel]) -> str:
    lines = [f"## {title}", "", _flat(model.__doc__), ""]
    if model.model_fields:
        lines += ["| Field | Type | Default | Description |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_cell(field_documentation(model)[name])} |"
            for name, field in model.model_fields.items()
        ]
    return "\n".join(lines) + "\n"


def _enum_section(enum: type[StrEnum]) -> str:
    rows = [f"| `{value}` | {_cell(text)} |" for value, text in member_documentation(enum).items()]
    return "\n".join(
        [
            f"## {enum.__name__}",
            "",
            _flat(enum.__doc__),
            "",
            "| Value | Meaning |",
            "| --- | --- |",
            *rows,
            "",
        ]
    )


def _parts() -> list[Part]:
    """Models and enums that events are made of, in the order of their names."""
    found = {part.__name__: part for event in KNOWN.values() for part in nested(event)[1:]}
    return [found[name] for name in sorted(found)]


def _type(annotation: Any) -> str:
    """As it is read aloud; models and enums are links."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(_type(argument) for argument in arguments)
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin is dict:
        return "object"
    if origin in (tuple, list):
        kinds = dict.fromkeys(_type(argument) for argument in arguments if argument is not ...)
        return f"list of {', '.join(kinds)}"
    if annotation is NoneType:
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | StrEnum):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _NAMES.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True)
    return "" if isinstance(default, BaseModel) else f"`{default!r}`"


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str | None) -> str:
    return _flat(text).replace("|", "\\|")
