"""`axiom review` against an API server, and on this machine."""

from __future__ import annotations

import getpass
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.cli.test_run_on_cluster import ENDED, TASK, Desk, desk
from tests.axiom.evidence.runs import stored_run
from typer.testing import CliRunner, Result

from axiom.cli.main import app
from axiom.evidence.reviews import decode_review

__all__ = ["desk"]
POINT = {
    "number": 3, "attempt": 1, "round": 2, "turnOver": True, "reason": "Turn",
    "time": "2026-01-01T00:00:00Z", "size": 1, "digest": "d" * 64,
}  # fmt: skip


def add(desk: Desk, name: str = "leap", **status: Any) -> None:
    metadata = {"name": name, "namespace": "team"}
    desk.server.add("agenttasks", {**TASK, "metadata": metadata, "status": ENDED | status})


def review(desk: Desk, *options: str, task: str = "leap") -> Result:
    return CliRunner().invoke(app, ["review", task, "--kubeconfig", str(desk.kubeconfig()), *options])


def patched(desk: Desk) -> list[Any]:
    return [body["spec"] for body in desk.server.writes("PATCH", "agenttasks")]


@pytest.mark.parametrize(("option", "decision"), [("--accept", "Accept"), ("--reject", "Reject")])
def test_a_decision_is_written_under_the_name_that_the_server_knows(
    desk: Desk, option: str, decision: str
) -> None:
    add(desk)
    ended = review(desk, option, "--why", "looked at it")
    assert (ended.exit_code, ended.stdout) == (0, f"leap: {decision} by jane\n")
    assert patched(desk) == [{"review": {"decision": decision, "by": "jane", "why": "looked at it"}}]


def test_a_branch_that_could_not_be_pushed_is_tried_again_in_other_words_and_the_same_are_refused(
    desk: Desk,
) -> None:
    conditions = [
        *ENDED["conditions"],
        {"type": "Pushed", "status": "False", "reason": "PushFailed", "message": "it is protected"},
    ]
    add(desk, conditions=conditions)
    assert review(desk, "--accept", "--why", "it will do").exit_code == 0
    same = review(desk, "--accept", "--why", "it will do")
    assert (same.exit_code, len(patched(desk))) == (3, 1)
    assert "say in others why (--why) the branch is to be tried again" in same.stderr
    assert review(desk, "--accept", "--why", "nothing protects it any more").exit_code == 0
    assert len(patched(desk)) == 2


def test_again_makes_a_task_that_goes_on_from_the_last_checkpoint(desk: Desk) -> None:
    add(desk, checkpoints=[POINT])
    ended = review(desk, "--again", "mind the centuries")
    assert ended.exit_code == 0, ended.stderr
    [made] = desk.created
    assert made["metadata"] == {"name": "leap-again-1", "namespace": "team"}
    assert made["spec"] == {
        **TASK["spec"],
        "prompt": "mind the centuries",
        "workspace": {"checkpoint": {"task": "leap"}},
        "force": True,
    }
    assert patched(desk) == [{"review": {"decision": "Again", "by": "jane", "why": "mind the centuries"}}]


def test_again_and_again_counts_on(desk: Desk) -> None:
    add(desk, "leap-again-1", checkpoints=[POINT])
    assert review(desk, "--again", "once more", task="leap-again-1").exit_code == 0
    assert desk.created[-1]["metadata"]["name"] == "leap-again-2"


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--accept", "--why", "x"], {"conditions": []}, "is not complete"),
        (["--again", "x"], {}, "has no checkpoint to go on from"),
    ],
)
def test_what_cannot_be_decided_is_said_and_nothing_is_written(
    desk: Desk, options: list[str], status: dict[str, Any], message: str
) -> None:
    add(desk, **status)
    ended = review(desk, *options)
    assert ended.exit_code == 3
    assert message in ended.stderr
    assert patched(desk) == []


def test_who_may_not_review_is_told_by_the_server(desk: Desk) -> None:
    add(desk)
    desk.server.refuse("PATCH", "agenttasks/leap", 403, "Forbidden", "you may not review this task")
    ended = review(desk, "--reject", "--why", "no")
    assert ended.exit_code == 3
    assert "you may not review this task" in ended.stderr


@pytest.mark.parametrize(
    "options",
    [["--accept"], ["--accept", "--reject", "--why", "x"], ["--again", " "], ["--local", "--again", "x"]],
)
def test_a_decision_is_one_and_has_a_reason(options: list[str]) -> None:
    ended = CliRunner().invoke(app, ["review", "leap", *options])
    assert ended.exit_code == 2


def test_a_local_runs_decision_lies_beside_its_result(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "leap-1"
    folder.mkdir(parents=True)
    stored_run(tmp_path / "store", uid="u", name="leap")
    summary = folder / "result.json"
    summary.write_text(json.dumps({"task": "leap", "uid": "u", "verdict": "Fail", "rounds": 1}))
    arguments = ["review", "leap", "--local", "--state", str(tmp_path), "--accept", "--why", "good enough"]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.stderr
    kept = json.loads(summary.read_text())
    assert (kept["verdict"], kept["review"]["decision"]) == ("Fail", "Accept")
    assert (kept["review"]["by"], kept["review"]["why"]) == (getpass.getuser(), "good enough")
    [stored] = (tmp_path / "store" / "tasks" / "ns" / "u" / "reviews").iterdir()
    assert decode_review(stored.read_bytes()).why == "good enough"
    shutil.rmtree(tmp_path / "store")
    ended = CliRunner().invoke(app, arguments)
    assert (ended.exit_code, "result.json alone" in ended.stdout) == (0, True)
    arguments[1] = "other"
    assert CliRunner().invoke(app, arguments).exit_code == 3


def test_without_a_decision_it_shows_claims_evidence_and_what_the_agent_answered(desk: Desk) -> None:
    failed = {
        "name": "tests",
        "type": "Tests",
        "enforcement": "Hard",
        "verdict": "Fail",
        "message": "test_1900 failed",
    }
    claim = {"says": "Success", "text": "All tests pass."}
    lie = {"about": "TestsPass", "claimed": "All tests pass.", "found": "tests: test_1900 failed"}
    told = {"attempt": 1, "claim": claim, "verdict": "Fail", "criteria": [failed], "disagreements": [lie]}
    rounds = [
        {"number": 1, **told},
        {"number": 2, **told, "rebuttal": "The test\x1b[2J is wrong.", "assisted": True},
    ]
    add(desk, rounds=rounds, verdict="Fail", assisted=True, claim=claim, claimDisagreements=[lie])
    ended = review(desk)
    assert ended.exit_code == 0, ended.stderr
    assert desk.server.writes("PATCH", "agenttasks") == []
    second = ended.stdout.index("round 2 (assisted): Fail")
    told_at = ended.stdout.index("tests (Tests):\n    | test_1900 failed")
    assert second < told_at < ended.stdout.index("it answered:\n    | The test[2J is wrong.")
    assert (
        ended.stdout.count("but it claimed TestsPass: All tests pass.; found: tests: test_1900 failed") == 3
    )
    assert "assisted: a person stepped in (rounds: 2)" in ended.stdout
