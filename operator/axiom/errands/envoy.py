"""Does a verifier's errands through the egress proxy: the one way out, with a token that is good for one purpose."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from axiom.api.agentclass import judge_prefix
from axiom.egress.tokens import Purpose
from axiom_sandbox.protocol.errands import AskJudge, Errand, FetchPage, NotDone, Reply


@dataclass(frozen=True)
class Way:
    """How the egress proxy is reached."""

    base: str
    """Its address, `http://host:port`; the host is only a name where there is a socket."""
    socket: Path | None = None


@dataclass(frozen=True)
class Envoy:
    """Goes for one task."""

    way: Way
    token: Callable[[Purpose], str]
    """A fresh one, good for some minutes."""

    async def go(self, errand: Errand) -> Reply:
        """What came of it. Never raises for what happens outside."""
        match errand:
            case AskJudge():
                return await self._ask(errand)
            case FetchPage():
                return NotDone(why="this version fetches no pages", refused=True)
            case _:
                assert_never(errand)

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
