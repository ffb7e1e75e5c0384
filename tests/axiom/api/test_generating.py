"""What is generated is current, documented, and bounded."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import AgentTask
from axiom.api.conditions import ConditionType, Reason
from axiom.api.definitions import agent_classes, agent_tasks
from axiom.api.generating import generated_files, main
from axiom.api.reference import reference
from axiom.api.structure import member_documentation, nested

ROOT = Path(__file__).parents[3]
PARTS = list(dict.fromkeys(nested(AgentTask) + nested(AgentClass)))
DEFINITIONS = {"AgentTask": agent_tasks(), "AgentClass": agent_classes()}

both = pytest.mark.parametrize("kind", DEFINITIONS)


def root_schema(kind: str) -> dict[str, Any]:
    [version] = DEFINITIONS[kind]["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    assert isinstance(schema, dict)
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")


def written_fields(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, schema) for path, schema in walk(root_schema(kind)) if path.startswith(("spec", "status"))]


def test_committed_files_are_current() -> None:
    assert main(["--check", "--root", str(ROOT)]) == 0


def test_check_shows_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
    crd = tmp_path / "crds/axiom.dev_agenttasks.yaml"
    crd.write_text(crd.read_text().replace("Namespaced", "Cluster"))
    (tmp_path / "docs/reference/api.md").unlink()
    assert main(["--check", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "-  scope: Cluster\n+  scope: Namespaced" in said
    assert "more lines" in said
    assert "2 generated files are out of date: run `make generate`" in said


def test_the_chart_has_the_same_definitions() -> None:
    files = generated_files()
    for name in ("axiom.dev_agenttasks.yaml", "axiom.dev_agentclasses.yaml"):
        assert files[f"crds/{name}"] == files[f"charts/axiom/crds/{name}"]
        assert yaml.safe_load(files[f"crds/{name}"])["kind"] == "CustomResourceDefinition"


@both
def test_no_field_is_a_word_that_yaml_may_take_for_true_or_false(kind: str) -> None:
    """kubectl reads YAML as it was before 1.2: a field `y` would be true."""
    names = {path.rpartition(".")[2].rstrip("[]").lower() for path, _ in walk(root_schema(kind))}
    assert not names & {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"}


@both
def test_every_string_list_and_map_is_bounded(kind: str) -> None:
    for path, schema in written_fields(kind):
        match schema["type"]:
            case "string":
                assert "maxLength" in schema or "enum" in schema, path
            case "array":
                assert "maxItems" in schema, path
            case "object":
                assert "properties" in schema, f"{path} is a map"
            case _:
                assert schema["type"] in ("integer", "boolean"), path


@both
def test_schema_is_structural(kind: str) -> None:
    for path, schema in written_fields(kind):
        assert not {"$ref", "anyOf", "allOf", "title", "additionalProperties", "pattern", "const"} & set(
            schema
        ), path
        assert schema.get("default", "") is not None, path


@both
def test_every_field_is_described(kind: str) -> None:
    for path, schema in written_fields(kind):
        assert path.endswith("[]") or schema.get("description"), path


@both
def test_lists_of_named_objects_are_merged_by_name(kind: str) -> None:
    for path, schema in written_fields(kind):
        for key in schema.get("x-kubernetes-list-map-keys", []):
            assert schema["x-kubernetes-list-type"] == "map"
            assert key in schema["items"]["required"], path


def test_status_has_no_defaults() -> None:
    assert not [
        path for path, schema in walk(root_schema("AgentTask")["properties"]["status"]) if "default" in schema
    ]


@both
def test_every_rule_says_what_to_do(kind: str) -> None:
    for path, schema in written_fields(kind):
        for rule in schema.get("x-kubernetes-validations", []):
            assert len(rule["message"].split()) > 4, (path, rule)
            assert rule["message"] == " ".join(rule["message"].split()), "a message is one line"


def test_immutability_is_one_rule_of_the_spec() -> None:
    rules = [
        (path, rule)
        for path, schema in written_fields("AgentTask")
        for rule in schema.get("x-kubernetes-validations", [])
        if "oldSelf" in rule["rule"]
    ]
    assert [path for path, _ in rules] == ["spec"]


@pytest.mark.parametrize(
    "enum", [part for part in PARTS if issubclass(part, StrEnum)], ids=lambda enum: enum.__name__
)
def test_every_enum_member_is_documented(enum: type[StrEnum]) -> None:
    assert all(member_documentation(enum).values()), member_documentation(enum)


@pytest.mark.parametrize(
    "model", [part for part in PARTS if issubclass(part, BaseModel)], ids=lambda model: model.__name__
)
def test_every_field_of_a_model_is_documented(model: type[BaseModel]) -> None:
    assert model.__doc__
    assert all(field.description for field in model.model_fields.values())


def test_every_reason_names_its_conditions() -> None:
    known = {condition.value for condition in ConditionType}
    for reason, text in member_documentation(Reason).items():
        assert set(text.partition(":")[0].split(", ")) <= known, reason


def test_documentation_of_members_is_what_stands_under_them() -> None:
    class Example(StrEnum):
        """Its own docstring."""

        FIRST = "First"
        """About the first."""
        SECOND = "Second"

    assert member_documentation(Example) == {"First": "About the first.", "Second": ""}


def test_reference_has_every_part_and_no_broken_link() -> None:
    page = reference()
    anchors = {line[3:].lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    links = {link.partition(")")[0] for link in page.split("](#")[1:]}
    assert links <= anchors
    assert all(f"`{reason.value}`" in page for reason in Reason)


def test_columns_of_kubectl_get() -> None:
    [version] = DEFINITIONS["AgentTask"]["spec"]["versions"]
    ordinary = [column["name"] for column in version["additionalPrinterColumns"] if not column["priority"]]
    assert ordinary == ["Agent", "State", "Verdict", "Round", "Cost", "Age"]
