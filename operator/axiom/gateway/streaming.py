"""A task's events in order, from any of them on: live from the pod as far as that has them, else from object storage.

A stream follows one slot (`agent`, `fetcher`, `copier`, `pusher`, `pusher-<trial>`, `verifier-<round>-<trial>`) through the attempts of a task. An event's address
is `<task uid>/<attempt>/<slot>/<seq>`.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

import zstandard

from axiom.api.agenttask import AgentTask
from axiom.api.conditions import ConditionType
from axiom.channel import Channel, ChannelError, RecordsLeftError
from axiom.planning.statuses import is_true
from axiom.storage.keys import ledger_prefix
from axiom.storage.store import ObjectStore, StorageError
from axiom_sandbox.protocol.identity import Identity, Role

_LARGEST_SEGMENT = 64 * 1024**2
_LOOK_AGAIN_SECONDS = 2.0
_ADDRESS = re.compile(r"(?P<uid>[^/]+)/(?P<attempt>[1-9]\d{0,8})/(?P<slot>[a-z0-9-]+)/(?P<seq>\d{1,18})")
_SLOT = re.compile(
    r"agent|fetcher|copier|pusher(-(?P<push>[1-9]\d{0,3}))?|verifier-(?P<round>\d{1,4})-(?P<trial>\d{1,4})"
)


class BadPositionError(ValueError):
    """Somebody asked for an event that no address can mean."""


@dataclass(frozen=True)
class Position:
    """Where to begin."""

    attempt: int = 1
    slot: str = "agent"
    seq: int = 1

    def address(self, task_id: str, seq: int) -> str:
        """Of an event in this ledger."""
        return f"{task_id}/{self.attempt}/{self.slot}/{seq}"


@dataclass(frozen=True)
class Line:
    """One event, as it is stored."""

    address: str
    data: bytes
    """The ledger's line, without line end."""


class World(Protocol):
    """What a stream asks for; `service.Gateway` knows."""

    def task(self, namespace: str, name: str) -> AgentTask | None:
        """The task."""

    def channel_of(self, identity: Identity) -> Channel | None:
        """A channel to a sandbox whose pod may answer. Who asks for it closes it."""

    def may_answer(self, identity: Identity) -> bool:
        """Whether there is such a pod."""

    async def news(self, seconds: float) -> None:
        """Returns when a task or pod changed, or after so long."""


def parse_position(task_id: str, start: str, last_event_id: str, slot: str, attempt: str) -> Position:
    """From what a request says. `start` is a seq or an address; a Last-Event-ID means the event after it.

    Raises BadPositionError.
    """
    if last_event_id:
        position = _addressed(task_id, last_event_id)
        return replace(position, seq=position.seq + 1)
    if "/" in start:
        return _addressed(task_id, start)
    if not _SLOT.fullmatch(slot):
        raise BadPositionError(
            f"slot={slot!r}: write agent, fetcher, copier, pusher, pusher-<trial> or verifier-<round>-<trial>"
        )
    for name, text in (("from", start), ("attempt", attempt)):
        if not text.isdecimal() or len(text) > 18:
            raise BadPositionError(f"{name}={text!r}: write a whole number")
    return Position(max(int(attempt), 1), slot, max(int(start), 1))


def _addressed(task_id: str, address: str) -> Position:
    found = _ADDRESS.fullmatch(address)
    if not found or not _SLOT.fullmatch(found["slot"]):
        raise BadPositionError(f"{address!r} is no event's address; it is <task uid>/<attempt>/<slot>/<seq>")
    if found["uid"] != task_id:
        raise BadPositionError(f"{address!r} is an event of another task; this one has the UID {task_id}")
    return Position(int(found["attempt"]), found["slot"], int(found["seq"]))


class _Prospect(Enum):
    """What is to be expected after what one ledger holds."""

    MORE = auto()
    """It may grow."""
    NEXT_ATTEMPT = auto()
    """Another attempt has begun."""
    NOTHING = auto()
    """The task is over, and so is everything once its pod is gone."""


