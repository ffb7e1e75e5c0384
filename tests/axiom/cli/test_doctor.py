"""`axiom doctor` against an API server: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from tests.fakes.api_server import FakeApiServer, fake_api_server
from typer.testing import CliRunner

from axiom.backends.contract import CannotRunError
from axiom.cli.main import app
from axiom.diagnosing import machine
from axiom.diagnosing.findings import Level


def kubeconfig(path: Path, url: str) -> Path:
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@asynccontextmanager
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        monkeypatch.setenv("AXIOM_KUBECONFIG", str(kubeconfig(tmp_path / "config", server.url)))
        server.add("agentclasses", {"metadata": {"name": "codex"}})
        yield server


async def ask(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["doctor", *arguments])


def status(reason: str, message: str) -> dict[str, Any]:
    item = {"type": "SandboxReady", "status": "False", "reason": reason, "message": message}
    return {"conditions": [item]}


async def test_a_task_in_trouble_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster(tmp_path, monkeypatch) as server:
        item = {
            "metadata": {"name": "leap", "namespace": "team"},
            "status": status("Unschedulable", "no room"),
        }
        server.add("agenttasks", item)
        ended = await ask("leap", "-n", "team", "--json")
        shown = await ask("leap", "-n", "team")
    assert ended.exit_code == 1
    first = json.loads(ended.stdout)["findings"][0]
    assert (first["subject"], first["entry"]) == ("AgentTask team/leap", "Unschedulable")
    assert first["page"] == "docs/troubleshooting.md#unschedulable"
    assert "no room" in shown.stdout
    assert "It starts when one has" in shown.stdout


async def test_a_task_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster(tmp_path, monkeypatch):
        ended = await ask("leap")
    assert ended.exit_code == 3
    assert "there is no AgentTask 'leap' in namespace 'default'" in " ".join(ended.stderr.split())


async def test_an_api_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXIOM_KUBECONFIG", str(kubeconfig(tmp_path / "config", "http://127.0.0.1:9")))
    ended = await ask()
    assert ended.exit_code == 1
    assert "ApiServerAway" in ended.stdout


async def test_no_cluster_at_all_points_to_the_local_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXIOM_KUBECONFIG", str(tmp_path / "none"))
    ended = await ask("--json")
    assert ended.exit_code == 3
    assert "--local" in json.loads(ended.stdout)["error"]["message"]


def test_a_machine_that_lacks_something_says_what_and_how_to_get_it() -> None:
    def missing() -> object:
        raise CannotRunError("bubblewrap is not installed; install it")

    first, second = machine.diagnose_machine((("launcher", lambda: "/x"), ("bubblewrap", missing)))
    assert (first.level, second.level) == (Level.GOOD, Level.PROBLEM)
    assert "install it" in second.what


def test_a_task_and_this_machine_do_not_go_together() -> None:
    ended = CliRunner().invoke(app, ["doctor", "leap", "--local"])
    assert ended.exit_code == 2
