"""The real Codex and Gemini CLI through `axiom run`, spoken with in messages: only the model is scripted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.captures.clis import CODEX, GEMINI, Cli
from tests.fakes.scripted_model import Script, load_script

from e2e.support.local_runs import INPUTS, Story, run_locally, task_on
from e2e.support.real_clis import FIX, HONEST, agent_class, needs_node, played

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

SHELL = {"codex": "commandExecution", "gemini": "run_shell_command"}
WRITING = {"codex": "fileChange", "gemini": "replace"}
every_agent = pytest.mark.parametrize(
    "cli", [pytest.param(CODEX, id=CODEX.name), pytest.param(GEMINI, id=GEMINI.name, marks=needs_node)]
)


async def run(folder: Path, cli: Cli, script: Script, **limits: Any) -> Story:
    return await run_locally(folder, task_on(folder / "leap", **limits), agent_class(cli), script)


@every_agent
async def test_honest_work_passes_and_the_ledger_says_what_was_done(cli: Cli, tmp_path: Path) -> None:
    story = await run(tmp_path, cli, load_script(INPUTS / "honest.json"), maxRounds=1)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 1)
    assert FIX in story.diff
    assert story.body["claim"]["says"] == "Success"
    assert "1900 is a common year" in story.body["claim"]["text"]
    calls = {item["id"]: item["tool"] for item in story.events("tool_call")}
    assert {SHELL[cli.name], WRITING[cli.name]} <= set(calls.values())
    assert {item["id"] for item in story.events("tool_return")} == set(calls)
    assert {item["by"] for item in story.events("approval_given")} == {"policy"}
    [claim] = story.events("claim")
    assert ("FileWritten", "src/leap/years.py") in {
        (one["kind"], one["subject"]) for one in claim["statements"]
    }
    assert story.events("usage")[-1]["total"]["input"] == story.body["usage"]["inputTokens"]
    activities = [item["state"]["activity"] for item in story.events("state")]
    assert (activities[0], activities[-2:]) == ("Starting", ["Idle", "Exited"])
    [session] = story.events("session")
    assert (session["version"], session["warning"]) == (cli.version, "")
    assert story.events("agent_message") == [], "nothing that it said was unknown"


@every_agent
async def test_a_tool_that_the_class_denies_does_not_run(cli: Cli, tmp_path: Path) -> None:
    pushing = [{"shell": "git push || touch pushed"}, *HONEST]
    story = await run(tmp_path, cli, played(pushing), maxRounds=1)
    assert story.code == 0, story.told
    assert "pushed" not in story.diff
    denied = [item for item in story.events("approval_given") if item["permission"] == "Deny"]
    assert [item["by"] for item in denied] == ["policy/no-push"]
    assert not story.events("tool_return")[0]["ok"]


@every_agent
async def test_a_kill_in_the_middle_of_a_tool_is_survived_in_the_same_session(cli: Cli, tmp_path: Path) -> None:  # fmt: skip
    killing = {"shell": "echo half > half.txt; kill -9 $PPID; sleep 60"}
    dying = [{"shell": "touch begun.txt"}, killing, {"say": "Never said."}]
    story = await run(
        tmp_path, cli, played(dying, [{"shell": "rm half.txt begun.txt"}, *HONEST]), maxRounds=1
    )
    assert story.code == 0, story.told
    first, second = story.events("session")
    assert first["session"] == second["session"]
    [resumed] = story.events("resumed")
    assert (resumed["fresh"], resumed["why"]) == (False, "signal 9")
    assert resumed["lost"][0].startswith(f"{SHELL[cli.name]} (")
    assert [item["lost"] for item in story.events("tool_return")].count(True) == 1
    assert "Never said." not in str(story.events("assistant_msg"))
    assert len({record.conversation for record in story.model.requests if record.items}) == 1


@every_agent
async def test_a_second_round_goes_on_in_the_same_session_and_tokens_are_counted_once(cli: Cli, tmp_path: Path) -> None:  # fmt: skip
    story = await run(tmp_path, cli, load_script(INPUTS / "two_rounds.json"), maxRounds=3)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 2)
    assert FIX in story.diff
    assert len({item["session"] for item in story.events("session")}) == 1
    usages = story.events("usage")
    assert sum(item["turn"]["input"] for item in usages) == usages[-1]["total"]["input"]
    assert usages[-1]["total"]["input"] == story.body["usage"]["inputTokens"]
    assert "test_2000" in story.events("user_msg")[1]["text"]
