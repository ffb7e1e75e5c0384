"""`axiom probe` on this machine, and what it says of each assertion."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from axiom.cli.main import app
from axiom.cli.probing import ProbeExit
from axiom.probing.explaining import _KINDS, explain
from axiom.probing.report import Report
from axiom_sandbox.protocol.launching import Assertion

LAUNCHER = Path(__file__).parents[3] / "sandbox-image" / "launcher"


def class_file(folder: Path, **spec: object) -> Path:
    path = folder / "class.yaml"
    body = {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": "c"},
        "spec": {"command": ["true", "$(AXIOM_PROMPT)"], **spec},
    }
    path.write_text(yaml.safe_dump(body))
    return path


@pytest.fixture
def short_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where sandboxes are made: sockets have short paths."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.mark.sandbox
def test_every_assertion_is_shown_with_what_it_tried(tmp_path: Path, short_tmp: Path) -> None:
    path = class_file(tmp_path, network="Strict", isolation={"mayMiss": ["Landlock"]})
    ended = CliRunner().invoke(
        app, ["probe", "--backend", "bubblewrap", "--class", str(path), "--json"], catch_exceptions=False
    )
    body = json.loads(ended.stdout)
    assert ended.exit_code == ProbeExit.HELD
    assert body["passed"]
    assert len(body["assertions"]) > 120
    assert all(one["tried"] and one["meaning"] and one["cure"] for one in body["assertions"])
    tried = {one["name"]: one["tried"] for one in body["assertions"]}
    assert tried["seccomp.ptrace-denied"] == "use what an agent never needs: ptrace"
    assert tried["launcher.memory-hidden"] == "reach the launcher's process: memory"
    assert {layer["name"] for layer in body["layers"]} >= {"UserNamespace", "Landlock", "Seccomp"}
    assert list(short_tmp.iterdir()) == []


def test_every_explanation_is_for_an_assertion_of_the_launcher() -> None:
    written = "".join(path.read_text() for path in LAUNCHER.glob("probe_*.go"))
    names = set(re.findall(r'"((?:launcher|container|network|landlock|seccomp)\.[a-z0-9-]+)', written))
    explained = {explain(Assertion(name=name, layer=name.partition(".")[0], ok=True)).tried for name in names}
    assert len(names) > 40
    assert len(explained) > 30
    layers = {kind.prefix.partition(".")[0] for kind in _KINDS}
    assert layers == set(re.findall(r'layer[A-Z]\w+ += "(\w+)"', (LAUNCHER / "probe.go").read_text()))


def test_an_assertion_that_fails_is_told_with_its_meaning_and_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = Assertion(name="landlock.ptrace-refused", layer="landlock", ok=False, detail="it was allowed")
    report = Report("here", passed=False, layers=(), missing=(), assertions=(wrong,))
    monkeypatch.setattr("axiom.cli.probing._here", lambda order, console: report)
    ended = CliRunner().invoke(app, ["probe"])
    assert ended.exit_code == ProbeExit.FAILED
    assert "the agent could take over processes that are not its own" in ended.stdout
    assert "isolation.mayMiss: [Landlock]" in ended.stdout
    assert "no agent starts here" in ended.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-n", "team"], "--cluster"),
        (["--cluster"], "--class"),
        (["--cluster", "--class", "c", "--backend", "docker"], "--backend"),
        (["--class", "/no/such/file.yaml"], "no/such/file"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options: list[str], says: str) -> None:
    ended = CliRunner().invoke(app, ["probe", *options])
    assert ended.exit_code == ProbeExit.REFUSED
    assert says in ended.stderr
