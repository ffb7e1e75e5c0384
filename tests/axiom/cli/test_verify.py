"""`axiom verify` as a person or a CI system meets it: bases, hostile candidates, exit codes, refusals with a cure."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from axiom.api.loading import RefusedError, load_classes
from axiom.cli import main
from axiom.cli.main import app
from axiom.running.standalone import Revision, parse_base, with_helpers
from axiom_sandbox.protocol.errands import Vendor

BASE = {"src/leap.py": "def is_leap(year):\n    return year % 4 == 0\n", "README.md": "# leap\n"}
FIXED = "def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n"
SCOPE = {"name": "scope", "diff": {"allowed": ["src/**"]}}
RIGHT = {
    "name": "right",
    "command": {
        "argv": [
            "python3",
            "-c",
            "import sys; sys.path += ['src']; import leap; sys.exit(leap.is_leap(1900))",
        ]
    },
}


@dataclass
class Cli:
    """`axiom verify` on two folders, with a state folder of its own."""

    folder: Path

    def put(self, side: str, files: dict[str, str]) -> Path:
        for name, content in files.items():
            path = self.folder / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return self.folder / side

    def criteria(self, *criteria: dict[str, Any]) -> Path:
        path = self.folder / "criteria.yaml"
        path.write_text(yaml.safe_dump({"criteria": list(criteria)}))
        return path

    def run(self, *options: str, base: str = "", output: str = "json") -> Any:
        arguments = [
            "--base", base or str(self.folder / "base"), "--candidate", str(self.folder / "candidate"),
            "--criteria", str(self.folder / "criteria.yaml"), "--state", str(self.folder / "state"),
            "--output", output, *options,
        ]  # fmt: skip
        return CliRunner().invoke(app, ["verify", *arguments])

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example"]
        subprocess.run(
            ["git", "-C", str(self.folder / "base"), *identity, *arguments], check=True, capture_output=True
        )


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    found = Cli(tmp_path)
    found.put("base", BASE)
    found.put("candidate", BASE)
    return found


def test_the_judges_of_a_class_are_asked_if_they_are_there_and_have_keys(cli: Cli) -> None:
    cli.put("candidate", {"src/leap.py": FIXED})
    cli.criteria(SCOPE, {"name": "judged", "judge": {"question": "Is it honest?"}})
    spec = {"driver": "Codex", "image": "i", "command": ["codex"]}
    judge = {
        "name": "careful",
        "vendor": "Anthropic",
        "model": "claude-x",
        "secretRef": {"name": "s", "key": "k"},
        "upstream": "http://127.0.0.1:9",
    }
    made = {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": "c"},
        "spec": {**spec, "judges": [judge]},
    }
    path = cli.folder / "class.yaml"
    path.write_text(yaml.safe_dump({**made, "spec": spec}))
    none = cli.run("--class", str(path))
    assert none.exit_code == 3
    assert "AgentClass 'c' has no judges" in none.stdout
    path.write_text(yaml.safe_dump(made))
    keyless = cli.run("--class", str(path))
    assert keyless.exit_code == 3
    assert "AXIOM_CREDENTIAL_JUDGE_CAREFUL" in keyless.stdout
    helpers = with_helpers(load_classes([path])[0])
    assert [one.name for one in helpers.spec.judges] == ["careful"]
    assert helpers.spec.vendor is Vendor.OPENAI
    assert helpers.spec.credentials == []


@pytest.mark.sandbox
def test_a_right_change_passes_with_evidence_that_can_be_proved(cli: Cli) -> None:
    cli.put("candidate", {"src/leap.py": FIXED})
    cli.criteria(
        RIGHT, SCOPE, {"name": "wish", "enforcement": "Advisory", "files": {"expect": [{"path": "no"}]}}
    )
    ended = cli.run()
    assert ended.exit_code == 0, ended.stderr
    body = json.loads(ended.stdout)
    assert (body["verdict"], body["reason"]) == ("Pass", "Passed")
    assert [(c["name"], c["type"], c["verdict"]) for c in body["criteria"]] == [
        ("right", "Command", "Pass"),
        ("scope", "Diff", "Pass"),
        ("wish", "Files", "Fail"),
    ]
    assert body["candidate"]["paths"] == 1
    assert "+    return year % 4 == 0 and" in Path(body["diff"]).read_text()
    assert (Path(body["workspace"]) / "src/leap.py").read_text() == FIXED
    proof = CliRunner().invoke(
        app, ["ledger", "verify", body["ledger"]["path"], "--head", body["ledger"]["head"]]
    )
    assert proof.exit_code == 0
    assert list((cli.folder / "state" / "runs").glob("*/scratch")) == []


@pytest.mark.sandbox
def test_a_repository_is_a_base_at_any_revision_and_its_hooks_and_filters_never_run(cli: Cli) -> None:
    cli.git("init", "--quiet", "--initial-branch=main")
    cli.put("base", {".gitattributes": "* filter=evil\n"})
    cli.git("add", "--all")
    cli.git("commit", "--quiet", "--message=one")
    cli.git("tag", "v1")
    ran = cli.folder / "ran"
    cli.git("config", "filter.evil.smudge", f"touch {ran}; cat")
    cli.git("config", "core.fsmonitor", f"touch {ran}")
    cli.put("base", {"src/leap.py": "later\n"})
    cli.git("commit", "--quiet", "--all", "--message=two")
    ran.unlink(missing_ok=True)
    cli.put("candidate", {"src/leap.py": FIXED, ".gitattributes": "* filter=evil\n"})
    cli.criteria(SCOPE)
    ended = cli.run(base=f"{cli.folder / 'base'}#v1", output="table")
    assert ended.exit_code == 0, ended.stderr
    assert "1 paths changed" in ended.stdout
    assert not ran.exists()


@pytest.mark.sandbox
def test_what_a_stranger_put_into_the_candidate_is_found_and_not_followed(cli: Cli) -> None:
    candidate = cli.put("candidate", {"src/leap.py": FIXED, ".git/hooks/post-checkout": "#!/bin/sh\n"})
    (cli.folder / "secret").write_text("of this machine")
    (candidate / "src" / "out").symlink_to(cli.folder / "secret")
    os.mkfifo(candidate / "src" / "pipe")
    (candidate / "src" / "suid").write_text("")
    (candidate / "src" / "suid").chmod(0o4755)
    with (candidate / "src" / "huge").open("wb") as file:
        file.truncate(2**30)
    cli.criteria({"name": "scope", "diff": {"allowed": ["src/leap.py"]}})
    ended = cli.run()
    assert ended.exit_code == 1, ended.stderr
    body = json.loads(ended.stdout)
    reasons = {item["path"]: item["reason"] for item in body["candidate"]["findings"]}
    assert sorted(reasons) == [".git/hooks/post-checkout", "src/huge", "src/out", "src/pipe", "src/suid"]
    assert "src/pipe" in body["criteria"][0]["message"]
    assert sorted(path.name for path in Path(body["workspace"]).rglob("*")) == ["README.md", "leap.py", "src"]
    assert stat.S_IMODE((candidate / "src" / "suid").stat().st_mode) == 0o4755


SERVER = """\
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
"""


@pytest.mark.sandbox
def test_a_linter_a_search_for_secrets_and_a_probe_work_under_the_launcher(cli: Cli) -> None:
    token = "ghp_" + "aB3dE6gH9" * 4
    cli.put("candidate", {"server.py": SERVER, "src/leap.py": f"import os\nTOKEN = '{token}'\n"})
    asked = {"path": "/$(NONCE)", "bodyMatches": ["^/$(NONCE)$"]}
    cli.criteria(
        {"name": "lint", "lint": {"select": ["F"]}},
        {"name": "secrets", "secrets": {}},
        {"name": "server", "probe": {"argv": ["python3", "server.py"], "port": 18080, "requests": [asked]}},
    )
    ended = cli.run(output="sarif")
    assert ended.exit_code == 1, ended.stderr
    assert token not in ended.stdout + ended.stderr
    found = [
        (
            one["ruleId"],
            one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            one["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for one in json.loads(ended.stdout)["runs"][0]["results"]
    ]
    assert found == [("lint", "src/leap.py", 1), ("secrets", "src/leap.py", 2)]


@pytest.mark.sandbox
def test_what_cannot_be_decided_is_exit_code_2(cli: Cli) -> None:
    cli.criteria({"name": "c", "command": {"argv": ["no-such-program"]}})
    ended = cli.run(output="junit")
    assert ended.exit_code == 2, ended.stderr
    assert '<error message="no-such-program could not be started' in ended.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--candidate", "/no/such"],
            "--candidate: there is no directory '/no/such'; name the changed workspace",
        ),
        (["--criteria", "/no/such"], "/no/such: cannot be read: No such file or directory; check the path"),
        (["--base", "/no/such"], "--base: there is no directory '/no/such'; name one, or a repository"),
        (["--base", ".#--upload-pack=x"], "--base: '--upload-pack=x' is not a revision"),
        (["--image", "two words"], "--image: 'two words' is not an image"),
        (["--image", "a", "--backend", "bubblewrap"], "--image: means nothing to bubblewrap"),
        (["--deadline", "soon"], "--deadline: 'soon' is not a duration"),
    ],
)
def test_bad_input_is_exit_code_3_and_names_the_option_and_the_cure(
    cli: Cli, options: list[str], says: str
) -> None:
    cli.criteria(SCOPE)
    ended = cli.run(*options)
    assert ended.exit_code == 3
    error = json.loads(ended.stdout)["error"]
    assert (error["code"], says in error["message"]) == ("REFUSED", True), error


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("criteria: []", "criteria: needs at least 1 entry"),
        (
            "criteria: [{name: a, diff: {maxfiles: 1}}]",
            "criteria[0].diff.maxfiles: there is no such field; did you mean",
        ),
        ("criteria: [{name: a, enforcement: Advisory, diff: {}}]", "no Hard criterion"),
        ("criteria: [{name: a, diff: {}}, {name: a, diff: {}}]", "two entries have the name 'a'"),
        ("[]", "holds something that is not an object"),
        ("kind: AgentClass", "must be axiom.dev/v1alpha1"),
    ],
)
def test_a_file_of_criteria_is_refused_as_a_task_would_be(cli: Cli, text: str, says: str) -> None:
    (cli.folder / "criteria.yaml").write_text(text)
    ended = cli.run()
    assert ended.exit_code == 3
    assert says in json.loads(ended.stdout)["error"]["message"]


def test_a_revision_that_is_not_there_is_exit_code_3(cli: Cli) -> None:
    cli.criteria(SCOPE)
    ended = cli.run(base=f"{cli.folder / 'base'}#nope")
    assert ended.exit_code == 3
    assert "base is no git repository" in json.loads(ended.stdout)["error"]["message"]
    cli.git("init", "--quiet")
    ended = cli.run(base=f"{cli.folder / 'base'}#nope")
    assert ended.exit_code == 3
    assert "has no revision 'nope'" in json.loads(ended.stdout)["error"]["message"]


def test_an_address_that_has_no_such_revision_is_exit_code_4(cli: Cli) -> None:
    cli.git("init", "--quiet")
    cli.criteria(SCOPE)
    ended = cli.run(base=f"{(cli.folder / 'base').as_uri()}#nope")
    assert ended.exit_code == 4
    assert "has no revision 'nope'; correct --base" in json.loads(ended.stdout)["error"]["message"]


@pytest.mark.sandbox
def test_a_commit_is_named_as_git_does_in_a_repository_that_may_be_another_users(cli: Cli) -> None:
    cli.git("init", "--quiet", "--initial-branch=main")
    cli.git("add", "--all")
    cli.git("commit", "--quiet", "--message=one")
    cli.put("base", {"src/leap.py": "later\n"})
    cli.git("commit", "--quiet", "--all", "--message=two")
    cli.git("checkout", "--quiet", "--detach")
    if os.getuid() == 0:
        for path in [cli.folder / "base", *(cli.folder / "base").rglob("*")]:
            os.lchown(path, 1234, 1234)
    cli.put("candidate", {"src/leap.py": FIXED})
    cli.criteria(SCOPE)
    for name in ("HEAD~1", "main^"):
        ended = cli.run(base=f"{cli.folder / 'base'}#{name}", output="table")
        assert ended.exit_code == 0, ended.stdout + ended.stderr
        assert "1 paths changed" in ended.stdout


def test_the_ways_to_name_a_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("plain", "odd#name"):
        (tmp_path / name).mkdir()
    url = tmp_path.as_uri()
    assert parse_base("plain") == Path("plain")
    assert parse_base("odd#name") == Path("odd#name")
    assert parse_base("plain#main") == Revision(f"{url}/plain", "main", tmp_path / "plain")
    assert parse_base(".#feature/x") == Revision(url, "feature/x", tmp_path)
    assert parse_base(".#HEAD~1") == Revision(url, "HEAD~1", tmp_path)
    assert parse_base("odd#name#v1") == Revision(f"{url}/odd%23name", "v1", tmp_path / "odd#name")
    assert parse_base("https://git.example/leap.git") == Revision("https://git.example/leap.git", "HEAD")
    assert parse_base("ssh://git@git.example/l.git#3f2c9e1") == Revision(
        "ssh://git@git.example/l.git", "3f2c9e1"
    )
    for bad in (
        "ext::sh -c evil#main",
        "git@git.example:leap.git#main",
        "http://git.example/leap.git#main",
        "https://git.example/l.git#HEAD~1",
    ):
        with pytest.raises(RefusedError):
            parse_base(bad)


HIDDEN = {
    "name": "unseen",
    "tests": {"failToPass": ["test_unseen.py::test_1900"], "hidden": {"secret": {"name": "their-tests"}}},
}


def test_hidden_tests_beside_the_criteria_decide(cli: Cli) -> None:
    cli.put("base", BASE)
    cli.put("candidate", {**BASE, "src/leap.py": FIXED})
    cli.criteria(HIDDEN)
    cli.put(
        "their-tests",
        {"test_unseen.py": "import leap\n\n\ndef test_1900():\n    assert not leap.is_leap(1900)\n"},
    )
    result = cli.run()
    assert result.exit_code == 0, result.output


def test_hidden_tests_that_are_not_there_are_asked_for(cli: Cli) -> None:
    cli.put("base", BASE)
    cli.put("candidate", BASE)
    cli.criteria(HIDDEN)
    result = cli.run()
    assert result.exit_code == 3
    assert (
        "criteria[unseen].tests.hidden: there is no folder or archive 'their-tests' beside" in result.output
    )


def test_a_fault_of_ours_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main, "app", broken)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 4


def test_a_message_is_a_candidate_where_the_criteria_say_so(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.put("base", BASE)
    asked = {
        "criteria": [SCOPE, RIGHT],
        "verification": {"candidate": "Message", "messagePath": "src/leap.py"},
    }
    (cli.folder / "criteria.yaml").write_text(yaml.safe_dump(asked))
    (cli.folder / "candidate").write_text(f"So:\n```python\n{FIXED}```\n")
    found = cli.run()
    assert found.exit_code == 0, found.output
    assert "+    return year % 4 == 0 and" in Path(json.loads(found.stdout)["diff"]).read_text()
    (cli.folder / "candidate").write_text("It is done; the tests pass.")
    found = cli.run()
    assert found.exit_code == 1
    assert "holds no code" in json.loads(found.stdout)["criteria"][0]["message"]
    (cli.folder / "candidate").unlink()
    found = cli.run()
    assert found.exit_code == 3
    assert "name a file that holds it" in found.stdout


SERVING = """\
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from leap import is_leap


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(is_leap(int(self.path[1:]))).encode())


