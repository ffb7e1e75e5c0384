"""What the proxy has to know about the outside: which routes a class opens, and which attempts still run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from axiom.api.agentclass import Credential, Destination, Price, Route
from axiom.egress.pricing import Tariff, tariffs_of
from axiom.egress.tokens import Grant


class Standing(Enum):
    """What an attempt's token is worth now."""

    ACTIVE = auto()
    ENDED = auto()
    """The attempt is over, or was never seen."""
    ELSEWHERE = auto()
    """The attempt runs, but not at the address that the request came from."""


@dataclass(frozen=True)
class ArmedRoute:
    """A route and the key that its requests get."""

    route: Route
    key: str | None = field(repr=False)
    """None: the credential could not be read; requests are refused until it can."""


class Directory(Protocol):
    """Answers from memory, or after a short wait: it stands in the path of every request."""

    def routes(self, agent_class: str) -> Sequence[ArmedRoute]:
        """Routes that the AgentClass opens; none for a class that is not known."""
        ...

    def destinations(self, grant: Grant) -> Sequence[Destination]:
        """Hosts beyond the routes that the grant's class opens, as far as its task wants them."""
        ...

    def tariffs(self, agent_class: str) -> Sequence[Tariff]:
        """Prices of the AgentClass, as `tariffs_of` orders them; none for a class that is not known."""
        ...

    async def standing(self, grant: Grant, peer: str | None) -> Standing:
        """Whether the grant's attempt runs. `peer` is the IP address of the caller; None on a Unix socket."""
        ...


class StaticDirectory:
    """Routes and keys that do not change, and attempts that run until they are ended here: for `axiom run`."""

    def __init__(
        self,
        classes: Mapping[str, Sequence[Credential]],
        keys: Mapping[str, str],
        prices: Mapping[str, Sequence[Price]] | None = None,
        destinations: Mapping[str, Sequence[Destination]] | None = None,
    ) -> None:
        """`classes`, `prices`, `destinations`: by AgentClass name. `keys`: the real key by the credential's name."""
        self._destinations = destinations or {}
        self._tariffs = {name: tariffs_of(items) for name, items in (prices or {}).items()}
        self._routes = {
            name: tuple(ArmedRoute(item.route, usable_key(keys.get(item.name))) for item in credentials)
            for name, credentials in classes.items()
        }
        self._ended: set[str] = set()

    def routes(self, agent_class: str) -> Sequence[ArmedRoute]:
        """Routes that the AgentClass opens."""
        return self._routes.get(agent_class, ())

    def destinations(self, grant: Grant) -> Sequence[Destination]:
        """Hosts beyond the routes."""
        return self._destinations.get(grant.agent_class, ())

    def tariffs(self, agent_class: str) -> Sequence[Tariff]:
        """Prices of the AgentClass."""
        return self._tariffs.get(agent_class, ())

    async def standing(self, grant: Grant, peer: str | None) -> Standing:
        """ACTIVE until `end`."""
        return Standing.ENDED if grant.attempt_id in self._ended else Standing.ACTIVE

    def end(self, task_id: str, attempt: int) -> None:
        """From now on the attempt's tokens do not count."""
        self._ended.add(f"{task_id}/{attempt}")


def usable_key(text: str | None) -> str | None:
    """A key without the space around it; None when it is missing, empty, or cannot stand in a header."""
    stripped = (text or "").strip()
    return stripped if stripped and stripped.isascii() and stripped.isprintable() else None
