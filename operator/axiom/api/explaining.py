"""From pydantic's findings to sentences: which field, what is wrong, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from axiom.api.structure import field_models

Location = tuple[int | str, ...]


class Problem(NamedTuple):
    """One thing that is wrong with an object, where, and what to do."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> list[Problem]:
    """Each finding as a problem that names the field as the person wrote it: `spec.criteria[0].diff.maxFiles`.

    With the model, an unknown field is answered with the one that was probably meant.
    """
    problems = []
    for item in error.errors(include_url=False):
        meant = _similar_field(item["loc"], model) if item["type"] == "extra_forbidden" and model else ""
        problems.append(Problem(_field(item["loc"]), _sentence(item, meant)))
    return problems


def _field(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _sentence(item: Any, meant: str) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "missing":
            return "this field is required; add it"
        case "extra_forbidden":
            return f"there is no such field; {f'did you mean {meant}?' if meant else 'remove it'}"
        case "value_error":
            return str(context["error"])
        case "enum" | "literal_error":
            return f"must be {context['expected']}"
        case _:
            return _bound_sentence(item["type"], context) or _type_sentence(item["type"], item.get("input"))


def _bound_sentence(kind: str, context: dict[str, Any]) -> str:
    match kind:
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"is too long; write at most {context['max_length']} characters"
        case "too_short":
            return f"needs at least {context['min_length']} entry; add it"
        case "too_long":
            return f"has too many entries; write at most {context['max_length']}"
        case "greater_than_equal":
            return f"is too small; write at least {context['ge']}"
        case "less_than_equal":
            return f"is too large; write at most {context['le']}"
        case _:
            return ""


def _type_sentence(kind: str, given: Any) -> str:
    match kind:
        case "string_type" if isinstance(given, (bool, int, float)):
            wanted = "a string; put it in quotes"
        case "string_type":
            wanted = "a string"
        case "int_type" | "int_from_float" | "int_parsing" | "int_parsing_size":
            wanted = "a whole number, without quotes"
        case "bool_type" | "bool_parsing":
            wanted = "true or false, without quotes"
        case "list_type":
            wanted = "a list; begin each entry with -"
        case _:
            wanted = "an object with fields of its own"
    return f"is {_kind_of(given)}, but must be {wanted}"


def _kind_of(given: Any) -> str:
    match given:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _similar_field(location: Location, model: type[BaseModel]) -> str:
    """The field of the model at this place whose name is most like the unknown one; "" if none is."""
    *outer, unknown = location
    names = field_models(model)
    for part in outer:
        if isinstance(part, str):
            names = field_models(inner) if (inner := names.get(part)) else {}
    return similar(str(unknown), names)


def similar(unknown: str, known: Iterable[str]) -> str:
    """The name that was probably meant; "" if none is like it."""
    by_spelling = {name.lower(): name for name in known}
    close = difflib.get_close_matches(unknown.replace("_", "").lower(), by_spelling, n=1)
    return by_spelling[close[0]] if close else ""
