"""The two base models: one for objects that people write, one for messages between our own parts."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from axiom_sandbox.protocol.checks import Rule, add_rules


class ApiModel(BaseModel):
    """Part of a Kubernetes object: camelCase outside, unknown fields refused, never changed after parsing."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    cel_rules: ClassVar[tuple[Rule, ...]] = ()
    """What the model's validators check, for the API server."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        add_rules(handler.resolve_ref_schema(schema), cls.cel_rules)
        return schema


class Message(BaseModel):
    """Something one part of Axiom tells another. Fields that a newer sender added are ignored."""

    # Every start of a pod waits for these classes: they are built when they are first used.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)
