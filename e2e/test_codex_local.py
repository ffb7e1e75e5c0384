"""The real Codex through `axiom run`: real sandboxes, real egress proxy, real git repository; only the model is scripted."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.axiom.running.runs import Play
from tests.fakes.scripted_model import ScriptedModel, load_script

from axiom.api.loading import load_manifest
from e2e.inputs.codex import codex_binary
from e2e.support.local_runs import CANARY, INPUTS, Story, content, run_locally, task_on
from e2e.support.real_clis import FIX

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]


def codex_class() -> dict[str, Any]:
    """The very class of the inputs, with this machine's binary."""
    binary = str(codex_binary())
    text = (INPUTS / "codex-class.yaml").read_text().replace("/opt/codex/bin/codex", binary)
    agent_class: dict[str, Any] = yaml.safe_load(text)
    agent_class["spec"]["local"]["readOnlyPaths"] = [str(Path(binary).parents[1])]
    return agent_class


async def run_codex(folder: Path, script: str, max_rounds: int, budget: str = "") -> Story:
    limits: dict[str, Any] = {"maxRounds": max_rounds} | ({"budget": {"usd": budget}} if budget else {})
    task = task_on(folder / "leap", **limits)
    return await run_locally(folder, task, codex_class(), load_script(INPUTS / f"{script}.json"))


async def test_honest_work_passes_and_the_diff_is_the_fix(tmp_path: Path) -> None:
    story = await run_codex(tmp_path, "honest", max_rounds=1)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 1)
    assert [line for line in story.diff.splitlines() if line.startswith("+") and "+++" not in line] == [FIX]
    assert "1900 is a common year" in story.body["claim"]["text"]
    usage, asked = story.body["usage"], [record for record in story.model.requests if record.items]
    assert (usage["requests"], usage["inputTokens"]) == (
        len(asked),
        sum(100 * (one.items or 0) for one in asked),
    )
    cost = -(-(usage["inputTokens"] * 1_250_000 + usage["outputTokens"] * 10_000_000) // 1_000_000)
    assert 0 <= int(Decimal(usage["costUsd"]) * 1_000_000) - cost < len(asked)


async def test_a_test_that_was_changed_instead_fails_and_the_message_says_so(tmp_path: Path) -> None:
    story = await run_codex(tmp_path, "cheat", max_rounds=1)
    assert story.code == 1, story.told
    assert (story.body["verdict"], story.body["claim"]["says"]) == ("Fail", "Success")
    assert "All is well" in story.body["claim"]["text"]
    messages = {item["name"]: item["message"] for item in story.body["criteria"]}
    assert "tests/test_leap.py::test_1900" in messages["tests"]
    assert "tests/test_leap.py" in messages["scope"]
    assert "Complete: Failed" in story.told
    assert "test_1900" in story.told


async def test_a_second_round_in_the_same_session_passes(tmp_path: Path) -> None:
    story = await run_codex(tmp_path, "two_rounds", max_rounds=3)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 2)
    assert FIX in story.diff
    assert len({record.conversation for record in story.model.requests if record.conversation}) == 1
    first, second = story.events("user_msg")
    assert first["text"].startswith("tests/test_leap.py fails. Make it pass.")
    assert "test_2000" in second["text"]
    assert [item["argv"][2] for item in story.events("agent_started")] == ["--skip-git-repo-check", "resume"]


async def test_a_task_whose_budget_is_spent_ends_and_the_agent_does_not_insist(tmp_path: Path) -> None:
    story = await run_codex(tmp_path, "honest", max_rounds=1, budget="0.0001")
    assert story.code == 1, story.told
    assert "Complete: BudgetExceeded" in story.told
    usage = story.body["usage"]
    assert (usage["requests"], usage["estimated"], usage["unpriced"], usage["unmeasured"]) == (1, 0, 0, 0)
    assert float(usage["costUsd"]) >= 0.0001
    assert [record.path for record in story.model.requests].count("/v1/responses") == 1


async def test_the_key_is_in_no_file_of_the_run_nor_in_the_agent_s_environment(tmp_path: Path) -> None:
    documents = task_on(tmp_path / "leap", maxRounds=1), codex_class()
    async with ScriptedModel(load_script(INPUTS / "honest.json"), expected_key=CANARY) as model:
        documents[1]["spec"]["credentials"][0]["route"]["upstream"] = model.url
        paths = tmp_path / "task.yaml", tmp_path / "class.yaml"
        for path, document in zip(paths, documents, strict=True):
            path.write_text(yaml.safe_dump(document))
        manifest = load_manifest(paths)
        command = ["/bin/sh", "-c", 'env > environment; exec "$@"', "sh", *manifest.agent_class.spec.command]
        spec = manifest.agent_class.spec.model_copy(update={"command": command})
        task = manifest.task.model_copy(update={"metadata": {"name": "t", "namespace": "n", "uid": "u"}})
        played = Play(
            tmp_path,
            task,
            manifest.agent_class.model_copy(update={"spec": spec}),
            credentials={"openai": CANARY},
        )
        status = await played.play()
    assert "environment" in status.message
    assert (played.workspace() / "environment").read_text().count("OPENAI_API_KEY") == 1
    home = played.workspace().parent / "home"
    assert list(home.glob(".codex/sessions/**/*.jsonl"))
    assert CANARY.encode() not in content(tmp_path / "scratch") + content(tmp_path / "store")
    assert CANARY not in status.model_dump_json()
    for box in played.sandboxes:
        assert b"OPENAI_API_KEY" not in content(box._folder / "state" / "ledger")
