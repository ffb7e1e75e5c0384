"""The real Claude Code whose context fills up: it is interrupted, compacts in its session, and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.captures.clis import CLAUDE, CODEX, Cli

from e2e.support.local_runs import run_locally, task_on
from e2e.support.real_clis import agent_class, played

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

BUSY = [*({"shell": f"echo {number} >> counted"} for number in range(30)), {"say": "Counted."}]
SUMMARY = [{"say": "I counted, and go on."}]


async def test_a_full_context_is_compacted_in_the_same_session(tmp_path: Path) -> None:
    """The scripted model counts 100 tokens an item."""
    document = agent_class(CLAUDE)
    document["spec"]["context"] = {"atPercent": 70, "then": "Compact", "window": 2500}
    task = task_on(tmp_path / "leap", maxRounds=1)
    story = await run_locally(tmp_path, task, document, played(BUSY, SUMMARY))
    [act] = story.events("context_act")
    assert act["act"] == "Compact"
    assert act["fill"]["used"] >= 1750
    [compacted] = story.events("compaction")
    assert compacted["trigger"] == "manual"
    assert [(one["purpose"], one["fresh"]) for one in story.events("resumed")] == [("compact", False)]
    assert len({one["session"] for one in story.events("session")}) == 1
    first, second = story.events("turn_ended")
    assert (first["ok"], second["ok"]) == (False, True)
    assert second["text"] == "I counted, and go on."


@pytest.mark.parametrize("cli", [CLAUDE, CODEX], ids=lambda cli: cli.name)
async def test_a_turn_that_fills_its_context_is_stopped_where_the_class_says_so(
    tmp_path: Path, cli: Cli
) -> None:
    document = agent_class(cli)
    document["spec"]["context"] = {"atPercent": 70, "then": "Stop", "window": 2500}
    task = task_on(tmp_path / "leap", maxRounds=1)
    story = await run_locally(tmp_path, task, document, played(BUSY))
    assert [one["act"] for one in story.events("context_act")] == ["Stop"]
    assert "context.atPercent" in story.body["claim"]["text"]
    assert (story.body["verdict"], story.body["reason"]) == ("Fail", "Failed")
    assert 1 < len(story.events("tool_call")) < 30
