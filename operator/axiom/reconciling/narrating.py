"""Kubernetes Events: what happened to a task, for a person who reads `kubectl describe agenttask`.

An Event is no evidence and may be lost; nothing waits for one. The same news again raises the count of the first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from axiom.api.agenttask import AgentTaskStatus
from axiom.api.conditions import EXPECTED_REASONS, Condition, ConditionStatus, ConditionType, Reason
from axiom.cluster.api import Api
from axiom.cluster.errors import AlreadyExistsError, ApiError, NotFoundError
from axiom.cluster.resources import AGENT_TASKS, EVENTS, Object, name_of, namespace_of, uid_of
from axiom.planning.statuses import condition

log = logging.getLogger(__name__)

COMPONENT = "axiom-operator"
_LONGEST_QUEUE = 1000
_REMEMBERED = 5000
_LONGEST_MESSAGE = 1000

_CHATTY = frozenset({Reason.WAITING_FOR_WORKSPACE})
"""Reasons whose message moves on while nothing new happens: told of once."""


@dataclass(frozen=True)
class News:
    """Something to tell."""

    reason: str
    message: str
    warning: bool = False


def news_of(before: AgentTaskStatus, after: AgentTaskStatus) -> Iterator[News]:
    """What changed from one status to the next: each condition that says something new, the outcome last. Pure."""
    for new in after.conditions:
        old = condition(before, new.type)
        if (
            old is None
            or (old.status, old.reason) != (new.status, new.reason)
            or (new.message and old.message != new.message and new.reason not in _CHATTY)
        ):
            yield _news(new, after)


def _news(new: Condition, status: AgentTaskStatus) -> News:
    if new.type is ConditionType.COMPLETE and new.status is ConditionStatus.TRUE:
        verdict = status.verdict.value if status.verdict else "no verdict"
        bad = new.reason is not Reason.PASSED
        return News(new.reason.value, f"{verdict}: {new.message or status.message}", bad)
    warning = new.status is not ConditionStatus.TRUE and new.reason not in EXPECTED_REASONS
    text = f"{new.type.value} is {new.status.value}"
    return News(new.reason.value, f"{text}: {new.message}" if new.message else text, warning)


class Narrator:
    """Posts Events, one after the other, in the background."""

    def __init__(self, api: Api, instance: str) -> None:
        self._api, self._instance = api, instance
        self._queue: asyncio.Queue[tuple[Object, News]] = asyncio.Queue(_LONGEST_QUEUE)
        self._counts: OrderedDict[str, int] = OrderedDict()

    def tell(self, task: Object, news: News) -> None:
        """Queues an Event about an AgentTask (its JSON)."""
        try:
            self._queue.put_nowait((task, news))
        except asyncio.QueueFull:
            log.warning("too many Events are waiting; dropped: %s %s", news.reason, news.message)

    async def run(self) -> None:
        """Posts until cancelled."""
        while True:
            task, news = await self._queue.get()
            try:
                await self._post(task, news)
            except ApiError as error:
                log.info("an Event could not be posted: %s", error)

    async def _post(self, task: Object, news: News) -> None:
        name = event_name(task, news)
        count = self._counts.get(name, 0) + 1
        if count > 1 and await self._raise_count(task, name, count):
            return
        try:
            await self._api.create(
                EVENTS, namespace_of(task), event_of(task, news, name, self._instance, _now())
            )
        except AlreadyExistsError:
            count = int((await self._api.get(EVENTS, namespace_of(task), name)).get("count") or 1) + 1
            await self._raise_count(task, name, count)
        self._remember(name, count)

    async def _raise_count(self, task: Object, name: str, count: int) -> bool:
        try:
            await self._api.merge(EVENTS, namespace_of(task), name, {"count": count, "lastTimestamp": _now()})
        except NotFoundError:
            return False
        self._remember(name, count)
        return True

    def _remember(self, name: str, count: int) -> None:
        self._counts[name] = count
        self._counts.move_to_end(name)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)


def event_name(task: Object, news: News) -> str:
    """The same for the same news of the same task. Pure."""
    digest = hashlib.sha256(f"{uid_of(task)}\0{news.reason}\0{news.message}".encode()).hexdigest()[:16]
    return f"{name_of(task)[:200]}.{digest}"


def event_of(task: Object, news: News, name: str, instance: str, now: str) -> Object:
    """The Event (core v1). Pure."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace_of(task)},
        "involvedObject": {
            "apiVersion": AGENT_TASKS.group_version,
            "kind": AGENT_TASKS.kind,
            "namespace": namespace_of(task),
            "name": name_of(task),
            "uid": uid_of(task),
        },
        "type": "Warning" if news.warning else "Normal",
        "reason": news.reason,
        "message": news.message[:_LONGEST_MESSAGE],
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
