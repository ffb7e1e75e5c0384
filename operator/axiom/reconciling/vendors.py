"""The breakers of the vendors' APIs, fed with what the processes of the egress proxy saw."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from axiom.api.agentclass import AgentClassSpec
from axiom.api.conditions import ConditionType
from axiom.egress.weather import Sight
from axiom.planning.breakers import Breaker, BreakerState, Seen, advance, claimed, holds_back
from axiom.planning.observed import Observed, VendorDown
from axiom.planning.statuses import is_true
from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.identity import Role


def hosts_of(spec: AgentClassSpec) -> tuple[str, ...]:
    """Of the models that agents of this class ask."""
    routes = (credential.route for credential in spec.credentials if credential.route.metered)
    return tuple(dict.fromkeys(urlsplit(route.upstream).hostname or "" for route in routes))


class Vendors:
    """All breakers of this operator. One that is started anew begins with closed ones, and learns within seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock, self._jitter = clock, jitter
        self._seen: dict[str, dict[str, Seen]] = {}
        """By process of the proxy, by host."""
        self._breakers: dict[str, Breaker] = {}

    def see(self, process: str, sights: Mapping[str, Sight]) -> None:
        """What a process of the proxy tells now."""
        now = self._clock()
        self._seen[process] = {
            host: Seen(
                sight.failed_in_row,
                None if sight.answered_ago is None else now - sight.answered_ago,
                None if sight.failed_ago is None else now - sight.failed_ago,
            )
            for host, sight in sights.items()
        }

    def keep(self, processes: Iterable[str]) -> None:
        """Others are gone, and what they saw with them."""
        there = set(processes)
        self._seen = {process: seen for process, seen in self._seen.items() if process in there}

    def look(self) -> bool:
        """Moves every breaker; whether one of them changed what it lets through."""
        now, before = self._clock(), {host: one.state for host, one in self._breakers.items()}
        for host in {*self._breakers, *(host for seen in self._seen.values() for host in seen)}:
            seen = [one[host] for one in self._seen.values() if host in one]
            found = advance(self._breakers.get(host, Breaker()), seen, now, self._jitter())
            if found == Breaker():
                self._breakers.pop(host, None)
            else:
                self._breakers[host] = found
        return before != {host: one.state for host, one in self._breakers.items()}

    def down_for(self, observed: Observed) -> VendorDown | None:
        """Which vendor holds this task back; None: none, or it is the one that tries whether it is back."""
        if observed.agent_class is None or not asks_a_model(observed):
            return None
        now = self._clock()
        for host in hosts_of(observed.agent_class.spec):
            if (breaker := self._breakers.get(host)) is None:
                continue
            breaker = self._breakers[host] = claimed(breaker, observed.task.uid, now)
            if holds_back(breaker, observed.task.uid):
                return VendorDown(host, max(breaker.next_try - now, 0))
        return None

    def states(self) -> Iterator[tuple[Sequence[str], float]]:
        """For the metric: every host that was told of, 1 where its breaker is not closed."""
        hosts = {*self._breakers, *(host for seen in self._seen.values() for host in seen)}
        for host in sorted(hosts):
            state = self._breakers.get(host, Breaker()).state
            yield (host,), float(state is not BreakerState.CLOSED)


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
