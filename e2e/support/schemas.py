"""JSON schemas of what an API server knows, for kubeconform: made from the server's own OpenAPI documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from e2e.cluster.api import Api

LOCATION = "{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json"
"""How kubeconform finds them in their folder."""
_COMPONENTS = "#/components/schemas/"

Schema = dict[str, Any]


def write_schemas(api: Api, group_versions: Iterable[str], folder: Path) -> None:
    """A file for each kind of these (`v1`, `apps/v1`, …). Raises ClusterError."""
    for group_version in sorted(group_versions):
        root = "apis" if "/" in group_version else "api"
        document = json.loads(api.get(f"/openapi/v3/{root}/{group_version}", timeout_seconds=30))
        definitions = {name: strict(schema) for name, schema in document["components"]["schemas"].items()}
        for name, kind in kinds(document["components"]["schemas"], group_version):
            schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
            file = f"{group_version.partition('/')[0]}_{group_version.rpartition('/')[2]}_{kind.lower()}.json"
            (folder / file).write_text(json.dumps(schema))


def kinds(schemas: dict[str, Schema], group_version: str) -> Iterator[tuple[str, str]]:
    """The names of the schemas that are whole kinds of a version, with the kinds."""
    group, _, version = group_version.rpartition("/")
    for name, schema in schemas.items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            if (kind["group"], kind["version"]) == (group, version):
                yield name, kind["kind"]


def strict(schema: Schema) -> Schema:
    """The same as a JSON schema that allows no field which the API server does not know."""
    made = {
        key: _converted(key, value)
        for key, value in schema.items()
        if key not in ("default", "description", "nullable") and not key.startswith("x-kubernetes-")
    }
    if "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if "$ref" in made:
        made["$ref"] = made["$ref"].replace(_COMPONENTS, "#/definitions/")
    return made


def _converted(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: strict(schema) for name, schema in value.items()}
    if key in ("allOf", "anyOf", "oneOf"):
        return [strict(schema) for schema in value]
    if key in ("items", "additionalProperties", "not") and isinstance(value, dict):
        return strict(value)
    return value
