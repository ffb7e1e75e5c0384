"""Real agents whose calls no egress proxy measures, under a budget: their own count ends the turn in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.captures.clis import CLAUDE, CODEX, Cli

from e2e.support.local_runs import run_locally, task_on
from e2e.support.real_clis import agent_class, played

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

BUSY = [*({"shell": f"echo {number} >> counted"} for number in range(40)), {"say": "Counted."}]


@pytest.mark.parametrize("cli", [CLAUDE, CODEX], ids=lambda cli: cli.name)
async def test_an_agent_that_nobody_else_counts_ends_by_its_own_count(tmp_path: Path, cli: Cli) -> None:
    """Each answer of the scripted model costs more than the one before; forty of them more than the budget."""
    document = agent_class(cli)
    for credential in document["spec"]["credentials"]:
        credential["route"]["metered"] = False
    task = task_on(tmp_path / "leap", maxRounds=1, budget={"usd": "0.02"})
    story = await run_locally(tmp_path, task, document, played(BUSY))
    assert story.code == 1, story.told
    assert "Complete: BudgetExceeded" in story.told
    assert "as the agent itself counts" in story.told
    usage = story.body["usage"]
    assert (usage["requests"], usage["costUsd"]) == (0, None)
    assert float(usage["toldCostUsd"]) >= 0.02
    [spent] = story.events("budget")
    assert spent["spent_micro_usd"] >= spent["budget_micro_usd"] == 20_000
    [ended] = story.events("turn_ended")
    assert not ended["ok"], "it was interrupted, and said so"
    assert 1 < len(story.events("tool_call")) < 40
    assert story.body["agent"]["contextTokens"] > 0