class Stream:
    """The events of one task from a position on."""

    def __init__(self, world: World, store: ObjectStore, task: AgentTask, position: Position) -> None:
        self._world, self._store, self._task, self._position = world, store, task, position

    async def lines(self, *, follow: bool = True) -> AsyncIterator[Line]:
        """Each event once, in order; ends when the task is over and nothing can follow. Raises StorageError.

        Without `follow` it is one ledger as far as that is now: what its pod can tell, else what is sealed.
        """
        if not follow:
            async for number, data in self._ledger(self._position, follow=False):
                yield Line(self._position.address(self._task.uid, number), data)
            return
        position, ended = self._position, False
        while True:
            known = self._prospect(position)  # before reading: what follows was stored by then, and is read
            async for number, data in self._ledger(position):
                yield Line(position.address(self._task.uid, number), data)
                position = replace(position, seq=number + 1)
                ended = json.loads(data)["event"] == "closed"
            is_there = self._world.may_answer(self._identity(position))
            if known is _Prospect.NEXT_ATTEMPT:
                position, ended = Position(position.attempt + 1, position.slot), False
            elif known is _Prospect.NOTHING and (ended or not is_there):
                return
            elif known is self._prospect(position):
                await self._world.news(_LOOK_AGAIN_SECONDS)

    def _prospect(self, position: Position) -> _Prospect:
        task = self._world.task(self._task.namespace, self._task.name)
        if task is None or task.uid != self._task.uid:
            return _Prospect.NOTHING
        if task.status.attempt > position.attempt:
            return _Prospect.NEXT_ATTEMPT
        is_over = is_true(task.status, ConditionType.COMPLETE)
        return _Prospect.NOTHING if is_over else _Prospect.MORE

    async def _ledger(self, position: Position, *, follow: bool = True) -> AsyncIterator[tuple[int, bytes]]:
        """What one ledger has from a seq on: from the pod for as long as that answers, what it has not from storage.

        Without `follow` a pod tells what was durable when it was asked.
        """
        identity, following = self._identity(position), position.seq
        while (channel := self._world.channel_of(identity)) is not None:
            try:
                async with channel:
                    last = math.inf if follow else (await channel.state(timeout=0)).ledger.records
                    async with aclosing(channel.events(following)) as lines:
                        while following <= last and (line := await anext(lines, None)) is not None:
                            yield following, line.rstrip(b"\n")
                            following += 1
                if not follow and following > last:
                    return
                break
            except RecordsLeftError as error:
                left = error.records
            except ChannelError:
                break  # the pod is going or gone: what is sealed follows from storage
            async for number, line in self._sealed(identity, following):
                if number != following:
                    break
                yield number, line
                following += 1
            if following <= left:
                raise StorageError(
                    f"record {following} of {identity.agent_id} has left its sandbox, and object storage does not have it:"
                    " something deleted it there"
                )
        async for number, line in self._sealed(identity, following):
            yield number, line

    async def _sealed(self, identity: Identity, start: int) -> AsyncIterator[tuple[int, bytes]]:
        async for key in self._store.list(ledger_prefix(identity)):
            data = await asyncio.to_thread(_unpacked, await self._store.get(key))
            for line in data.splitlines():
                if (number := json.loads(line)["seq"]) >= start:
                    yield number, line

    def _identity(self, position: Position) -> Identity:
        found = _SLOT.fullmatch(position.slot)
        assert found is not None, "positions are parsed"
        return Identity(
            namespace=self._task.namespace,
            task=self._task.name,
            task_id=self._task.uid,
            attempt=position.attempt,
            role=Role(position.slot.partition("-")[0]),
            round=int(found["round"] or 0),
            trial=int(found["trial"] or found["push"] or 0),
        )


def _unpacked(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST_SEGMENT)
