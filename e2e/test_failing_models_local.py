"""A model's server that refuses, is overloaded or hangs: the real agents get through, and their states are right."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.captures.clis import CLAUDE, CODEX, GEMINI, Cli

from e2e.support.local_runs import Story, run_locally, task_on
from e2e.support.real_clis import HONEST, NODE, agent_class, needs_node, node_version, played

pytestmark = pytest.mark.sandbox

SILENCES = {"hungAfter": "20s", "waitHungAfter": "60s", "resumes": 3}
FAULTS: dict[str, dict[str, Any]] = {
    "limited": {"error": {"status": 429, "retryAfterSeconds": 1}},
    "overloaded": {"error": {"status": 529}},
}
every_agent_that_says_so = pytest.mark.parametrize(
    "cli", [pytest.param(CLAUDE, id=CLAUDE.name), pytest.param(CODEX, id=CODEX.name)]
)


every_agent_in_both_modes = pytest.mark.parametrize(
    ("cli", "mode"),
    [
        pytest.param(cli, mode, id=f"{cli.name}-{mode}", marks=[mark, *needs])
        for cli, needs in ((CLAUDE, []), (CODEX, []), (GEMINI, [needs_node]))
        for mode, mark in (("Structured", pytest.mark.e2e), ("Terminal", pytest.mark.campaign))
    ],
)


async def run(
    folder: Path, cli: Cli, *steps: dict[str, Any], mode: str = "Structured", silent: str = "20s"
) -> Story:
    document = agent_class(cli)
    document["spec"] |= {"silences": {**SILENCES, "hungAfter": silent}, "mode": mode}
    again = [[*HONEST]] * 3
    script = played([*steps, *HONEST], *again)
    return await run_locally(folder, task_on(folder / "leap", maxRounds=1), document, script)


def activities(story: Story) -> list[str]:
    return [item["state"]["activity"] for item in story.events("state")]


@pytest.mark.e2e
@every_agent_that_says_so
async def test_a_server_that_refuses_and_is_overloaded_is_waited_for(cli: Cli, tmp_path: Path) -> None:
    story = await run(tmp_path, cli, FAULTS["limited"], FAULTS["overloaded"])
    assert story.code == 0, story.told
    assert {429, 529} <= {record.status for record in story.model.requests}
    assert {"RateLimited", "ApiUnreachable"} & set(activities(story))
    assert activities(story)[-2:] == ["Idle", "Exited"]


def check_order(story: Story) -> None:
    told = [
        payload["state"]["activity"] if event == "state" else payload.get("action", event)
        for event, payload in ((record["event"], record["payload"]) for record in story.records)
        if event in ("state", "intervention", "agent_exited", "resumed")
    ]
    order = [told.index(what) for what in ("Hung", "resume", "agent_exited", "resumed")]
    assert order == sorted(order), told


class Hung:
    """Runs whose model hangs: those of a mode all at the same time, as each of them waits for most of it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stories = folder, dict[str, dict[str, Future[Story]]]()

    def story(self, cli: Cli, mode: str) -> Story:
        if mode not in self._stories:
            others = (CLAUDE, CODEX, *((GEMINI,) if node_version() >= NODE else ()))
            with ThreadPoolExecutor() as all_at_once:
                self._stories[mode] = {
                    one.name: all_at_once.submit(asyncio.run, self._run(one, mode)) for one in others
                }
        return self._stories[mode][cli.name].result()

    async def _run(self, cli: Cli, mode: str) -> Story:
        folder = self._folder / f"{cli.name}-{mode}"
        folder.mkdir()
        steps = {"shell": "touch begun; rm begun"}, {"hang": 1}
        return await run(folder, cli, *steps, mode=mode, silent="40s")


@pytest.fixture(scope="module")
def hung(tmp_path_factory: pytest.TempPathFactory) -> Hung:
    return Hung(tmp_path_factory.mktemp("hung"))


@every_agent_in_both_modes
def test_a_server_that_hangs_ends_in_a_process_that_goes_on(cli: Cli, mode: str, hung: Hung) -> None:
    story = hung.story(cli, mode)
    assert story.code == 0, story.told
    check_order(story)
    first, *_, last = story.events("agent_exited")
    assert first["code"] != 0, "it was ended"
    assert last["code"] == 0 or mode == "Terminal"
    resumed = story.events("resumed")
    assert "silent for" in resumed[0]["why"]
    assert not any(item["fresh"] for item in resumed)
    assert len({item["session"] for item in story.events("session")}) == 1
