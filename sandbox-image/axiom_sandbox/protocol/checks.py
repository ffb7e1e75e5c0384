"""Demands on what people write, each said twice in one place: in Python for local runs, in CEL for the API server.

CEL reaches a CustomResourceDefinition through `x-kubernetes-validations` in the JSON schema of the model;
nothing here knows how the rest of the definition is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import re2
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

RULES_KEY = "x-kubernetes-validations"
LIST_TYPE_KEY = "x-kubernetes-list-type"
LIST_KEYS_KEY = "x-kubernetes-list-map-keys"

_LONGEST_QUOTE = 80


@dataclass(frozen=True)
class Rule:
    """What the API server checks; a validator beside it says the same in Python.

    Stands in a model's `cel_rules`, or in Annotated for a single value.
    """

    cel: str
    """Expression over `self`, and `oldSelf` where it is about a change."""
    message: str
    """What is wrong, and the cure."""
    message_cel: str = ""
    """Expression for a message that names what was found; `message` is the fallback."""

    def to_schema(self) -> dict[str, str]:
        """As an entry of x-kubernetes-validations."""
        entry = {"rule": self.cel, "message": self.message}
        return entry | ({"messageExpression": self.message_cel} if self.message_cel else {})

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        add_rules(described, (self,))
        return described


def add_rules(schema: JsonSchemaValue, rules: tuple[Rule, ...]) -> None:
    """Append rules to a JSON schema in place."""
    if rules:
        schema[RULES_KEY] = [*schema.get(RULES_KEY, []), *(rule.to_schema() for rule in rules)]


@dataclass(frozen=True)
class Check:
    """A demand on a single string; goes into Annotated, after Field."""

    holds: Callable[[str], bool]
    cel: str
    complaint: str
    """Continues a sentence that begins with the value: "is not …; write …"."""

    def verify(self, value: str) -> str:
        """The value itself. Raises ValueError with the complaint."""
        if not self.holds(value):
            subject = repr(value) if len(value) <= _LONGEST_QUOTE else "this value"
            raise ValueError(f"{subject} {self.complaint}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.verify, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        add_rules(described, (Rule(self.cel, f"this value {self.complaint}"),))
        return described


def form(pattern: str, complaint: str) -> Check:
    """A string has the form of an RE2 expression, which is the API server's dialect too."""
    expression = re2.compile(pattern)
    return Check(
        holds=lambda value: expression.search(value) is not None,
        cel=f"self.matches({json.dumps(pattern)})",
        complaint=complaint,
    )


@dataclass(frozen=True)
class Keyed:
    """A list of named objects: no two have the same name, and their order means nothing."""

    key: str

    def verify(self, items: list[Any]) -> list[Any]:
        """The list itself. Raises ValueError when two items share the key."""
        attribute = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in self.key)
        seen: set[Any] = set()
        for value in (getattr(item, attribute) for item in items):
            if value in seen:
                raise ValueError(f"two entries have the {self.key} {value!r}; give each its own")
            seen.add(value)
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.verify, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema) | {LIST_TYPE_KEY: "map", LIST_KEYS_KEY: [self.key]}


def clip(length: int) -> Callable[[str], str]:
    """For text in a status: the API server would refuse what is longer, so the rest is cut off."""
    return lambda text: text if len(text) <= length else text[: length - 1] + "…"
