"""The attacking agent under bubblewrap, on this machine: every attack is refused, and the run is judged in order."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.support.attacks import (
    ESCAPES,
    ON_THE_KERNEL,
    ON_THE_TRUSTED_SIDE,
    WAYS,
    Attempt,
    attempts,
    not_refused,
)
from e2e.support.images import compile_agent
from e2e.support.local_runs import content

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]


@dataclass(frozen=True)
class Attacked:
    """What a run came to."""

    body: dict[str, Any]
    found: dict[str, Attempt]
    records: list[dict[str, Any]]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    folder = tmp_path_factory.mktemp("attacks")
    agent = folder / "attacker"
    compile_agent("attacker", agent)
    task = {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": "attack"},
        "spec": {
            "agentClassName": "attacker",
            "prompt": "escape\nkernel\ntrusted\nreach machine 127.0.0.1:22\nexit 0",
            "workspace": {"files": [{"path": "README.md", "content": "Attack.\n"}]},
            "criteria": [{"name": "tried", "files": {"expect": [{"path": "attacks.txt"}]}}],
            "limits": {"deadline": "5m", "maxRounds": 1},
        },
    }
    agent_class = {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": "attacker"},
        "spec": {
            "command": [str(agent), "$(AXIOM_PROMPT)"],
            "showCriteria": False,
            "local": {"readOnlyPaths": [str(agent)]},
        },
    }
    file = folder / "task.yaml"
    file.write_text(yaml.safe_dump_all([task, agent_class]))
    run = [sys.executable, "-m", "axiom.cli.main", "run", str(file), "--json", "--backend", "bubblewrap"]
    ended = subprocess.run(
        [*run, "--state", str(folder / "state")], capture_output=True, text=True, timeout=420, check=False
    )
    body = json.loads(ended.stdout)
    assert body["diff"], ended.stderr
    lines = content(Path(body["ledger"]["path"])).splitlines()
    return Attacked(
        body, attempts(Path(body["diff"]).read_text()), [json.loads(line) for line in lines if line]
    )


def test_no_known_escape_leads_out(attacked: Attacked) -> None:
    assert not_refused(attacked.found, ESCAPES) == {}


def test_no_more_of_the_kernel_is_open_than_an_agent_needs(attacked: Attacked) -> None:
    assert not_refused(attacked.found, ON_THE_KERNEL) == {}


def test_neither_launcher_nor_supervisor_is_reached(attacked: Attacked) -> None:
    assert not_refused(attacked.found, ON_THE_TRUSTED_SIDE) == {}


def test_the_machine_is_reached_in_no_way(attacked: Attacked) -> None:
    assert not_refused(attacked.found, [f"machine/{way}" for way in WAYS]) == {}


def test_who_posed_as_the_launcher_stands_in_the_ledger(attacked: Attacked) -> None:
    doors = [record["payload"]["door"] for record in attacked.records if record["event"] == "intruder"]
    assert "launcher" in doors


def test_the_task_ends_in_order_all_the_same(attacked: Attacked) -> None:
    assert (attacked.body["verdict"], attacked.records[-1]["event"]) == ("Pass", "closed")
