"""The three real agents on their own screens through `axiom run`: typed to, read, answered by keys; only the model is scripted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.captures.clis import CLAUDE, CODEX, GEMINI, Cli
from tests.fakes.scripted_model import Script, load_script

from e2e.support.local_runs import INPUTS, Story, run_locally, task_on
from e2e.support.real_clis import FIX, HONEST, agent_class, needs_node, played

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

SHELL = {"claude": "Bash", "codex": "commandExecution", "gemini": "run_shell_command"}
WRITING = {"claude": "Edit", "codex": "fileChange", "gemini": "replace"}
every_agent = pytest.mark.parametrize(
    "cli",
    [
        pytest.param(CLAUDE, id=CLAUDE.name),
        pytest.param(CODEX, id=CODEX.name),
        pytest.param(GEMINI, id=GEMINI.name, marks=needs_node),
    ],
)


def terminal_class(cli: Cli) -> dict[str, Any]:
    """The class of the other mode, but for the mode."""
    document = agent_class(cli)
    document["spec"]["mode"] = "Terminal"
    return document


async def run(folder: Path, cli: Cli, script: Script, **limits: Any) -> Story:
    return await run_locally(folder, task_on(folder / "leap", **limits), terminal_class(cli), script)


@every_agent
async def test_honest_work_on_the_screen_passes_and_dialogs_are_answered_by_policy(cli: Cli, tmp_path: Path) -> None:  # fmt: skip
    story = await run(tmp_path, cli, load_script(INPUTS / "honest.json"), maxRounds=1)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 1)
    assert FIX in story.diff
    assert story.body["claim"]["says"] == "Success"
    assert "1900 is a common year" in story.body["claim"]["text"]
    calls = {item["id"]: item["tool"] for item in story.events("tool_call")}
    assert {SHELL[cli.name], WRITING[cli.name]} <= set(calls.values())
    assert {item["id"] for item in story.events("tool_return")} == set(calls)
    asked = story.events("approval_asked")
    assert WRITING[cli.name] in {item["tool"] for item in asked}
    given = story.events("approval_given")
    assert [item["id"] for item in given] == [item["id"] for item in asked]
    assert {(item["permission"], item["by"]) for item in given} == {("Allow", "policy")}
    assert story.events("intervention") == []
    states = [(item["state"]["activity"], item["state"]["signal"]) for item in story.events("state")]
    assert states[0] == ("Starting", "Process")
    assert ("WaitingForApproval", "Screen") in states
    assert [activity for activity, _ in states[-2:]] == ["Idle", "Exited"]
    [session] = story.events("session")
    assert (session["version"], session["warning"]) == (cli.version, "")
    assert story.events("agent_message") == [], "nothing in its session's file was unknown"
    assert story.events("usage")[-1]["total"]["input"] == story.body["usage"]["inputTokens"]


@every_agent
async def test_a_tool_that_the_class_denies_does_not_run_and_the_agent_is_told_why(cli: Cli, tmp_path: Path) -> None:  # fmt: skip
    pushing = [{"shell": "touch begun.txt"}, {"shell": "git push || touch pushed"}]
    rest = [{"shell": "rm begun.txt"}, *HONEST]
    # Claude Code's turn goes on behind a No with a reason; the others' ends, and the reason is their next prompt.
    turns = [[*pushing, *rest]] if cli is CLAUDE else [[*pushing, {"say": "Never said."}], rest]
    story = await run(tmp_path, cli, played(*turns), maxRounds=1)
    assert story.code == 0, story.told
    assert "pushed" not in story.diff
    denied = [item for item in story.events("approval_given") if item["permission"] == "Deny"]
    assert [item["by"] for item in denied] == ["policy/no-push"]
    assert "Never said." not in str(story.events("assistant_msg"))
    told = story.events("tool_return") if cli is CLAUDE else story.events("user_msg")
    assert "do not push" in str(told)


@every_agent
async def test_a_kill_in_the_middle_of_a_tool_is_survived_in_the_same_session(cli: Cli, tmp_path: Path) -> None:  # fmt: skip
    killing = {"shell": "echo half > half.txt; kill -9 $PPID; sleep 60"}
    dying = [{"shell": "touch begun.txt"}, killing, {"say": "Never said."}]
    going_on = [{"shell": "rm half.txt begun.txt"}, *HONEST]
    story = await run(tmp_path, cli, played(dying, going_on), maxRounds=1)
    assert story.code == 0, story.told
    first, second = story.events("session")
    assert first["session"] == second["session"]
    [resumed] = story.events("resumed")
    assert (resumed["fresh"], resumed["why"]) == (False, "signal 9")
    assert "Never said." not in str(story.events("assistant_msg"))


@every_agent
async def test_a_second_round_goes_on_in_the_same_session_and_tokens_are_counted_once(cli: Cli, tmp_path: Path) -> None:  # fmt: skip
    story = await run(tmp_path, cli, load_script(INPUTS / "two_rounds.json"), maxRounds=3)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 2)
    assert len({item["session"] for item in story.events("session")}) == 1
    usages = story.events("usage")
    assert sum(item["turn"]["input"] for item in usages) == usages[-1]["total"]["input"]
    assert usages[-1]["total"]["input"] == story.body["usage"]["inputTokens"]
    assert "test_2000" in story.events("user_msg")[1]["text"]
