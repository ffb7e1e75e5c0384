"""Files that a person wrote become one task and its class, or a refusal that names the field and the cure."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api_table import GOOD_CLASS, GOOD_TASK, changed

from axiom.api.loading import RefusedError, load_manifest, parse_task

TASK = changed(GOOD_TASK, {"spec.agentClassName": "codex"})


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "task.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def as_yaml(*documents: Any) -> str:
    return yaml.safe_dump_all(documents, allow_unicode=True)


def refusal(*paths: Path) -> str:
    with pytest.raises(RefusedError) as caught:
        load_manifest(paths)
    return str(caught.value)


def test_task_and_class_in_one_file(write: Any) -> None:
    manifest = load_manifest([write(as_yaml(TASK, GOOD_CLASS))])
    assert (manifest.task.name, manifest.agent_class.name) == ("fix-leap-year", "codex")


def test_task_and_class_in_two_files(write: Any) -> None:
    paths = [write(as_yaml(TASK)), write(as_yaml(GOOD_CLASS), "class.yaml")]
    assert load_manifest(paths).agent_class.spec.command[0] == "codex"


def test_the_task_names_one_of_several_classes(write: Any) -> None:
    other = changed(GOOD_CLASS, {"metadata.name": "other"})
    assert load_manifest([write(as_yaml(other, GOOD_CLASS, TASK))]).agent_class.name == "codex"


def test_a_later_class_replaces_an_earlier_one_of_its_name(write: Any) -> None:
    mine = changed(GOOD_CLASS, {"spec.command": ["mine", "$(AXIOM_PROMPT)"]})
    paths = [write(as_yaml(TASK, GOOD_CLASS)), write(as_yaml(mine), "class.yaml")]
    assert load_manifest(paths).agent_class.spec.command[0] == "mine"


def test_empty_documents_are_passed_over(write: Any) -> None:
    assert load_manifest([write("---\n---\n" + as_yaml(TASK, GOOD_CLASS) + "\n---\n# the end\n")])


def test_what_the_api_server_adds_to_metadata_is_taken(write: Any) -> None:
    served = changed(TASK, {"metadata.uid": "u-1", "metadata.managedFields": [{"manager": "kubectl"}]})
    assert load_manifest([write(as_yaml(served, GOOD_CLASS))]).task.uid == "u-1"


def test_a_date_is_a_string_as_for_kubectl(write: Any) -> None:
    text = as_yaml(TASK, GOOD_CLASS).replace("revision: 3f2c9e1", "revision: 2026-11-21")
    git = load_manifest([write(text)]).task.spec.workspace.git
    assert git
    assert git.revision == "2026-11-21"


def test_refusal_names_every_field_at_fault_with_file_and_kind(write: Any) -> None:
    path = write(as_yaml(changed(TASK, {"spec.prompt": "", "spec.limits.idle": "soon"}), GOOD_CLASS))
    lines = refusal(path).splitlines()
    assert lines[0] == f"{path} (AgentTask): spec.prompt: '' holds no text; say what the agent is to do"
    assert lines[1].startswith(f"{path} (AgentTask): spec.limits.idle: 'soon' is not a duration;")


def test_class_that_is_not_given(write: Any) -> None:
    said = refusal(write(as_yaml(TASK)))
    assert "spec.agentClassName: no AgentClass 'codex' was given; put the AgentClass in the same file" in said
    assert "--class" in said


def test_class_that_is_at_fault(write: Any) -> None:
    wrong = changed(GOOD_CLASS, {"spec.command": ["codex"]})
    assert "(AgentClass): spec: command has no $(AXIOM_PROMPT)" in refusal(write(as_yaml(TASK, wrong)))


def test_two_tasks(write: Any) -> None:
    second = changed(TASK, {"metadata.name": "second"})
    said = refusal(write(as_yaml(TASK, second, GOOD_CLASS)))
    assert "exactly one AgentTask is needed, but found: fix-leap-year, second" in said


def test_no_task(write: Any) -> None:
    assert "exactly one AgentTask is needed, but found: none" in refusal(write(as_yaml(GOOD_CLASS)))


def test_nothing_at_all(write: Any) -> None:
    assert "exactly one AgentTask is needed" in refusal(write(""))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    said = refusal(tmp_path / "nowhere.yaml")
    assert said == f"{tmp_path}/nowhere.yaml: cannot be read: No such file or directory; check the path"


def test_file_that_is_a_folder(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in refusal(tmp_path)


def test_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_bytes(b"kind: \xff\xfe")
    assert "is not text in UTF-8 (byte 6); save it as UTF-8" in refusal(path)


def test_file_that_is_no_yaml(write: Any) -> None:
    said = refusal(write("spec: [1, 2\nkind: x"))
    assert "is not YAML: " in said
    assert "line 2" in said


def test_tag_that_would_run_code(write: Any) -> None:
    assert "is not YAML: " in refusal(write("!!python/object/apply:os.system [id]"))


def test_a_key_twice(write: Any) -> None:
    said = refusal(write("kind: AgentTask\nkind: AgentClass\n"))
    assert "the key 'kind' is there twice" in said
    assert "line 2" in said


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "42"])
def test_document_that_is_no_object(write: Any, text: str) -> None:
    assert "holds something that is not an object; begin with apiVersion, kind, metadata" in refusal(
        write(text)
    )


@pytest.mark.parametrize("text", ["spec: &a {b: *a}", "spec: !!set {a}", "spec: !!binary aGVsbG8="])
def test_document_that_json_cannot_say(write: Any, text: str) -> None:
    head = "apiVersion: axiom.dev/v1alpha1\nkind: AgentTask\nmetadata: {name: x}\n"
    assert "holds what JSON cannot say" in refusal(write(head + text))


def test_class_of_another_name(write: Any) -> None:
    said = refusal(write(as_yaml(changed(TASK, {"spec.agentClassName": "codx"}), GOOD_CLASS)))
    assert "no AgentClass 'codx' was given; did you mean codex?" in said
    said = refusal(write(as_yaml(changed(TASK, {"spec.agentClassName": "another"}), GOOD_CLASS)))
    assert "no AgentClass 'another' was given; only codex; put the AgentClass in the same file" in said


def test_kind_that_is_missing(write: Any) -> None:
    assert "kind: this field is required; write AgentTask or AgentClass" in refusal(write("spec: {}"))


def test_kind_of_something_else(write: Any) -> None:
    said = refusal(write("apiVersion: v1\nkind: Pod\n"))
    assert "kind: 'Pod' is neither AgentTask nor AgentClass; correct or remove it" in said
    said = refusal(write("apiVersion: axiom.dev/v1alpha1\nkind: agenttasks\n"))
    assert "kind: 'agenttasks' is neither AgentTask nor AgentClass; did you mean AgentTask?" in said


@pytest.mark.parametrize("version", [None, "v1", "axiom.dev/v1"])
def test_version_of_another_api(write: Any, version: str | None) -> None:
    said = refusal(write(as_yaml(TASK | {"apiVersion": version})))
    assert "apiVersion: must be axiom.dev/v1alpha1; write it so" in said


@pytest.mark.parametrize("metadata", [None, "x", {}, {"name": None}, {"name": 5}])
def test_metadata_without_a_name(metadata: Any) -> None:
    with pytest.raises(RefusedError, match=r"AgentTask: metadata\.name: this field is required; add it"):
        parse_task(TASK | {"metadata": metadata})
