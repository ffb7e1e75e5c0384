"""Real agents whose contexts fill up: they are compacted in their session, go on in a fresh one by their summary, or are stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.captures.clis import CLAUDE, CODEX, GEMINI, Cli

from e2e.support.local_runs import Story, run_locally, task_on
from e2e.support.real_clis import FIX, agent_class, needs_node, played, turns_of

pytestmark = pytest.mark.sandbox

HALF, REST = turns_of("two_rounds.json")
"""A fix that leaves something out, and what mends it: it applies to the first alone."""
COUNTING = [*({"shell": f"echo {number}"} for number in range(30)), {"say": "Counted."}]
BUSY = [*HALF[:-1], *COUNTING]
SUMMARY = "years.py leaves out every century by now; those that 400 divides are still missing."
GOES_ON = "You go on with a task that somebody before you began"
COMPACTED = "your context was nearly full, and it was made shorter"
PER_ITEM = 1000
WINDOW = 25 * PER_ITEM
"""Codex counts what its own instructions take after it has compacted: some seven thousand tokens."""
LIMIT = 70

WINDOW_OF_GEMINI = 1_048_576
claude_and_codex = pytest.mark.parametrize("cli", [CLAUDE, CODEX], ids=lambda cli: cli.name)


async def run(
    folder: Path, cli: Cli, then: str, mode: str = "Structured", *, watched_for: str = "", **more: Any
) -> Story:
    document = agent_class(cli)
    document["spec"] |= {"mode": mode, "context": {"atPercent": LIMIT, "then": then, "window": WINDOW}}
    script = played(BUSY, [{"say": SUMMARY}], tokensPerItem=PER_ITEM, **more)
    task = task_on(folder / "leap", maxRounds=1)
    return await run_locally(folder, task, document, script, watched_for)


def check_passed(story: Story) -> None:
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 1)
    assert FIX in story.diff


def check_fills(story: Story, then: str) -> None:
    """It filled up to the limit once, one thing was done about it, and it ended below it."""
    [act] = story.events("context_act")
    assert act["act"] == then
    assert act["fill"]["used"] >= WINDOW * LIMIT // 100
    assert f"context.atPercent is {LIMIT}" in act["why"]
    fills = [one["fill"]["used"] for one in story.events("context")]
    assert act["fill"]["used"] in fills
    assert fills[0] < fills[-1] < WINDOW * LIMIT // 100 <= max(fills)


@pytest.mark.e2e
@claude_and_codex
async def test_a_fresh_session_goes_on_by_the_summary_of_one_that_was_full(cli: Cli, tmp_path: Path) -> None:
    story = await run(tmp_path, cli, "Summarise", told={"Their summary:": [REST]}, watched_for=SUMMARY)
    check_passed(story)
    check_fills(story, "Summarise")
    resumed = story.events("resumed")
    assert [(one["purpose"], one["fresh"]) for one in resumed] == [("summarise", False), ("fresh", True)]
    first, again, fresh = (one["session"] for one in story.events("session"))
    assert first == again != fresh
    asked, told = (one["text"] for one in story.events("user_msg") if one["by"] == "supervisor")
    assert asked.startswith("Your context is nearly full.")
    assert told.startswith(GOES_ON)
    assert told.endswith(SUMMARY)
    assert "tests/test_leap.py fails. Make it pass." in told, "the task is told again"
    full, summed_up, worked = story.events("turn_ended")
    assert (full["ok"], summed_up["ok"], worked["ok"]) == (False, True, True)
    assert summed_up["text"] == SUMMARY
    assert any(request.holds for request in story.model.requests), "the summary reached the model"


@pytest.mark.parametrize(
    ("cli", "mode", "trigger"),
    [
        pytest.param(CLAUDE, "Structured", "manual", id="claude", marks=pytest.mark.e2e),
        pytest.param(CODEX, "Structured", "auto", id="codex", marks=pytest.mark.e2e),
        pytest.param(CLAUDE, "Terminal", "manual", id="claude-on-its-screen", marks=pytest.mark.campaign),
        pytest.param(CODEX, "Terminal", "auto", id="codex-on-its-screen", marks=pytest.mark.campaign),
    ],
)
async def test_a_full_context_is_compacted_in_the_same_session(
    cli: Cli, mode: str, trigger: str, tmp_path: Path
) -> None:
    story = await run(tmp_path, cli, "Compact", mode, told={COMPACTED: [REST]})
    check_passed(story)
    check_fills(story, "Compact")
    [compacted] = story.events("compaction")
    assert compacted["trigger"] == trigger
    assert [(one["purpose"], one["fresh"]) for one in story.events("resumed")] == [("compact", False)]
    assert len({one["session"] for one in story.events("session")}) == 1
    first, second = story.events("turn_ended")
    assert (first["ok"], second["ok"]) == (False, True)
    assert second["text"] == REST[-1]["say"]


@pytest.mark.e2e
@claude_and_codex
async def test_a_turn_that_fills_its_context_is_stopped_where_the_class_says_so(
    cli: Cli, tmp_path: Path
) -> None:
    story = await run(tmp_path, cli, "Stop")
    assert [one["act"] for one in story.events("context_act")] == ["Stop"]
    assert "context.atPercent" in story.body["claim"]["text"]
    assert (story.body["verdict"], story.body["reason"]) == ("Fail", "Failed")
    assert 1 < len(story.events("tool_call")) < 30


@pytest.mark.e2e
@needs_node
async def test_an_agent_that_compacts_by_itself_shortens_what_lies_before_its_last_prompt(
    tmp_path: Path,
) -> None:
    """Gemini CLI does not say so; the model is asked for it, and is told less from then on."""
    document = agent_class(GEMINI)
    document["spec"]["context"] = {"atPercent": 50, "then": "Compact"}
    script = played(HALF, [{"shell": "git diff"}, *REST], tokensPerItem=60_000)
    task = task_on(tmp_path / "leap", maxRounds=2)
    story = await run_locally(tmp_path, task, document, script, "Generate a new <state_snapshot>")
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 2)
    assert story.events("context_act") == []
    items = [request.items or 0 for request in story.model.requests]
    [asked] = [at for at, request in enumerate(story.model.requests) if request.holds]
    assert items[asked - 1] * 60_000 >= WINDOW_OF_GEMINI // 2 > max(items[: asked - 1]) * 60_000
    assert items[asked + 2] < items[asked - 1], "behind the summary and its check"
