"""Small caches of the objects that matter, kept by kopf's watches, checked against the API server from time to time.

Only `on.event` handlers: kopf then writes nothing. Its finalizers, annotations, Event posting, peering and scanning of
namespaces and definitions are all off. What it is known for is guarded against here: a watch that stalled (kopf#585) ends
by explicit timeouts, and objects whose deletion fell into a gap between two watches (kopf#1087) go with the next `resync`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import kopf

from axiom.cluster.api import Api, log_in
from axiom.cluster.errors import ApiError
from axiom.cluster.resources import Object, Resource, uid_of, version_of

log = logging.getLogger(__name__)

_SERVER_TIMEOUT = 240
"""Seconds after which the API server ends a watch."""
_CLIENT_TIMEOUT = 270
"""Seconds after which we do, if it did not."""
_RESYNC_SECONDS = 300
_LONGEST_BACKOFF = 5.0


@dataclass
class Cache:
    """Objects of one kind by UID. An older version never replaces a newer one."""

    resource: Resource
    selector: str = ""
    changed: Callable[[Object, bool], None] = lambda item, is_there: None
    """Called after each change with the object, and whether it is (still) there."""
    _items: dict[str, Object] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._items.values()))

    def __len__(self) -> int:
        return len(self._items)

    def get(self, uid: str) -> Object | None:
        """The object of this UID."""
        return self._items.get(uid)

    def put(self, item: Object) -> bool:
        """Takes an object as it was seen or written. Returns whether that was news."""
        known = self._items.get(uid_of(item))
        if known is not None and version_of(known) >= version_of(item):
            return False
        self._items[uid_of(item)] = item
        self.changed(item, True)
        return True

    def drop(self, uid: str) -> None:
        """Forgets an object that is gone."""
        item = self._items.pop(uid, None)
        if item is not None:
            self.changed(item, False)

    def sync(self, items: Iterable[Object], known_before: frozenset[str]) -> int:
        """Takes a complete list: what was known before it was asked for, and is not in it, is gone.

        Returns for how many objects that was news.
        """
        seen, news = set(), 0
        for item in items:
            seen.add(uid_of(item))
            news += self.put(item)
        gone = [uid for uid in known_before - seen if uid in self._items]
        for uid in gone:
            self.drop(uid)
        return news + len(gone)

    @property
    def uids(self) -> frozenset[str]:
        """Of everything in it."""
        return frozenset(self._items)


class Witness(Protocol):
    """Who counts what watches bring."""

    def note_event(self, resource: str, *, is_listed: bool) -> None:
        """A watch brought an object; `is_listed`: as part of the list that it begins with."""

    def note_resync(self, *, is_done: bool) -> None:
        """All caches were compared with the API server, or could not be."""

    def note_missed(self, resource: str, number: int) -> None:
        """Such a comparison brought news of so many objects."""


class Watcher:
    """Keeps caches."""

    def __init__(self, api: Api, caches: Sequence[Cache], witness: Witness) -> None:
        self._api, self._caches, self._witness = api, caches, witness
        self._stop, self._ready = asyncio.Event(), asyncio.Event()

    async def fill(self) -> None:
        """Fills the caches, before there is a watch. Raises ApiError."""
        for cache in self._caches:
            await self._sync(cache)

    async def resync(self) -> None:
        """Compares every cache with the API server. Raises ApiError."""
        try:
            for cache in self._caches:
                self._witness.note_missed(cache.resource.plural, await self._sync(cache))
        except ApiError:
            self._witness.note_resync(is_done=False)
            raise
        self._witness.note_resync(is_done=True)

    async def run(self) -> None:
        """Watches until cancelled."""
        registry, settings = kopf.OperatorRegistry(), _settings(self._caches)
        kopf.on.login(registry=registry)(_login)
        for cache in self._caches:
            _subscribe(registry, cache, self._witness)
        resyncing = asyncio.create_task(self._resync_often())
        try:
            await kopf.operator(
                registry=registry,
                settings=settings,
                clusterwide=True,
                standalone=True,
                # kopf would ask for the user's name, and the user of a container has none
                identity="axiom",  # type: ignore[arg-type]
                stop_flag=self._stop,
                ready_flag=self._ready,
            )
        finally:
            resyncing.cancel()

    async def wait_until_ready(self) -> None:
        """Returns once kopf has started: from then on the process's signal handlers are the caller's again."""
        await self._ready.wait()

    async def _sync(self, cache: Cache) -> int:
        before = cache.uids
        return cache.sync(await self._api.list(cache.resource, cache.selector), before)

    async def _resync_often(self) -> None:
        while True:
            await asyncio.sleep(_RESYNC_SECONDS)
            try:
                await self.resync()
            except ApiError as error:
                log.warning("the caches could not be compared with the API server: %s", error)


def _login(**_: Any) -> kopf.ConnectionInfo:
    return log_in()


def _subscribe(registry: kopf.OperatorRegistry, cache: Cache, witness: Witness) -> None:
    group, _, version = cache.resource.group_version.rpartition("/")

    async def seen(event: Mapping[str, Any], **_: Any) -> None:
        item = dict(event["object"])
        # kopf gives what a list brought no type
        witness.note_event(cache.resource.plural, is_listed=event["type"] is None)
        if event["type"] == "DELETED":
            cache.drop(uid_of(item))
        else:
            cache.put(item)

    kopf.on.event(group, version, cache.resource.plural, registry=registry, id=cache.resource.plural)(seen)


class Backoffs:
    """Seconds between two tries, without end: a watch waits for the API server, however long that is away.

    kopf's own end after a minute, and the process with them, though there is work without the API server.
    """

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2, 3)
        while True:
            yield _LONGEST_BACKOFF * random.uniform(0.8, 1)  # noqa: S311 - jitter


def _settings(caches: Sequence[Cache]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = _SERVER_TIMEOUT
    settings.watching.client_timeout = _CLIENT_TIMEOUT
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Backoffs()
    settings.process.ultimate_exiting_timeout = 20
    for cache in caches:
        if cache.selector:
            group, _, version = cache.resource.group_version.rpartition("/")
            settings.watching.label_selectors[group, version, cache.resource.plural] = cache.selector
    return settings
