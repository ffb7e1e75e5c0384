"""From a pydantic model to the structural OpenAPI schema that a CustomResourceDefinition takes.

Pydantic's JSON schema says nearly all of it; Kubernetes wants it without references, without `null`, and with
defaults that the API server can fill in. The CEL rules are in the schema already: `axiom_sandbox.protocol.checks`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from axiom.api.structure import member_documentation, nested

Schema = dict[str, Any]

_KEPT = (
    "type",
    "description",
    "enum",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)


class _InOrder(GenerateJsonSchema):
    """Keeps fields in the order in which the models give them."""

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        return value


class StructuralSchemas:
    """Structural schemas of the parts of one model."""

    def __init__(self, model: type[BaseModel], *, with_defaults: bool) -> None:
        whole = model.model_json_schema(by_alias=True, schema_generator=_InOrder)
        self._definitions: dict[str, Schema] = whole.pop("$defs", {})
        self._whole = whole
        self._enums = {part.__name__: part for part in nested(model) if issubclass(part, StrEnum)}
        self._with_defaults = with_defaults

    def build(self) -> Schema:
        """The whole model's schema."""
        return self._convert(self._whole)

    def _convert(self, schema: Schema) -> Schema:
        schema = self._inline(schema)
        built: Schema = {key: schema[key] for key in _KEPT if key in schema}
        if schema.get("type") == "integer":
            built["format"] = "int64"
        if schema.get("type") == "array":
            built.setdefault("x-kubernetes-list-type", "atomic")
            built["items"] = self._convert(schema["items"])
        if "properties" in schema:
            built |= self._convert_properties(schema)
        return built

    def _convert_properties(self, schema: Schema) -> Schema:
        properties = {name: self._convert_property(part) for name, part in schema["properties"].items()}
        required = schema.get("required", [])
        return {"properties": properties} | ({"required": required} if required else {})

    def _convert_property(self, schema: Schema) -> Schema:
        built = self._convert(schema)
        default = schema.get("default")
        if self._with_defaults and default is not None:
            built["default"] = _without_null(default)
        return built

    def _inline(self, schema: Schema) -> Schema:
        """Without `$ref` and without the alternative `null`; what stands beside them wins."""
        beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "allOf")}
        if "anyOf" in schema:
            [inner] = [part for part in schema["anyOf"] if part != {"type": "null"}]
            return self._inline(inner) | beside
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            inner = self._definitions[name]
            if name in self._enums:
                beside["description"] = self._enum_description(name, beside)
            return self._inline(inner) | beside
        return beside

    def _enum_description(self, name: str, beside: Schema) -> str:
        text = beside.get("description") or self._definitions[name].get("description", "")
        members = member_documentation(self._enums[name]).items()
        return "\n".join([text, *(f"{value}: {documentation}" for value, documentation in members)])


def _without_null(value: Any) -> Any:
    """A default in full, as CEL sees it before the API server fills in what is nested."""
    if isinstance(value, dict):
        return {key: _without_null(part) for key, part in value.items() if part is not None}
    return value
