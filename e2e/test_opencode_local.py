"""The real OpenCode through `axiom run`, spoken with in messages: only the model is scripted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.captures.clis import OPENCODE
from tests.fakes.scripted_model import load_script

from e2e.support.local_runs import INPUTS
from e2e.support.real_clis import FIX, HONEST, played
from e2e.test_agents_local import run

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]


async def test_honest_work_passes_and_the_ledger_says_what_was_done(tmp_path: Path) -> None:
    story = await run(tmp_path, OPENCODE, load_script(INPUTS / "honest.json"), maxRounds=1)
    assert story.code == 0, story.told
    assert FIX in story.diff
    assert story.body["claim"]["says"] == "Success"
    calls = {item["id"]: item["tool"] for item in story.events("tool_call")}
    assert {"bash", "edit"} <= set(calls.values())
    assert {item["id"] for item in story.events("tool_return")} == set(calls)
    assert {item["by"] for item in story.events("approval_given")} == {"policy"}
    [claim] = story.events("claim")
    assert ("FileWritten", "src/leap/years.py") in {
        (one["kind"], one["subject"]) for one in claim["statements"]
    }
    activities = [item["state"]["activity"] for item in story.events("state")]
    assert (activities[0], activities[-2:]) == ("Starting", ["Idle", "Exited"])
    [session] = story.events("session")
    assert (session["version"], session["warning"]) == (OPENCODE.version, "")


async def test_a_tool_that_the_class_denies_does_not_run(tmp_path: Path) -> None:
    pushing = [{"shell": "git push || touch pushed"}, *HONEST]
    story = await run(tmp_path, OPENCODE, played(pushing), maxRounds=1)
    assert "pushed" not in story.diff
    denied = [item for item in story.events("approval_given") if item["permission"] == "Deny"]
    assert [item["by"] for item in denied] == ["policy/no-push"]
    assert not story.events("tool_return")[0]["ok"]


async def test_a_kill_in_the_middle_of_a_tool_is_survived_in_the_same_session(tmp_path: Path) -> None:
    killing = {"shell": "echo half > half.txt; kill -9 $PPID; sleep 60"}
    dying = [{"shell": "touch begun.txt"}, killing, {"say": "Never said."}]
    script = played(dying, [{"shell": "rm half.txt begun.txt"}, *HONEST])
    story = await run(tmp_path, OPENCODE, script, maxRounds=1)
    assert story.code == 0, story.told
    first, second = story.events("session")
    assert first["session"] == second["session"]
    [resumed] = story.events("resumed")
    assert (resumed["fresh"], resumed["why"]) == (False, "signal 9")
    assert resumed["lost"][0].startswith("bash (")


async def test_a_second_round_goes_on_in_the_same_session(tmp_path: Path) -> None:
    story = await run(tmp_path, OPENCODE, load_script(INPUTS / "two_rounds.json"), maxRounds=3)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 2)
    assert len({item["session"] for item in story.events("session")}) == 1
    assert "test_2000" in story.events("user_msg")[1]["text"]
