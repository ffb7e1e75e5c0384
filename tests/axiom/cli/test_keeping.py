"""`axiom checkpoints`, `checkpoint`, `rollback`, `fork` and `run --from-checkpoint`, as a person meets them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.cli.test_run import Cli, agent_class, agent_task
from tests.axiom.cli.test_run_on_cluster import ENDED, TASK, Desk, desk, meanwhile
from tests.axiom.evidence.runs import manifest_of, stored_run
from typer.testing import CliRunner

from axiom.api.loading import RefusedError, parse_task
from axiom.cli import keeping
from axiom.cli.forking import from_checkpoint
from axiom.cli.main import app
from axiom.storage.blobs import keep_blob
from axiom.storage.folder import FolderStore
from axiom_sandbox.protocol.identity import Identity, Role

__all__ = ["desk"]

RUNS = {"conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted"}], "attempt": 1}


def kept(number: int, reason: str = "Turn", fault: str = "") -> dict[str, Any]:
    return {
        "number": number, "attempt": 1, "round": number, "turnOver": True, "reason": reason, "fault": fault,
        "time": "2026-01-01T00:00:00.000Z", "size": 1_500_000, "digest": f"{number:064x}",
    }  # fmt: skip


def call(desk: Desk, *arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--kubeconfig", str(desk.kubeconfig())])


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_LOOK_SECONDS", 0.02)


def add(desk: Desk, **status: Any) -> None:
    metadata = {"name": "leap", "namespace": "team"}
    desk.server.add("agenttasks", {**TASK, "metadata": metadata, "status": {**RUNS, **status}})


@pytest.mark.sandbox
def test_a_run_goes_on_from_a_checkpoint_of_another_with_that_ones_base(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    told = "case $0 in *first*) echo first > mine;; *) cat mine given > out; echo done > out;; esac"
    shell = agent_class(command=["/bin/sh", "-euc", told, "$(AXIOM_PROMPT)"])
    given = {"files": [{"path": "given", "content": "given\n"}]}
    first = agent_task("first", workspace=given)
    assert cli.run(shell, first).exit_code == 1
    state = str(tmp_path / "state")
    listed = CliRunner().invoke(app, ["checkpoints", "t", "--from", state, "--json"])
    [row] = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (row["number"], row["reason"], row["turnOver"]) == (1, "Turn", True)
    assert "Turn" in CliRunner().invoke(app, ["checkpoints", "t", "--from", state]).stdout
    second = agent_task("second", criteria=[
        {"name": "out", "files": {"expect": [{"path": "out", "matches": "done"}, {"path": "mine", "matches": "first"}]}},
        {"name": "scope", "diff": {"allowed": ["out", "mine"]}},
    ])  # fmt: skip
    second["metadata"]["name"] = "other"
    ended = cli.run(shell, second, options=("--json", "--from-checkpoint", "t:1"))
    assert ended.exit_code == 0, ended.stderr
    diff = Path(json.loads(ended.stdout)["diff"]).read_text()
    assert "mine" in diff, "what was changed before counts as changed: the base is the other run's"
    missing = cli.run(shell, second, options=("--json", "--from-checkpoint", "t:9"))
    assert missing.exit_code == 4
    assert "the last run of 't' has no checkpoint 9; it has 1" in missing.stdout


def test_another_namespaces_checkpoint_is_none(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    assert CliRunner().invoke(app, ["checkpoints", "t", "--from", str(tmp_path)]).exit_code == 3
    task = agent_task()
    task["metadata"]["namespace"] = "elsewhere"
    ended = cli.run(agent_class(), task, options=("--json", "--from-checkpoint", "t"))
    assert ended.exit_code == 4
    assert "no run of a task 't' left a checkpoint here" in ended.stdout


def test_what_names_no_checkpoint_is_refused() -> None:
    task = parse_task(agent_task())
    assert from_checkpoint(task, None) is task
    begun = from_checkpoint(task, "first:3").spec.workspace.checkpoint
    assert begun is not None
    assert (begun.task, begun.number) == ("first", 3)
    for wrong in ("", "first:0", "First", "first:", "a/b", "first:3:4"):
        with pytest.raises(RefusedError, match="is no checkpoint"):
            from_checkpoint(task, wrong)


def test_checkpoints_of_a_task_on_a_cluster_are_listed(desk: Desk) -> None:
    add(desk, checkpoints=[kept(1), kept(2, "Demand", "a part of it is damaged")])
    listed = call(desk, "checkpoints", "leap", "--cluster")
    assert listed.exit_code == 0
    assert "Demand" in listed.stdout
    assert "1.5 MB" in listed.stdout


def test_a_checkpoint_is_asked_for_and_waited_for(desk: Desk) -> None:
    add(desk, checkpoints=[kept(1)])

    def operator() -> bool:
        item = desk.server.get("agenttasks", "team", "leap")
        assert item is not None
        if not item["metadata"].get("annotations", {}).get("axiom.dev/checkpoint"):
            return False
        status = {**RUNS, "checkpoints": [kept(1), kept(2, "Demand")]}
        desk.server.change("agenttasks", "team", "leap", status=status)
        return True

    with meanwhile(operator):
        ended = call(desk, "checkpoint", "leap")
    assert not ended.stderr
    assert (ended.exit_code, ended.stdout) == (0, "checkpoint 2 is kept\n")


def test_a_rollback_is_waited_for_and_what_hinders_it_is_said(desk: Desk) -> None:
    add(desk, checkpoints=[kept(1)])

    def operator() -> bool:
        item = desk.server.get("agenttasks", "team", "leap")
        assert item is not None
        wanted = item["spec"].get("rollbackTo")
        if wanted is None:
            return False
        status = {**RUNS, "checkpoints": [kept(1)], "rolledBackTo": wanted}
        if wanted == 1:
            point = {"number": 1, "attempt": 1, "round": 1, "turnOver": True, "digest": f"{1:064x}"}
            status |= {"attempt": 2, "restored": point}
        else:
            status |= {"message": "spec.rollbackTo: there is no checkpoint 7"}
        desk.server.change("agenttasks", "team", "leap", status=status)
        return False

    with meanwhile(operator):
        done = call(desk, "rollback", "leap", "1")
    assert not done.stderr
    assert (done.exit_code, done.stdout) == (0, "attempt 2 goes on from checkpoint 1\n")
    with meanwhile(operator):
        failed = call(desk, "rollback", "leap", "7")
    assert failed.exit_code == 4
    assert "there is no checkpoint 7" in failed.stderr


def test_a_fork_is_the_other_task_but_for_where_it_begins(desk: Desk) -> None:
    add(desk)
    ended = call(desk, "fork", "leap", "leap-2", "--checkpoint", "3", "--prompt", "another way")
    assert ended.exit_code == 0, ended.stderr
    made = desk.server.get("agenttasks", "team", "leap-2")
    assert made is not None
    assert made["spec"]["workspace"] == {"checkpoint": {"task": "leap", "number": 3}}
    assert made["spec"]["prompt"] == "another way"
    assert made["spec"]["criteria"] == TASK["spec"]["criteria"]  # type: ignore[index]


def test_a_complete_task_is_forked_and_not_rolled_back(desk: Desk) -> None:
    add(desk, **ENDED)
    ended = call(desk, "rollback", "leap", "1")
    assert ended.exit_code == 4
    assert "leap is complete; fork it instead: axiom fork leap NAME --checkpoint 1" in ended.stderr


def gone(tmp_path: Path, uid: str, *, complete: bool = True) -> str:
    """A task of namespace ns whose AgentTask was deleted, with checkpoint 4 of attempt 2; the manifest's digest."""
    if complete:
        stored_run(tmp_path / "store", name="leap", uid=uid)
    owner = Identity(namespace="ns", task="leap", task_id=uid, attempt=2, role=Role.AGENT)
    content = manifest_of(owner, "b" * 64).model_dump_json().encode()
    digest = hashlib.sha256(content).hexdigest()
    asyncio.run(keep_blob(FolderStore(tmp_path / "store"), owner, "checkpoint-4", digest, content))
    return digest


