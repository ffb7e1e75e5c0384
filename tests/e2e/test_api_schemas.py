"""JSON schemas out of an API server's OpenAPI documents."""

from __future__ import annotations

import json
import re
from pathlib import Path

from e2e.support.schemas import LOCATION, kinds, strict, write_schemas

POD = {
    "type": "object",
    "description": "A pod.",
    "properties": {
        "kind": {"type": "string", "default": "Pod"},
        "spec": {"allOf": [{"$ref": "#/components/schemas/PodSpec"}], "default": {}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Pod"}],
}
SPEC = {"type": "object", "properties": {"nodes": {"type": "array", "items": {"type": "string"}}}}


class Server:
    """Publishes one document."""

    def get(self, path: str, *, timeout_seconds: float) -> bytes:
        assert path == "/openapi/v3/api/v1"
        return json.dumps({"components": {"schemas": {"Pod": POD, "PodSpec": SPEC}}}).encode()


def test_fields_that_the_server_does_not_know_are_not_allowed() -> None:
    made = strict(POD)

    assert made["additionalProperties"] is False
    assert made["properties"]["labels"]["additionalProperties"] == {"type": "string"}
    assert made["properties"]["spec"] == {"allOf": [{"$ref": "#/definitions/PodSpec"}]}


def test_what_a_server_keeps_unseen_is_allowed() -> None:
    anything = {"type": "object", "properties": {}, "x-kubernetes-preserve-unknown-fields": True}

    assert strict(anything) == {"type": "object", "properties": {}, "additionalProperties": True}


def test_a_field_may_have_the_name_of_a_keyword() -> None:
    schema = {"type": "object", "properties": {"default": {"type": "string"}, "items": {"type": "array"}}}

    assert set(strict(schema)["properties"]) == {"default", "items"}


def test_a_kind_is_a_file_that_kubeconform_finds(tmp_path: Path) -> None:
    write_schemas(Server(), ["v1"], tmp_path)  # type: ignore[arg-type]

    asked = re.sub(r"{{ \.Group }}|{{ \.ResourceAPIVersion }}", "v1", LOCATION)
    file = tmp_path / asked.replace("{{ .ResourceKind }}", "pod")
    assert json.loads(file.read_text())["$ref"] == "#/definitions/Pod"
    assert list(kinds({"Pod": POD}, "apps/v1")) == []
