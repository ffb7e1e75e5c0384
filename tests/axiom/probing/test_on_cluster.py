"""`axiom probe --cluster`: a task whose agent never starts, and what its status says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kopf
import pytest
from tests.fakes.api_server import FakeApiServer, fake_api_server

from axiom.backends.contract import CannotRunError
from axiom.cluster.api import Api
from axiom.probing.on_cluster import ClusterProbe
from axiom.probing.report import Report

ISOLATION = {
    "layers": [{"name": "Landlock", "tried": 21, "held": 20}, {"name": "Seccomp", "tried": 70, "held": 70}],
    "missing": [],
    "failed": ["landlock.ptrace-refused"],
}


def answering(server: FakeApiServer, status: dict[str, Any]) -> Any:
    """Plays the operator: the task's status is there when it is looked at for the second time."""

    async def sleep(_: float) -> None:
        for item in server.all("agenttasks"):
            item["status"] = status

    return sleep


async def probe(server: FakeApiServer, status: dict[str, Any], said: list[str]) -> Report:
    async with Api("axiom-probe", lambda: kopf.ConnectionInfo(server=server.url)) as api:
        return await ClusterProbe(api, "codex", "team", said.append, 3, answering(server, status)).run()


async def test_what_failed_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    async with fake_api_server() as server:
        report = await probe(server, {"isolation": ISOLATION}, [])
        assert server.all("agenttasks") == []
    assert not report.passed
    assert [layer.held for layer in report.layers] == [20, 70]
    [wrong] = report.assertions
    assert wrong.name == "landlock.ptrace-refused"


async def test_a_pod_that_does_not_start_is_told_with_its_trouble(tmp_path: Path) -> None:
    said: list[str] = []
    condition = {"type": "SandboxReady", "status": "False", "reason": "Unschedulable", "message": "no room"}
    async with fake_api_server() as server:
        with pytest.raises(CannotRunError, match="Unschedulable: no room"):
            await probe(server, {"conditions": [condition]}, said)
        assert server.all("agenttasks") == []
    assert said == ["Pending", "Unschedulable: no room"]
