"""The real Claude Code through `axiom run`, spoken with in messages: real sandboxes and proxy; only the model is scripted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.captures.clis import CLAUDE
from tests.fakes.scripted_model import Script, load_script

from e2e.support.local_runs import INPUTS, Story, run_locally, task_on
from e2e.support.real_clis import FIX, HONEST, agent_class, played

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]


async def run_claude(folder: Path, script: Script, **limits: Any) -> Story:
    return await run_locally(folder, task_on(folder / "leap", **limits), agent_class(CLAUDE), script)


async def test_honest_work_passes_and_the_ledger_says_what_was_done(tmp_path: Path) -> None:
    story = await run_claude(tmp_path, load_script(INPUTS / "honest.json"), maxRounds=1)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 1)
    assert FIX in story.diff
    assert "1900 is a common year" in story.body["claim"]["text"]
    assert story.body["claim"]["says"] == "Success"
    calls = {item["id"]: item["tool"] for item in story.events("tool_call")}
    assert {"Bash", "Edit"} <= set(calls.values())
    returns = {item["id"]: item for item in story.events("tool_return")}
    assert set(returns) == set(calls)
    assert all(item["ok"] and item["duration_ms"] is not None for item in returns.values())
    assert [item["call"] for item in story.events("approval_asked")] == list(calls)
    assert {item["by"] for item in story.events("approval_given")} == {"policy"}
    [claim] = story.events("claim")
    assert ("FileWritten", "src/leap/years.py") in {
        (one["kind"], one["subject"]) for one in claim["statements"]
    }
    [usage] = story.events("usage")
    assert usage["total"]["input"] == story.body["usage"]["inputTokens"]
    activities = [item["state"]["activity"] for item in story.events("state")]
    assert activities[0] == "Starting"
    assert activities[-2:] == ["Idle", "Exited"]
    assert {"Thinking", "RunningTool"} <= set(activities)
    [session] = story.events("session")
    assert session["version"] == CLAUDE.version


async def test_a_tool_that_the_class_denies_does_not_run(tmp_path: Path) -> None:
    pushing = [{"shell": "git push || touch pushed"}, *HONEST]
    story = await run_claude(tmp_path, played(pushing), maxRounds=1)
    assert story.code == 0, story.told
    assert "pushed" not in story.diff
    denied = [item for item in story.events("approval_given") if item["permission"] == "Deny"]
    assert [item["by"] for item in denied] == ["policy/no-push"]
    assert "do not push" in story.events("tool_return")[0]["text"]


async def test_a_kill_in_the_middle_of_a_tool_is_survived_in_the_same_session(tmp_path: Path) -> None:
    dying = [{"shell": "echo half > half.txt; kill -9 $PPID; sleep 60"}, {"say": "Never said."}]
    story = await run_claude(tmp_path, played(dying, [{"shell": "rm half.txt"}, *HONEST]), maxRounds=1)
    assert story.code == 0, story.told
    first, second = story.events("session")
    assert first["session"] == second["session"]
    [resumed] = story.events("resumed")
    assert (resumed["fresh"], resumed["why"]) == (False, "signal 9")
    assert resumed["lost"][0].startswith("Bash (")
    assert [item["lost"] for item in story.events("tool_return")].count(True) == 1
    assert [item["argv"][-2] for item in story.events("agent_started")] == ["--session-id", "--resume"]
    assert "Never said." not in str(story.events("assistant_msg"))


async def test_a_second_round_goes_on_in_the_same_session_and_tokens_are_counted_once(tmp_path: Path) -> None:
    story = await run_claude(tmp_path, load_script(INPUTS / "two_rounds.json"), maxRounds=3)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 2)
    assert FIX in story.diff
    assert len({item["session"] for item in story.events("session")}) == 1
    first, second = story.events("usage")
    assert second["total"]["input"] == first["turn"]["input"] + second["turn"]["input"]
    assert second["total"]["input"] == story.body["usage"]["inputTokens"]
    assert "test_2000" in story.events("user_msg")[1]["text"]
