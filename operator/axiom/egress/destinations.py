"""From what an agent asks a forward proxy for to the host and port that are dialled, or to a refusal. Pure.

Nothing is interpreted: a host is dialled only if it is, but for capital letters, one of the class's own spellings. So what
other readers could take for another host never reaches anybody who resolves: addresses in any notation, user names, trailing
dots, control characters, other alphabets, ports with signs or spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from axiom.api.agentclass import Destination, PlainHttp, Route
from axiom.egress.errors import Refusal, RefusedError
from axiom.egress.routing import Target, check_path

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LONGEST_HOST = 253
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
_PLAIN = "http://"
_PLAIN_PORT = "80"


class Endpoint(NamedTuple):
    """Where a tunnel leads."""

    host: str
    port: int


def is_absolute(target: str) -> bool:
    """Whether a request line's target is what clients send to a forward proxy."""
    return _ABSOLUTE.match(target) is not None


def tunnel_to(authority: str, destinations: Iterable[Destination]) -> Endpoint:
    """The target of a CONNECT → where it leads.

    Raises:
        RefusedError: BAD_HOST or NO_DESTINATION.
    """
    endpoint = _endpoint(authority)
    for destination in destinations:
        if destination.host == endpoint.host and endpoint.port in destination.ports:
            return endpoint
    raise _closed(f"{endpoint.host}:{endpoint.port}", "egress.destinations with this host and port")


def request_to(method: str, target: str, destinations: Iterable[Destination]) -> Target:
    """Method and absolute target of a plain request → where it goes.

    Raises:
        RefusedError: BAD_HOST, BAD_PATH, BAD_METHOD or NO_DESTINATION.
    """
    if not target.startswith(_PLAIN):
        raise RefusedError(
            Refusal.BAD_HOST, "a plain request begins with http:// in small letters; for https use CONNECT"
        )
    authority, slash, rest = target.removeprefix(_PLAIN).partition("/")
    host, colon, _ = authority.partition(":")
    endpoint = _endpoint(authority if colon else f"{host}:{_PLAIN_PORT}")
    path, query = check_path(slash + rest)
    for destination in destinations:
        plain = destination.http
        if destination.host == endpoint.host and plain is not None and endpoint.port in plain.ports:
            _check_rules(method, path, plain)
            upstream = f"{_PLAIN}{endpoint.host}:{endpoint.port}"
            return Target(_route_of(endpoint.host, upstream), upstream + path + query, path)
    raise _closed(f"http://{endpoint.host}:{endpoint.port}", "egress.destinations with this host and http")


def _check_rules(method: str, path: str, plain: PlainHttp) -> None:
    if method not in {allowed.value for allowed in plain.methods}:
        raise RefusedError(
            Refusal.BAD_METHOD,
            f"the class allows {', '.join(sorted(plain.methods))} here, and no other method",
        )
    if not any(_fits(path, pattern) for pattern in plain.paths):
        raise RefusedError(Refusal.NO_DESTINATION, "the class does not open this path of the host")


def _fits(path: str, pattern: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _endpoint(authority: str) -> Endpoint:
    host, _, port = authority.rpartition(":")
    lowered = host.lower() if host.isascii() else ""
    if len(lowered) > _LONGEST_HOST or not _HOST.fullmatch(lowered):
        raise RefusedError(
            Refusal.BAD_HOST,
            "the host is not a name in plain letters, digits and -; addresses, users and trailing dots are refused",
        )
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise RefusedError(Refusal.BAD_HOST, "the host must be followed by : and a port from 1 to 65535")
    return Endpoint(lowered, int(port))


def _closed(what: str, needed: str) -> RefusedError:
    return RefusedError(
        Refusal.NO_DESTINATION, f"the attempt's AgentClass does not open {what}; its author can, by {needed}"
    )


def _route_of(host: str, upstream: str) -> Route:
    """A route without a credential, and of no model."""
    return Route.model_construct(
        prefix=host, upstream=upstream, header="Authorization", format="{}", metered=False
    )


def narrowed(destinations: Iterable[Destination], hosts: Iterable[str] | None) -> list[Destination]:
    """Destinations of a class, as far as a task wants them; None wants all."""
    if hosts is None:
        return list(destinations)
    wanted = frozenset(hosts)
    return [one for one in destinations if one.host in wanted]
