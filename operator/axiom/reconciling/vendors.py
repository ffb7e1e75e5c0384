"""The breakers of the vendors' APIs, fed with what the processes of the egress proxy saw.

They outlive the operator that holds them: written down beside its Lease each time that this is renewed, and read by the next.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from axiom.api.agentclass import AgentClassSpec
from axiom.api.conditions import ConditionType
from axiom.egress.weather import Sight
from axiom.planning.breakers import (
    WINDOW_SECONDS,
    Breaker,
    BreakerState,
    Seen,
    advance,
    carried_over,
    claimed,
    failing_share,
    holds_back,
    votes,
)
from axiom.planning.observed import Observed, VendorDown
from axiom.planning.statuses import is_true
from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.identity import Role

log = logging.getLogger(__name__)

NOTE = "axiom.dev/vendors"
"""The annotation of the Lease that holds the breakers which are not closed for good."""
_MOST_WRITTEN = 200_000
"""Bytes: an object's annotations may have 256 KiB in all."""
_BREAKERS = TypeAdapter(dict[str, Breaker])

Sample = tuple[Sequence[str], float]


def hosts_of(spec: AgentClassSpec) -> tuple[str, ...]:
    """Of the models that agents of this class ask."""
    routes = (credential.route for credential in spec.credentials if credential.route.metered)
    return tuple(dict.fromkeys(urlsplit(route.upstream).hostname or "" for route in routes))


class Vendors:
    """All breakers of this operator."""

    def __init__(self, clock: Callable[[], datetime], jitter: Callable[[], float] = random.random) -> None:
        """`clock` gives a time that does not jump, and that the next operator goes on with."""
        self._clock, self._jitter = clock, jitter
        self._seen: dict[str, dict[str, tuple[Seen, ...]]] = {}
        """By process of the proxy, by host."""
        self._breakers: dict[str, Breaker] = {}

    def see(self, process: str, sights: Mapping[str, Sight]) -> None:
        """What a process of the proxy tells now."""
        now = self._now()
        self._seen[process] = {host: tuple(_seen(sight, now)) for host, sight in sights.items()}

    def keep(self, processes: Iterable[str]) -> None:
        """Others are gone, and what they saw with them."""
        there = set(processes)
        self._seen = {process: seen for process, seen in self._seen.items() if process in there}

    def look(self) -> bool:
        """Moves every breaker; whether one of them changed what it lets through."""
        now, before = self._now(), {host: one.state for host, one in self._breakers.items()}
        for host in self._hosts():
            found = advance(self._breakers.get(host, Breaker()), self._seen_of(host), now, self._jitter())
            if found == Breaker():
                self._breakers.pop(host, None)
            else:
                self._breakers[host] = found
        after = {host: one.state for host, one in self._breakers.items()}
        closed = BreakerState.CLOSED
        return any(before.get(host, closed) is not after.get(host, closed) for host in {*before, *after})

    def down_for(self, observed: Observed) -> VendorDown | None:
        """Which vendor holds this task back; None: none, or it is the one that tries whether it is back."""
        if observed.agent_class is None or not asks_a_model(observed):
            return None
        now = self._now()
        for host in hosts_of(observed.agent_class.spec):
            if (breaker := self._breakers.get(host)) is None:
                continue
            breaker = self._breakers[host] = claimed(breaker, observed.task.uid, now)
            if holds_back(breaker, observed.task.uid):
                return VendorDown(host, _moment(breaker.since), _moment(breaker.next_try))
        return None

    def notes(self) -> dict[str, str]:
        """What the next operator has to know, as an annotation."""
        found = dict(self._breakers)
        while len(text := _BREAKERS.dump_json(found)) > _MOST_WRITTEN:
            found.popitem()
        return {NOTE: text.decode()}

    def go_on_from(self, notes: Mapping[str, str]) -> None:
        """As the last operator left them. What cannot be read is left out: breakers open anew by themselves."""
        if not (text := notes.get(NOTE)):
            return
        try:
            found = _BREAKERS.validate_json(text)
        except ValidationError as error:
            log.warning(
                "the annotation %s of the Lease cannot be read; all breakers are closed: %s", NOTE, error
            )
            return
        now = self._now()
        self._breakers = {host: carried_over(breaker, now) for host, breaker in found.items()}

    def states(self) -> Iterator[Sample]:
        """For the metric: every host that was told of, 1 where its breaker holds all back that ask it."""
        for host in self._hosts():
            breaker = self._breakers.get(host, Breaker())
            yield (host,), float(breaker.state is not BreakerState.CLOSED and not breaker.only)

    def next_tries(self) -> Iterator[Sample]:
        """For the metric: hosts whose breaker is not closed, with the time of the next try, or of the one under way."""
        for host, breaker in sorted(self._breakers.items()):
            if breaker.state is not BreakerState.CLOSED:
                yield (host,), breaker.next_try

    def shares(self) -> Iterator[Sample]:
        """For the metric: every host that was told of, with the share of tasks whose last call failed."""
        now = self._now()
        for host in self._hosts():
            yield (host,), failing_share(votes(self._seen_of(host), now - WINDOW_SECONDS))

    def _now(self) -> float:
        return self._clock().timestamp()

    def _hosts(self) -> list[str]:
        return sorted({*self._breakers, *(host for seen in self._seen.values() for host in seen)})

    def _seen_of(self, host: str) -> list[Seen]:
        return [one for seen in self._seen.values() for one in seen.get(host, ())]


def _seen(sight: Sight, now: float) -> Iterator[Seen]:
    for task, fared in sight.by_task.items():
        answered = None if fared.answered_ago is None else now - fared.answered_ago
        failed = None if fared.failed_ago is None else now - fared.failed_ago
        yield Seen(task, fared.failed_in_row, answered, failed)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def asks_a_model(observed: Observed) -> bool:
    """Whether the task's agent is at work, or about to be. Pure."""
    status = observed.task.status
    if not status.attempt or is_true(status, ConditionType.COMPLETE) or observed.task.spec.suspend:
        return False
    agent = observed.sandbox(Role.AGENT, status.attempt)
    return agent is None or agent.phase in (
        None,
        Phase.STARTING,
        Phase.WAITING_FOR_WORKSPACE,
        Phase.READY,
        Phase.RUNNING,
    )
