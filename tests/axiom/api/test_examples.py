"""Every example can be applied as it is, and none needs a key."""

import json
from pathlib import Path

import pytest

from axiom.api.loading import load_manifest, parse_class, parse_task
from axiom.api.yaml_files import read_documents

FOLDER = Path(__file__).parents[3] / "examples"
AGENTS = sorted((FOLDER / "agents").glob("*.yaml"))
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
TASKS = [
    path for path in EXAMPLES if any(document["kind"] == "AgentTask" for document in read_documents(path))
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_object_is_good_and_needs_no_vendor(path: Path) -> None:
    for document in read_documents(path):
        if document["kind"] == "AgentTask":
            parse_task(document)
        else:
            assert parse_class(document).spec.credentials == []


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_task_brings_its_class_along_or_others_do(path: Path) -> None:
    classes = [other for other in EXAMPLES if other not in TASKS]
    for files in [[path]] if "kind: AgentClass" in path.read_text() else [[path, other] for other in classes]:
        manifest = load_manifest(files)
        assert manifest.task.spec.agent_class_name == manifest.agent_class.name


def test_tasks_have_names_of_their_own() -> None:
    names = [document["metadata"]["name"] for path in TASKS for document in read_documents(path)]
    tasks = [name for name in names if name not in {"shell", "demo"}]
    assert len(tasks) == len(set(tasks))


def test_the_class_that_is_a_shell_is_the_same_everywhere() -> None:
    documents = [document for path in EXAMPLES for document in read_documents(path)]
    shells = [document for document in documents if document["metadata"]["name"] == "shell"]
    assert all(shell == shells[0] for shell in shells)


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_a_class_of_a_vendor_s_agent_is_spoken_with_in_messages_and_holds_no_key(path: Path) -> None:
    [document] = read_documents(path)
    spec = parse_class(document).spec
    assert spec.driver.lower() == path.stem
    [credential] = spec.credentials
    assert credential.secret_ref.key
    assert any(credential.route.prefix in variable.value for variable in spec.env) or any(
        credential.route.prefix in file.content for file in spec.home_files
    ), "the agent must ask its model by the route of its credential"
    assert {variable.value for variable in spec.env if "KEY" in variable.name} == {"$(AXIOM_TOKEN)"}


def test_each_agent_with_an_image_has_a_class_of_the_same_version() -> None:
    pins = FOLDER.parent / "sandbox-image" / "agents"
    for path in AGENTS:
        [version] = json.loads((pins / path.stem / "package.json").read_text())["dependencies"].values()
        [document] = read_documents(path)
        assert document["spec"]["image"].endswith(f"/{path.stem}:{version}")
