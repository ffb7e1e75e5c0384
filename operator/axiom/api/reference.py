"""docs/reference/api.md, from the models: every field, every rule, every enum member with its documentation."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import API_VERSION, AgentTask
from axiom.api.conditions import ConditionType, Reason
from axiom.api.profile import VerificationProfile
from axiom.api.structure import Part, member_documentation, nested
from axiom_sandbox.protocol.checks import LIST_KEYS_KEY, RULES_KEY
from axiom_sandbox.protocol.model import ApiModel

_INTRODUCTION = f"""\
<!-- Generated from operator/axiom/api by `make generate`; change it there. -->
# API reference: {API_VERSION}

- [AgentTask](#agenttask): {AgentTask.__doc__}
- [AgentClass](#agentclass): {AgentClass.__doc__}
- [VerificationProfile](#verificationprofile): {VerificationProfile.__doc__}
- [Conditions](#conditions) and their [reasons](#reasons)
- [Verdict](#verdict), [Claim](#claim), and what one [criterion came to](#criterionresult)

A field without a default is required; one whose default is "unset" may be left out. `axiom run` and the API server
refuse the same objects. How durations, quantities, paths and other text are written stands under
[Forms of text](#forms-of-text).
"""

_HEADS = ("apiVersion", "kind")


def reference() -> str:
    """The whole page."""
    task_parts = nested(AgentTask)
    others = [*nested(AgentClass), *nested(VerificationProfile)]
    own = [part for part in others if part not in task_parts]
    apart: tuple[Part, ...] = (ConditionType, Reason)
    sections = [_section(part) for part in task_parts + own if part not in apart]
    return "\n".join([_INTRODUCTION, *sections, _conditions(), _reasons(), _forms()])


def _section(part: Part) -> str:
    return _enum_section(part) if issubclass(part, StrEnum) else _model_section(part)


def _model_section(model: type[BaseModel]) -> str:
    properties = model.model_json_schema(by_alias=True)["properties"]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    rows = [
        (
            f"`{name}`",
            _type(properties[name]),
            "" if name in _HEADS else _default(field),
            field.description or "",
        )
        for name, field in fields.items()
    ]
    lines = [f"## {model.__name__}", "", _text(model), ""]
    lines += _table(("Field", "Type", "Default", "Description"), rows)
    if issubclass(model, ApiModel) and model.cel_rules:
        lines += ["", "Refused:", "", *(f"- {rule.message}" for rule in model.cel_rules)]
    return "\n".join(lines) + "\n"


def _enum_section(enum: type[StrEnum]) -> str:
    rows = [(f"`{value}`", text) for value, text in member_documentation(enum).items()]
    return "\n".join([f"## {enum.__name__}", "", _text(enum), "", *_table(("Value", "Meaning"), rows)]) + "\n"


def _conditions() -> str:
    rows = [(f"`{value}`", text) for value, text in member_documentation(ConditionType).items()]
    introduction = (
        f"{ConditionType.__doc__} Each has a status (True, False, Unknown), a reason and a message."
    )
    return (
        "\n".join(["## Conditions", "", introduction, "", *_table(("Condition", "True when"), rows)]) + "\n"
    )


def _reasons() -> str:
    rows = []
    for value, text in member_documentation(Reason).items():
        conditions, _, meaning = text.partition(": ")
        rows.append((f"`{value}`", conditions, _sentence(meaning)))
    header = ("Reason", "Condition", "Meaning")
    return "\n".join(["## Reasons", "", _text(Reason), "", *_table(header, rows)]) + "\n"


def _text(documented: type) -> str:
    """Its documentation without the indentation, which Python leaves in before 3.13."""
    return inspect.cleandoc(documented.__doc__ or "")


def _forms() -> str:
    forms: dict[str, tuple[str, str, str]] = {}
    for part in nested(AgentTask) + nested(AgentClass):
        if issubclass(part, BaseModel):
            for schema in part.model_json_schema(by_alias=True)["properties"].values():
                value = _present(schema).get("items", _present(schema))
                if form := _form(value):
                    forms[form] = (form, str(value["maxLength"]), _sentence(_cure(value)))
    header = ("Form", "Most characters", "How it is written")
    return "\n".join(["## Forms of text", "", *_table(header, sorted(forms.values()))]) + "\n"


def _form(schema: dict[str, Any]) -> str:
    """A string's form as its first rule calls it: "this value is not a duration; …" → "duration"."""
    message = schema.get(RULES_KEY, [{"message": ""}])[0]["message"] if schema.get("type") == "string" else ""
    found = re.match(r"this value is not an? ([^;]+);", message)
    return found.group(1) if found else ""


def _cure(schema: dict[str, Any]) -> str:
    return str(schema[RULES_KEY][0]["message"].partition("; ")[2])


def _sentence(text: str) -> str:
    """Begins with a capital, unless the first word is the name of a field."""
    first = text.partition(" ")[0]
    return text if "." in first else text[:1].upper() + text[1:]


def _present(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the alternative of leaving it out."""
    [inner] = [part for part in schema.get("anyOf", [schema]) if part != {"type": "null"}]
    return dict(inner)


def _type(schema: dict[str, Any]) -> str:
    schema = _present(schema)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = {"ConditionType": "conditions", "Reason": "reasons"}.get(name, name.lower())
        return f"[{name}](#{target})"
    if form := _form(schema):
        return f"[{form}](#forms-of-text)"
    bounds = ", ".join(_bounds(schema))
    kind = f"list of {_type(schema['items'])}" if schema["type"] == "array" else schema["type"]
    return f"{kind}, {bounds}" if bounds else str(kind)


def _bounds(schema: dict[str, Any]) -> Iterator[str]:
    if "minimum" in schema:
        yield f"{schema['minimum']} to {schema['maximum']}"
    if "maxLength" in schema:
        yield f"at most {schema['maxLength']} characters"
    if "maxItems" in schema:
        yield f"{schema.get('minItems', 0)} to {schema['maxItems']} entries"
    if LIST_KEYS_KEY in schema:
        yield f"each {schema[LIST_KEYS_KEY][0]} once"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True)
    match default:
        case None | "":
            return "unset"
        case BaseModel():
            return "its fields' defaults"
        case _:
            return f"`{json.dumps(default)}`"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *cells)]
