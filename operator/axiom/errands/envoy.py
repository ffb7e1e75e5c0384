"""Does a verifier's errands through the egress proxy: the one way out, with a token that is good for one purpose."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import assert_never
from urllib.parse import urlsplit

from axiom.api.agentclass import judge_prefix
from axiom.egress.tokens import Purpose
from axiom.errands.pages import Proxy, fetch
from axiom_sandbox.protocol.errands import AskJudge, Errand, Fetched, FetchPage, NotDone, Reply

_FRESH_SECONDS = 600.0
_MOST_CACHED = 32 * 1024 * 1024
_OK = 200


@dataclass(frozen=True)
class Way:
    """How the egress proxy is reached."""

    base: str
    """Its address, `http://host:port`; the host is only a name where there is a socket."""
    socket: Path | None = None
    trust: ssl.SSLContext | None = None
    """Whose certificates pages may have; None: those that this machine trusts."""


class PageCache:
    """Pages of some minutes ago, so that trials, rounds and tasks of one class do not each burden a site."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: OrderedDict[tuple[str, int], tuple[float, Fetched]] = OrderedDict()
        self._size = 0

    def get(self, errand: FetchPage) -> Fetched | None:
        """A page that was asked for in the same way, unless that is too long ago."""
        at, page = self._pages.get((errand.url, errand.max_bytes), (-_FRESH_SECONDS, None))
        return page if page is not None and self._clock() - at < _FRESH_SECONDS else None

    def put(self, errand: FetchPage, reply: Reply) -> None:
        """Keeps what could be read; the oldest go when there is too much."""
        if not isinstance(reply, Fetched) or reply.hops[-1].status != _OK:
            return
        self._drop((errand.url, errand.max_bytes))
        self._pages[errand.url, errand.max_bytes] = (self._clock(), reply)
        self._size += len(reply.body)
        while self._size > _MOST_CACHED:
            self._drop(next(iter(self._pages)))

    def _drop(self, key: tuple[str, int]) -> None:
        if found := self._pages.pop(key, None):
            self._size -= len(found[1].body)


@dataclass(frozen=True)
class Envoy:
    """Goes for one task."""

    way: Way
    token: Callable[[Purpose], str]
    """A fresh one, good for some minutes."""
    known: PageCache
    """Pages that were fetched for the same AgentClass just now."""

    async def go(self, errand: Errand) -> Reply:
        """What came of it. Never raises for what happens outside."""
        match errand:
            case AskJudge():
                return await self._ask(errand)
            case FetchPage():
                return await self._fetch(errand)
            case _:
                assert_never(errand)

    async def _fetch(self, errand: FetchPage) -> Reply:
        if found := self.known.get(errand):
            return found
        reply = await self._fetch_anew(errand)
        self.known.put(errand, reply)
        return reply

    async def _fetch_anew(self, errand: FetchPage) -> Reply:
        found = urlsplit(self.way.base)
        proxy = Proxy(
            host=found.hostname or "",
            port=found.port or 80,
            socket=self.way.socket,
            token=self.token(Purpose.PAGES),
            trust=self.way.trust or _public(),
        )
        return await asyncio.to_thread(fetch, errand, proxy)

    async def _ask(self, errand: AskJudge) -> Reply:
        # Only here: whoever asks no judge need not have what this loads.
        try:
            import httpx2
        except ImportError:
            why = "the vendors' SDKs are not installed where it would be asked from; install axiom[judges]"
            return NotDone(why=why, refused=True)
        from axiom.errands.vendors import ask

        socket = str(self.way.socket) if self.way.socket else None
        base = f"{self.way.base}{judge_prefix(errand.seat.name)}"
        # To the proxy it is plain HTTP; TLS begins there. A context that trusts nobody costs nothing to make.
        transport = httpx2.AsyncHTTPTransport(uds=socket, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return await ask(errand, base, self.token(Purpose.JUDGES), transport)


@cache
def _public() -> ssl.SSLContext:
    return ssl.create_default_context()
