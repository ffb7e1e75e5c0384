"""`axiom doctor` against an API server: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from click.testing import Result
from tests.fakes.api_server import FakeApiServer, fake_api_server
from typer.testing import CliRunner

from axiom.backends.contract import CannotRunError
from axiom.cli.main import app
from axiom.diagnosing import machine
from axiom.diagnosing.findings import Level


def kubeconfig(folder: Path, url: str) -> None:
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
    }
    (folder / "config").write_text(yaml.safe_dump(content))


@asynccontextmanager
async def cluster(tmp_path: Path) -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        kubeconfig(tmp_path, server.url)
        server.add("agentclasses", {"metadata": {"name": "codex"}})
        yield server


async def ask(folder: Path, *arguments: str) -> Result:
    options = ["doctor", "--kubeconfig", str(folder / "config"), *arguments]
    return await asyncio.to_thread(CliRunner().invoke, app, options)


def status(reason: str, message: str) -> dict[str, Any]:
    item = {"type": "SandboxReady", "status": "False", "reason": reason, "message": message}
    return {"conditions": [item]}


async def test_a_task_in_trouble_is_explained(tmp_path: Path) -> None:
    async with cluster(tmp_path) as server:
        item = {
            "metadata": {"name": "leap", "namespace": "team"},
            "status": status("Unschedulable", "no room"),
        }
        server.add("agenttasks", item)
        ended = await ask(tmp_path, "leap", "-n", "team", "--json")
        shown = await ask(tmp_path, "leap", "-n", "team")
    assert ended.exit_code == 1
    first = json.loads(ended.stdout)["findings"][0]
    assert (first["subject"], first["entry"]) == ("AgentTask team/leap", "Unschedulable")
    assert first["page"] == "docs/troubleshooting.md#unschedulable"
    assert "no room" in shown.stdout
    assert "It starts when one has" in shown.stdout


async def test_a_task_that_does_not_exist(tmp_path: Path) -> None:
    async with cluster(tmp_path):
        ended = await ask(tmp_path, "leap")
    assert ended.exit_code == 3
    assert "there is no AgentTask 'leap' in namespace 'default'" in " ".join(ended.stderr.split())


async def test_an_api_server_that_is_away(tmp_path: Path) -> None:
    kubeconfig(tmp_path, "http://127.0.0.1:9")
    ended = await ask(tmp_path)
    assert ended.exit_code == 1
    assert "ApiServerAway" in ended.stdout


async def test_no_cluster_at_all_points_to_the_local_check(tmp_path: Path) -> None:
    ended = await ask(tmp_path, "--json")
    assert ended.exit_code == 3
    assert "--local" in json.loads(ended.stdout)["error"]["message"]


def missing() -> str:
    raise CannotRunError("it is not installed; install it")


def there() -> str:
    return "/x"


def test_a_machine_needs_the_launcher_and_one_backend() -> None:
    found = list(machine.diagnose_machine(there, {"bubblewrap": missing, "docker": there}))
    assert [item.level for item in found] == [Level.GOOD, Level.NOTE, Level.GOOD]
    found = list(machine.diagnose_machine(missing, {"bubblewrap": missing, "docker": missing}))
    assert [item.level for item in found] == [Level.PROBLEM] * 3
    assert "install it" in found[0].what


def test_a_task_and_this_machine_do_not_go_together() -> None:
    ended = CliRunner().invoke(app, ["doctor", "leap", "--local"])
    assert ended.exit_code == 2
