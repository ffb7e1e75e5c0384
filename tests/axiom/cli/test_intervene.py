"""A person steps into `axiom run`: in its terminal, and from beside it."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.axiom.cli.test_run import OUT, agent_task
from tests.fakes import structured_agent
from typer.testing import CliRunner

from axiom.cli.asking import answer_of
from axiom.cli.main import app
from axiom.planning.intervening import Approve

PLAN = [["tool", "echo begun"], ["tool", "echo done > out"], ["hear"], ["result", "Done."]]
PATIENCE = 60


def asking_class() -> dict[str, Any]:
    program = structured_agent.__file__
    spec = {
        "driver": "Claude",
        "command": ["/usr/bin/python3", program, json.dumps([PLAN])],
        "local": {"readOnlyPaths": [program]},
        "approvals": {"default": "Ask"},
        "showCriteria": False,
    }
    metadata = {"name": "shell"}
    return {"apiVersion": "axiom.dev/v1alpha1", "kind": "AgentClass", "metadata": metadata, "spec": spec}


def axiom(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def read_until(descriptor: int, wanted: str, so_far: str = "") -> str:
    """What the terminal shows, up to this text."""
    deadline = time.monotonic() + PATIENCE
    while wanted not in so_far:
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"{wanted!r} never came: {so_far}"
        so_far += os.read(descriptor, 65536).decode(errors="replace")
    return so_far


@pytest.mark.sandbox
def test_a_person_answers_in_the_terminal_and_from_beside_it_and_tells_the_agent_something(tmp_path: Path) -> None:  # fmt: skip
    files = tmp_path / "task.yaml"
    files.write_text(yaml.safe_dump_all([agent_task("any", criteria=[OUT]), asking_class()]))
    beside = ("--state", str(tmp_path / "state"))
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "axiom.cli.main", "run", str(files), "--json", *beside],
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = read_until(ours, "allow it?")
        assert "Bash: command: echo begun" in shown
        assert "axiom approve t" in shown
        os.write(ours, b"what?\ny go on\n")
        read_until(ours, "echo done > out", shown.rpartition("allow it?")[2])
        answered = axiom("approve", "t", "--message", "fine", *beside)
        assert (answered.exit_code, answered.stdout) == (0, "allowed: Bash (command: echo done > out)\n")
        while (told := axiom("tell", "t", "the last word is yours", *beside)).exit_code:
            assert "no run of" not in told.stderr
        output, _ = run.communicate(timeout=PATIENCE)
    finally:
        run.kill()
        run.wait()
        os.close(ours)
    body = json.loads(output)
    assert (body["verdict"], body["assisted"]) == ("Pass", True)
    events = [json.loads(line) for line in axiom("ledger", "show", body["ledger"]["path"], "--json").stdout.splitlines()]  # fmt: skip
    given = [item["payload"] for item in events if item["event"] == "approval_given"]
    assert [item["message"] for item in given] == ["go on", "fine"]
    assert len({item["by"] for item in given} - {"policy", ""}) == 1
    assert "heard: the last word is yours" in str(events)
    actions = [item["payload"]["action"] for item in events if item["event"] == "intervention"]
    assert "tell" in actions


def test_where_no_run_is_under_way_nothing_is_answered_and_the_cure_is_said(tmp_path: Path) -> None:
    for arguments in (("approve", "t"), ("tell", "t", "hello"), ("interrupt", "t")):
        ended = axiom(*arguments, "--state", str(tmp_path))
        assert ended.exit_code == 3
        assert "no run of 't' is under way" in ended.stderr
        assert "--cluster" in ended.stderr


def test_options_that_contradict_each_other_are_refused() -> None:
    assert axiom("approve", "t", "--deny", "--for-session").exit_code == 2
    assert "add --cluster" in axiom("interrupt", "t", "-n", "ns").stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("y", Approve(question="q")),
        ("  Yes ", Approve(question="q")),
        ("s", Approve(question="q", for_session=True)),
        ("n use the other branch", Approve(question="q", deny=True, message="use the other branch")),
        ("", None),
        ("never", None),
    ],
)
def test_what_is_typed_means_one_thing_or_nothing(typed: str, meant: Approve | None) -> None:
    assert answer_of(typed, "q") == meant
