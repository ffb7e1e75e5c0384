"""Events for people: what is worth one, and how repetitions become a count."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import kopf
from tests.fakes.api_server import fake_api_server

from axiom.api.agenttask import AgentTaskStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.cluster.api import Api
from axiom.planning.statuses import with_condition
from axiom.reconciling.narrating import Narrator, News, news_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TASK: dict[str, Any] = {"metadata": {"name": "t", "namespace": "ns", "uid": "u"}}


def test_only_what_changed_is_news() -> None:
    before = with_condition(AgentTaskStatus(), NOW, ConditionType.ACCEPTED, True, Reason.ACCEPTED)
    after = with_condition(
        before, NOW, ConditionType.SANDBOX_READY, False, Reason.IMAGE_PULL_FAILED, "no image"
    )
    assert list(news_of(before, after)) == [News("ImagePullFailed", "SandboxReady is False: no image", True)]
    assert list(news_of(after, after)) == []


def test_a_message_that_goes_is_no_news_and_one_that_changes_is() -> None:
    before = with_condition(
        AgentTaskStatus(), NOW, ConditionType.RUNNING, True, Reason.AGENT_RUNNING, "round 1"
    )
    gone = with_condition(before, NOW, ConditionType.RUNNING, True, Reason.AGENT_RUNNING)
    changed = with_condition(before, NOW, ConditionType.RUNNING, True, Reason.AGENT_RUNNING, "round 2")
    assert list(news_of(before, gone)) == []
    assert list(news_of(before, changed)) == [News("AgentRunning", "Running is True: round 2")]


async def test_the_same_news_again_raises_a_count_also_after_a_restart() -> None:
    async with fake_api_server() as server:
        login = kopf.ConnectionInfo(server=server.url)
        async with Api("test", lambda: login) as api:
            for run in range(2):
                narrator = Narrator(api, "me")
                for _ in range(2):
                    narrator.tell(TASK, News("Lost", "the pod is gone", True))
                running = asyncio.create_task(narrator.run())
                async with asyncio.timeout(60):
                    while not server.all("events") or server.all("events")[0]["count"] < 2 * (run + 1):
                        await asyncio.sleep(0.005)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        [event] = server.all("events")
        assert event["count"] == 4
        assert event["source"]["component"] == "axiom-operator"


async def test_an_event_that_is_refused_or_was_deleted_stops_nothing() -> None:
    async with fake_api_server() as server:
        login = kopf.ConnectionInfo(server=server.url)
        async with Api("test", lambda: login) as api:
            narrator = Narrator(api, "me")
            server.refuse("POST", "/events", 403)
            for reason in ("First", "Second", "Second"):
                narrator.tell(TASK, News(reason, ""))
            running = asyncio.create_task(narrator.run())
            async with asyncio.timeout(60):
                while not server.all("events"):
                    await asyncio.sleep(0.005)
            running.cancel()
        assert {event["reason"] for event in server.all("events")} == {"Second"}
