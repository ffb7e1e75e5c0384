"""From a request's target to the vendor's address, or to a refusal. Pure.

What is judged is what is sent: the target is never decoded and encoded again. Anything that two readers could read
differently (dot segments, encoded slashes, backslashes, control bytes, other forms than `/path?query`) is refused, and so is a
query that says who asks or who pays: whoever may give credentials of its own can carry data into an account of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_plus, unquote_to_bytes

from axiom.api.agentclass import Route
from axiom.egress.errors import Refusal, RefusedError

MAX_TARGET_LENGTH = 8000
"""Characters of the longest path with its query."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_VISIBLE = re.compile(r"[!-~]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TELLING_ESCAPE = re.compile(r"%(2[eEfF]|5[cC]|25|23|3[fFbB]|[01][0-9A-Fa-f]|7[fF])")
"""Escapes of . / \\ % # ? ; and of control characters: decoded once more, they change what the path means."""
_SLASHES = re.compile(r"/{2,}")
_CREDENTIALS = frozenset({
    "access_token", "api-key", "api_key", "apikey", "auth_token", "authorization", "key", "oauth_token", "subscription-key",
    "x-api-key", "x-goog-api-key",
})  # fmt: skip
"""Parameters that vendors take for who asks; Google takes them with a $ before them, too."""
_PAYERS = frozenset({"quotauser", "userproject"})
"""Parameters that Google takes for who pays."""


class Target(NamedTuple):
    """Where a request goes."""

    route: Route
    url: str
    """Absolute, encoded, to be sent as it is."""
    path: str
    """Path at the proxy, without the query."""


def resolve(method: str, target: str, routes: Iterable[Route]) -> Target:
    """A request line's method and target → where it goes.

    `target` is what stood in the request line. The route whose prefix is the first segment of the path is taken; the
    rest of the path is appended to the route's upstream, and the query is kept as it was.

    Raises:
        RefusedError: BAD_METHOD, BAD_PATH, PATH_TOO_LONG, NOT_FOUND or NO_ROUTE.
    """
    check_method(method)
    path, mark, query = _split(target)
    said = parameters_of(query)
    if own := sorted(_CREDENTIALS.intersection(said)):
        raise RefusedError(
            Refusal.BAD_PATH, f"the query holds a credential ({own[0]}); send the token in a header instead"
        )
    if own := sorted(_PAYERS.intersection(said)):
        raise RefusedError(
            Refusal.BAD_PATH,
            f"the query says who pays ({own[0]}), which the key of the AgentClass decides; leave it out",
        )
    first, slash, rest = path[1:].partition("/")
    if not first:
        raise RefusedError(
            Refusal.NOT_FOUND, "the path names no route; use the base URL from $(AXIOM_PROXY_URL)"
        )
    for route in routes:
        if route.prefix == f"/{first}":
            return Target(route, _join(route.upstream, slash + rest) + mark + query, path)
    raise RefusedError(Refusal.NO_ROUTE, f"the attempt's AgentClass opens no route /{first}")


def parameters_of(query: str) -> dict[str, str]:
    """Name → value of a query's parameters, decoded, as vendors read their names: in any case, with or without a $."""
    pairs = (pair.partition("=") for pair in re.split("[&;]", query) if pair)
    return {
        unquote_plus(name).strip().removeprefix("$").lower(): unquote_plus(value) for name, _, value in pairs
    }


def check_method(method: str) -> None:
    """Raises RefusedError BAD_METHOD for TRACE, CONNECT and everything unknown."""
    if method not in METHODS:
        raise RefusedError(Refusal.BAD_METHOD, f"the method is not one of {', '.join(sorted(METHODS))}")


def _split(target: str) -> tuple[str, str, str]:
    if len(target) > MAX_TARGET_LENGTH:
        raise RefusedError(
            Refusal.PATH_TOO_LONG,
            f"the path has more than {MAX_TARGET_LENGTH} characters; send the data in the body",
        )
    if not target.startswith("/") or target.startswith("//"):
        raise _bad("must begin with one slash; other forms of a request's target are refused")
    if not _VISIBLE.fullmatch(target) or "#" in target or "\\" in target:
        raise _bad("holds a character that must be percent-encoded")
    path, mark, query = target.partition("?")
    _check_segments(path)
    return _SLASHES.sub("/", path), mark, query


def check_path(target: str) -> tuple[str, str]:
    """Path and query (with its mark) of a target that was cut from an absolute one. Raises RefusedError."""
    path, mark, query = _split(target or "/")
    return path, mark + query


def _check_segments(path: str) -> None:
    if _BAD_ESCAPE.search(path):
        raise _bad("holds a % that begins no escape")
    if _TELLING_ESCAPE.search(path):
        raise _bad("holds an encoded slash, dot, percent sign or control character")
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("holds escapes that are not UTF-8") from None
    if any(segment.split(";", 1)[0] in {".", ".."} for segment in path.split("/")):
        raise _bad("holds a . or .. segment")


def _join(upstream: str, rest: str) -> str:
    base = upstream.rstrip("/")
    has_path = "/" in base.partition("://")[2]
    return base + (rest or ("" if has_path else "/"))


def _bad(what: str) -> RefusedError:
    return RefusedError(Refusal.BAD_PATH, f"the path {what}")
