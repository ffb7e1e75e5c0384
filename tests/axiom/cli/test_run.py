"""`axiom run` as a person or a script meets it: objects, tables, exit codes, refusals with a cure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.axiom.running.runs import CONTROL_GROUPS, processes_with
from typer.testing import CliRunner

from axiom.cli.main import app

CLASS = {
    "apiVersion": "axiom.dev/v1alpha1",
    "kind": "AgentClass",
    "metadata": {"name": "shell"},
    "spec": {
        "command": ["/bin/sh", "-euc", "$(AXIOM_PROMPT)"],
        "showCriteria": False,
        "screenshots": {"terminal": False},
    },
}
OUT = {"name": "out", "files": {"expect": [{"path": "out", "matches": "^done\n?$"}]}}


def agent_class(**spec: Any) -> dict[str, Any]:
    return {**CLASS, "spec": {**CLASS["spec"], **spec}}  # type: ignore[dict-item]


def agent_task(prompt: str = "echo done > out", **spec: Any) -> dict[str, Any]:
    body = {
        "agentClassName": "shell",
        "prompt": prompt,
        "criteria": [OUT],
        "limits": {"maxRounds": 1, "deadline": "2m"},
        **spec,
    }
    return {"apiVersion": "axiom.dev/v1alpha1", "kind": "AgentTask", "metadata": {"name": "t"}, "spec": body}


@dataclass
class Cli:
    """`axiom run` on documents, with a state folder of its own."""

    folder: Path

    def write(self, name: str, *documents: dict[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump_all(documents))
        return path

    def run(self, *documents: dict[str, Any], options: tuple[str, ...] = ("--json",)) -> Any:
        path = self.write("task.yaml", *documents)
        return CliRunner().invoke(app, ["run", str(path), "--state", str(self.folder / "state"), *options])

    def ledger(self, *arguments: str) -> Any:
        return CliRunner().invoke(app, ["ledger", *arguments])

    def leftovers(self) -> list[str]:
        return [path.name for path in (self.folder / "state" / "runs").glob("*/scratch")]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.mark.sandbox
def test_pass_is_one_object_of_the_promised_shape_and_exit_code_0(cli: Cli) -> None:
    unusual = agent_task(
        criteria=[OUT, {"name": "wish", "enforcement": "Advisory", "files": {"expect": [{"path": "no"}]}}]
    )
    ended = cli.run(unusual, CLASS)
    assert ended.exit_code == 0, ended.stderr
    body = json.loads(ended.stdout)
    assert list(body) == [
        "task", "verdict", "reason", "claim", "assisted", "rounds", "criteria", "ledger", "diff", "workspace", "agent", "usage", "durationSeconds",
    ]  # fmt: skip
    assert (body["task"], body["verdict"], body["rounds"]) == ("t", "Pass", 1)
    assert body["claim"]["says"] == "Success"
    assert [sorted(item) for item in body["criteria"]] == 2 * [
        ["enforcement", "message", "name", "type", "verdict"]
    ]
    assert [(item["name"], item["verdict"], item["enforcement"]) for item in body["criteria"]] == [
        ("out", "Pass", "Hard"),
        ("wish", "Fail", "Advisory"),
    ]
    assert "+done" in Path(body["diff"]).read_text()
    assert (Path(body["workspace"]) / "out").read_text() == "done\n"
    assert set(body["ledger"]) == {"path", "records", "head"}
    assert cli.leftovers() == []

    whole = cli.ledger("verify", body["ledger"]["path"], "--head", body["ledger"]["head"], "--json")
    assert whole.exit_code == 0
    assert json.loads(whole.stdout)["records"] == body["ledger"]["records"]
    shown = cli.ledger("show", body["ledger"]["path"])
    assert [line.split()[2] for line in shown.stdout.splitlines()][:2] == [
        "sandbox_started",
        "launcher_connected",
    ]
    stored = cli.ledger("show", "--json", body["ledger"]["path"]).stdout.splitlines()
    assert json.loads(stored[-1])["hash"] == body["ledger"]["head"]

    tampered = cli.folder / "tampered.jsonl"
    tampered.write_text("\n".join(stored).replace("echo done", "echo nice") + "\n")
    broken = cli.ledger("verify", str(tampered))
    assert broken.exit_code == 1
    assert "BROKEN at record" in broken.stdout


@pytest.mark.sandbox
def test_what_the_agent_showed_is_left_as_pictures_unless_its_class_says_no(cli: Cli) -> None:
    shown = agent_class(screenshots={})
    assert cli.run(shown, agent_task("echo hello; echo done > out")).exit_code == 0
    where = ["t", "--state", str(cli.folder / "state"), "--screenshots", str(cli.folder / "pictures")]
    listed = CliRunner().invoke(app, ["replay", *where])
    assert listed.exit_code == 0, listed.output
    [picture] = (cli.folder / "pictures").iterdir()
    assert picture.name in listed.stdout
    assert picture.read_bytes()[12:16] == b"VP8L"


def test_fail_is_exit_code_1_and_the_table_says_why(cli: Cli) -> None:
    ended = cli.run(agent_task("echo 'All is well: I created `gone.py`.'"), CLASS, options=())
    assert ended.exit_code == 1
    for wanted in (
        "the evidence says otherwise",
        "it claimed Outcome: Success; found: Fail: out:",
        "it claimed FileWritten: gone.py; found: there is no such file",
    ):
        assert wanted in ended.stdout
    sheet = CliRunner().invoke(app, ["review", "t", "--local", "--state", str(cli.folder / "state")])
    assert sheet.exit_code == 0, sheet.stderr
    assert "it claimed Success:\n    | All is well: I created `gone.py`." in sheet.stdout
    assert "but it claimed FileWritten: gone.py" in sheet.stdout
    assert "out" in ended.stdout
    told = ended.stderr
    order = [
        told.index(word)
        for word in ("Accepted", "SandboxReady: Ready", "round 1: the agent says Success", "Complete")
    ]
    assert order == sorted(order)


@pytest.mark.sandbox
def test_inconclusive_is_exit_code_2(cli: Cli) -> None:
    unproven = {"name": "tests", "tests": {"runner": "Pytest", "failToPass": ["test_x.py::test_x"]}}
    files = [{"path": "test_x.py", "content": "def test_x():\n    pass\n"}]
    ended = cli.run(agent_task(criteria=[unproven], workspace={"files": files}), CLASS)
    assert ended.exit_code == 2, ended.stderr
    assert json.loads(ended.stdout)["verdict"] == "Inconclusive"


@pytest.mark.sandbox
def test_a_command_that_is_not_there_is_exit_code_4(cli: Cli) -> None:
    ended = cli.run(agent_task(), agent_class(command=["/opt/no/such-agent", "$(AXIOM_PROMPT)"]))
    assert ended.exit_code == 4
    body = json.loads(ended.stdout)
    assert body["verdict"] is None
    assert "/opt/no/such-agent" in body["error"]["message"]


@pytest.mark.sandbox
def test_a_class_from_another_file_and_a_workspace_from_git(cli: Cli) -> None:
    url, revision = make_repository(cli.folder / "origin")
    path = cli.write("class.yaml", CLASS)
    task = agent_task(
        "cat in; [ ! -e .git ]; cp in out", workspace={"git": {"url": url, "revision": revision}}
    )
    ended = cli.run(task, options=("--class", str(path), "--json"))
    assert ended.exit_code == 0, ended.stderr
    attempt = Path(json.loads(ended.stdout)["ledger"]["path"]).parents[1]
    assert sorted(folder.name for folder in attempt.iterdir()) == ["agent", "verifier-1-1"]


def make_repository(path: Path) -> tuple[str, str]:
    path.mkdir()
    (path / "in").write_text("done\n")
    who = ("-c", "user.name=A", "-c", "user.email=a@b.example")
    for arguments in (("init", "-q"), ("add", "in"), (*who, "commit", "-q", "-m", "one")):
        subprocess.run(["git", *arguments], cwd=path, check=True)
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=path, check=True, capture_output=True, text=True
    ).stdout
    return f"file://{path}", revision.strip()


@pytest.mark.sandbox
def test_an_archive_is_a_file_and_the_result_of_a_run_another_ones_workspace(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cli.folder / "src").mkdir()
    (cli.folder / "src" / "in.txt").write_text("done")
    subprocess.run(["tar", "-czf", "base.tar.gz", "-C", "src", "."], cwd=cli.folder, check=True)
    monkeypatch.chdir(cli.folder)
    ended = cli.run(agent_task("cp in.txt out", workspace={"archive": {"key": "base.tar.gz"}}), CLASS)
    assert ended.exit_code == 0, ended.stderr

    follower = agent_task("test -f in.txt && rm in.txt", workspace={"task": {"name": "t"}})
    ended = cli.run(follower, CLASS)
    assert ended.exit_code == 0, ended.stderr
    assert [path.name for path in Path(json.loads(ended.stdout)["workspace"]).iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("workspace", "code", "said"),
    [
        ({"persistentVolumeClaim": {"claimName": "data"}}, 3, "the volume 'data' exists on a cluster alone"),
        ({"archive": {"key": "nothing.tar"}}, 4, "there is no file 'nothing.tar' below"),
        ({"task": {"name": "never-ran"}}, 4, "no run of a task 'never-ran' is kept below"),
        (
            {"git": {"url": "https://git.example/x", "revision": "main", "credentialsSecret": "git-robot"}},
            3,
            "set the variable AXIOM_SECRET_GIT_ROBOT to a folder with a file for each key",
        ),
    ],
)
def test_a_workspace_that_cannot_be_had_here_says_what_to_do(
    cli: Cli, workspace: dict[str, Any], code: int, said: str
) -> None:
    ended = cli.run(agent_task(workspace=workspace), CLASS)
    assert ended.exit_code == code
    assert said in json.loads(ended.stdout)["error"]["message"]


@pytest.mark.sandbox
def test_a_revision_that_does_not_exist_names_the_field(cli: Cli) -> None:
    url, _ = make_repository(cli.folder / "origin")
    ended = cli.run(agent_task(workspace={"git": {"url": url, "revision": "no-such-branch"}}), CLASS)
    assert ended.exit_code == 4
    message = json.loads(ended.stdout)["error"]["message"]
    assert "spec.workspace.git" in message
    assert "no revision 'no-such-branch'; correct spec.workspace.git.revision" in message
    assert list((cli.folder / "state" / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("documents", "field", "cure"),
    [
        ((agent_task(),), "spec.agentClassName", "--class"),
        ((agent_task(" \n"), CLASS), "spec.prompt", "say what the agent is to do"),
        ((agent_task(criteria=[{**OUT, "enforcement": "Advisory"}]), CLASS), "spec", "Hard"),
        ((agent_task(workspace={"configMap": {"name": "c"}}), CLASS), "spec.workspace.configMap", "workspace.files"),
        ((agent_task(suspend=True), CLASS), "spec.suspend", "remove it"),
        ((agent_task(limits={"deadline": "soon"}), CLASS), "spec.limits.deadline", ""),
        ((agent_task(), agent_class(local={"readOnlyPaths": ["/no/such/path"]})), "spec.local.readOnlyPaths", "correct the path"),
        (
            (agent_task(), agent_class(credentials=[{"name": "my-key", "secretRef": {"name": "s", "key": "k"}, "route": {"prefix": "/v", "upstream": "https://v.example"}}])),
            "spec.credentials[my-key]",
            "set the variable AXIOM_CREDENTIAL_MY_KEY",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_exit_code_3_and_names_field_and_cure(
    cli: Cli, documents: tuple[dict[str, Any], ...], field: str, cure: str
) -> None:
    ended = cli.run(*documents)
    assert ended.exit_code == 3, ended.stdout
    error = json.loads(ended.stdout)["error"]
    assert error["code"] == "REFUSED"
    assert field in error["message"]
    assert cure in error["message"]
    assert error["message"] in ended.stderr.replace("\n", " ") or field in ended.stderr


def test_without_bubblewrap_it_refuses_and_says_what_to_install(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cli.folder))
    ended = cli.run(agent_task(), CLASS)
    assert ended.exit_code == 4
    assert "apt install bubblewrap" in json.loads(ended.stdout)["error"]["message"]


def test_a_bubblewrap_that_may_not_make_sandboxes_is_told_apart(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = cli.folder / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cli.folder}:{os.environ['PATH']}")
    ended = cli.run(agent_task(), CLASS)
    assert ended.exit_code == 4
    message = json.loads(ended.stdout)["error"]["message"]
    assert "No permissions to create new namespace" in message
    assert "allow user namespaces" in message


def test_without_a_launcher_it_says_how_to_build_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import axiom_sandbox

    monkeypatch.setattr(axiom_sandbox, "__file__", str(cli.folder / "x" / "y" / "__init__.py"))
    ended = cli.run(agent_task(), CLASS)
    assert ended.exit_code == 4
    assert "make launcher" in json.loads(ended.stdout)["error"]["message"]


def test_a_state_folder_that_cannot_be_written(cli: Cli) -> None:
    (cli.folder / "state").write_text("a file")
    ended = cli.run(agent_task(), CLASS)
    assert ended.exit_code == 4
    assert "--state" in json.loads(ended.stdout)["error"]["message"]


@pytest.mark.sandbox
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_cleans_up(cli: Cli, number: int, code: int) -> None:
    path = cli.write("task.yaml", agent_task("echo begun; sleep 60"), CLASS)
    state = cli.folder / "state"
    command = [sys.executable, "-m", "axiom.cli.main", "run", str(path), "--state", str(state)]
    environment = {**os.environ, "TMPDIR": str(cli.folder)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: any(state.glob("runs/*/scratch/1-agent/state/fed-1")))
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "interrupted" in errors
    assert list((state / "runs").iterdir()) == []
    assert processes_with(str(cli.folder)) == []
    assert list(cli.folder.glob("axiom-*")) == []


@pytest.mark.sandbox
def test_a_run_that_is_killed_leaves_no_process_and_the_next_run_removes_the_rest(cli: Cli) -> None:
    path = cli.write("task.yaml", agent_task("echo begun; sleep 60"), CLASS)
    state = cli.folder / "state"
    command = [sys.executable, "-m", "axiom.cli.main", "run", str(path), "--state", str(state)]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(cli.folder)}) as process:
        wait_for(lambda: any(state.glob("runs/*/scratch/1-agent/state/fed-1")))
        process.kill()
    wait_for(lambda: not processes_with(str(cli.folder)))
    assert cli.leftovers() == ["scratch"]
    assert list(cli.folder.glob("axiom-*")) != []

    ended = cli.run(agent_task(), CLASS)

    assert ended.exit_code == 0, ended.stderr
    assert "removed what a killed run had left" in ended.stderr
    assert cli.leftovers() == []
    assert list(cli.folder.glob("axiom-*")) == []
    assert [group for root in CONTROL_GROUPS for group in root.glob(f"axiom-{process.pid}-*")] == []


def wait_for(condition: Any, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("axiom 0.")


UNSEEN = {
    "name": "unseen",
    "tests": {"failToPass": ["test_unseen.py::test_it"], "hidden": {"secret": {"name": "their-tests"}}},
}


def test_hidden_tests_that_are_not_beside_the_task_are_asked_for(cli: Cli) -> None:
    ended = cli.run(agent_task(criteria=[UNSEEN]), CLASS)
    assert ended.exit_code == 3
    message = json.loads(ended.stdout)["error"]["message"]
    assert "spec.criteria[unseen].tests.hidden: there is no folder or archive 'their-tests' beside" in message


def test_hidden_tests_where_the_agent_would_see_them_are_refused(cli: Cli) -> None:
    (cli.folder / "their-tests").mkdir()
    ended = cli.run(agent_task(criteria=[UNSEEN]), agent_class(local={"readOnlyPaths": [str(cli.folder)]}))
    assert ended.exit_code == 3
    assert "which the class shows to the agent" in json.loads(ended.stdout)["error"]["message"]


@pytest.mark.sandbox
def test_hidden_tests_beside_the_task_decide_and_the_agent_hears_nothing_of_them(cli: Cli) -> None:
    (cli.folder / "their-tests").mkdir()
    (cli.folder / "their-tests" / "test_unseen.py").write_text(
        "def test_it(): assert 'unseen' not in open('told').read()\n"
    )
    told = {**agent_class(command=["/bin/sh", "-euc", 'printf %s "$0" > told', "$(AXIOM_PROMPT)"])}
    del told["spec"]["showCriteria"]
    ended = cli.run(agent_task(prompt="do it", criteria=[OUT | {"enforcement": "Advisory"}, UNSEEN]), told)
    body = json.loads(ended.stdout)
    assert body["verdict"] == "Pass", body
    prompt = (Path(body["workspace"]) / "told").read_text()
    assert prompt.startswith("do it")
    assert "name: out" in prompt
