"""The real Codex through `axiom run`: real sandboxes, real egress proxy, real git repository; only the model is scripted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard
from tests.axiom.running.runs import Play
from tests.fakes.scripted_model import ScriptedModel, load_script

from axiom.api.loading import load_manifest
from e2e.inputs.codex import codex_binary
from e2e.inputs.leap_repository import REVISION, make_leap_repository

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

INPUTS = Path(__file__).parent / "inputs"
CANARY = "sk-canary-0123456789abcdefghijklmnopqrstuvwxyz"
FIX = "+    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)"


@dataclass(frozen=True)
class Story:
    """What one run came to, and everything that it left."""

    code: int
    body: dict[str, Any]
    told: str
    state: Path
    model: ScriptedModel

    @property
    def diff(self) -> str:
        return Path(self.body["diff"]).read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = content(Path(self.body["ledger"]["path"])).splitlines()
        records = [json.loads(line) for line in lines if line]
        return [record["payload"] for record in records if record["event"] == name]


def content(folder: Path) -> bytes:
    """Everything in a folder, unpacked."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"\n".join(unpacked(path.read_bytes()) for path in files)


def unpacked(data: bytes) -> bytes:
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


async def run_codex(folder: Path, script: str, max_rounds: int, budget: str = "") -> Story:
    repository = folder / "leap"
    assert make_leap_repository(repository) == REVISION
    async with ScriptedModel(load_script(INPUTS / f"{script}.json"), expected_key=CANARY) as model:
        files = manifests(folder, f"file://{repository}", model.url, max_rounds, budget)
        state = folder / "state"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "axiom.cli.main", "run", files[0], "--class", files[1]),
            *("--json", "--state", state),
            env={**os.environ, "AXIOM_CREDENTIAL_OPENAI": CANARY},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(180):
            output, errors = await process.communicate()
    told = errors.decode()
    assert process.returncode is not None
    story = Story(process.returncode, json.loads(output or b"{}"), told, state, model)
    assert CANARY.encode() not in output + errors + content(state)
    assert sha256(CANARY.encode()).hexdigest() in {record.key_digest for record in model.requests}, told
    return story


def manifests(
    folder: Path, repository: str, upstream: str, max_rounds: int, budget: str = ""
) -> tuple[Path, Path]:
    """The very task and class of the inputs, with this machine's addresses in them."""
    task = yaml.safe_load((INPUTS / "leap-task.yaml").read_text())
    task["spec"]["workspace"]["git"]["url"] = repository
    task["spec"]["limits"]["maxRounds"] = max_rounds
    if budget:
        task["spec"]["limits"]["budget"] = {"usd": budget}
    binary = str(codex_binary())
    text = (INPUTS / "codex-class.yaml").read_text().replace("/opt/codex/bin/codex", binary)
    agent_class = yaml.safe_load(text)
    agent_class["spec"]["credentials"][0]["route"]["upstream"] = upstream
    agent_class["spec"]["local"]["readOnlyPaths"] = [str(Path(binary).parents[1])]
    paths = folder / "task.yaml", folder / "class.yaml"
    for path, document in zip(paths, (task, agent_class), strict=True):
        path.write_text(yaml.safe_dump(document))
    return paths


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
    assert (story.body["verdict"], story.body["claim"]["says"]) == ("Fail", "Done")
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
    repository = tmp_path / "leap"
    make_leap_repository(repository)
    async with ScriptedModel(load_script(INPUTS / "honest.json"), expected_key=CANARY) as model:
        paths = manifests(tmp_path, f"file://{repository}", model.url, 1)
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