def test_served():
    with HTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://localhost:{server.server_port}/1900", timeout=20) as answer:
            assert answer.read() == b"False"
        server.shutdown()


def test_reachable():
    HTTPServer(("127.0.0.1", 0), Handler).server_close()
"""


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("loopback", "kept", "verdict", "said"),
    [
        (True, ["tests/test_served.py::test_reachable"], "Pass", "tests pass"),
        (
            False,
            ["tests/test_served.py::test_reachable"],
            "Inconclusive",
            "If it needs a socket, set loopback: true.",
        ),
        (
            False,
            [],
            "Inconclusive",
            "So it is on the unchanged base. If it needs a socket, set loopback: true.",
        ),
    ],
)
def test_tests_speak_with_a_server_where_the_criterion_gives_them_a_loopback(
    cli: Cli, loopback: bool, kept: list[str], verdict: str, said: str
) -> None:
    tests = {
        "failToPass": ["tests/test_served.py::test_served"],
        "passToPass": kept,
        "loopback": loopback,
    }
    for side in ("base", "candidate"):
        cli.put(side, {**BASE, "tests/test_served.py": SERVING, "pytest.ini": "[pytest]\npythonpath = src\n"})
    cli.put("candidate", {"src/leap.py": FIXED})
    cli.criteria({"name": "served", "tests": tests})
    [found] = json.loads(cli.run().stdout)["criteria"]
    assert found["verdict"] == verdict, found["message"]
    assert found["strength"] == "InProcess" or not loopback
    assert said in found["message"]
