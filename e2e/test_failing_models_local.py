"""A model's server that refuses, is overloaded or hangs: the real agents get through, and their states are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.captures.clis import CLAUDE, CODEX, Cli

from e2e.support.local_runs import Story, run_locally, task_on
from e2e.support.real_clis import HONEST, agent_class, played

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

SILENCES = {"hungAfter": "20s", "waitHungAfter": "60s", "resumes": 3}
FAULTS: dict[str, dict[str, Any]] = {
    "limited": {"error": {"status": 429, "retryAfterSeconds": 1}},
    "overloaded": {"error": {"status": 529}},
}
every_agent_that_says_so = pytest.mark.parametrize(
    "cli", [pytest.param(CLAUDE, id=CLAUDE.name), pytest.param(CODEX, id=CODEX.name)]
)


async def run(folder: Path, cli: Cli, *steps: dict[str, Any]) -> Story:
    document = agent_class(cli)
    document["spec"]["silences"] = SILENCES
    again = [[*HONEST]] * 3
    script = played([*steps, *HONEST], *again)
    return await run_locally(folder, task_on(folder / "leap", maxRounds=1), document, script)


def activities(story: Story) -> list[str]:
    return [item["state"]["activity"] for item in story.events("state")]


@every_agent_that_says_so
async def test_a_server_that_refuses_and_is_overloaded_is_waited_for(cli: Cli, tmp_path: Path) -> None:
    story = await run(tmp_path, cli, FAULTS["limited"], FAULTS["overloaded"])
    assert story.code == 0, story.told
    assert {429, 529} <= {record.status for record in story.model.requests}
    assert {"RateLimited", "ApiUnreachable"} & set(activities(story))
    assert activities(story)[-2:] == ["Idle", "Exited"]


async def test_a_server_that_hangs_ends_in_a_process_that_goes_on(tmp_path: Path) -> None:
    story = await run(tmp_path, CLAUDE, {"shell": "touch begun; rm begun"}, {"hang": 1})
    assert story.code == 0, story.told
    assert "Hung" in activities(story)
    [resumed] = story.events("resumed")
    assert "silent for" in resumed["why"]
    assert len({item["session"] for item in story.events("session")}) == 1