def test_a_task_that_is_gone_is_forked_out_of_object_storage(desk: Desk, tmp_path: Path) -> None:
    digest = gone(tmp_path, "u-1")
    where = ("--from", str(tmp_path / "store"), "--namespace", "ns")
    ended = call(desk, "fork", "leap", "leap-2", *where)
    assert ended.exit_code == 0, ended.stderr
    made = desk.server.get("agenttasks", "ns", "leap-2")
    assert made is not None
    stored = {"uid": "u-1", "attempt": 2, "digest": digest}
    assert made["spec"]["workspace"] == {"checkpoint": {"task": "leap", "number": 4, "stored": stored}}
    parsed = parse_task({key: made[key] for key in ("metadata", "spec")})
    assert (parsed.spec.prompt, parsed.spec.agent_class_name) == ("Make it pass.", "codex")
    missing = call(desk, "fork", "leap", "leap-3", "--checkpoint", "9", *where)
    assert missing.exit_code == 4
    assert "no checkpoint 9 of a task 'leap' of namespace 'ns' is kept" in missing.stderr
    elsewhere = call(desk, "fork", "leap", "leap-3", *where[:2], "--namespace", "elsewhere")
    assert "no checkpoint of a task 'leap' of namespace 'elsewhere' is kept" in elsewhere.stderr


def test_of_a_task_that_was_deleted_before_its_end_it_is_said_what_names_its_checkpoint(
    desk: Desk, tmp_path: Path
) -> None:
    digest = gone(tmp_path, "u-1", complete=False)
    ended = call(desk, "fork", "leap", "leap-2", "--from", str(tmp_path / "store"), "--namespace", "ns")
    assert ended.exit_code == 4
    assert "was deleted before it was complete" in ended.stderr
    assert digest in ended.stderr
