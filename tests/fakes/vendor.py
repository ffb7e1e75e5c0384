"""A vendor to talk to, and an agent's way to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from axiom.api.agentclass import Credential, Destination, Price
from axiom.egress.accounting import Accounts
from axiom.egress.directory import StaticDirectory
from axiom.egress.metrics import Metrics
from axiom.egress.serving import serve_unix
from axiom.egress.settings import ProxySettings
from axiom.egress.tokens import Grant, mint

NOW = 1_800_000_000
KEY = b"k" * 32
CANARY = "sk-canary-0123456789abcdefghijklmnop"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """A request as the vendor saw it."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


@dataclass
class Vendor:
    """A real HTTP server on loopback that records what it got, and answers as told."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answer: Answer | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client went away in the middle of an answer."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read() if self.answer is None else b""
            self.requests.append(
                Received(request.method, request.raw_path, CIMultiDict(request.headers), body)
            )
            return await self.answer(request) if self.answer else web.Response(text="hello")
        except asyncio.CancelledError:
            self.gone.set()
            raise


LOOPBACK = ProxySettings(allow_private_upstreams=frozenset({"127.0.0.1"}))
"""The proxy's settings: vendors are on this machine."""


@dataclass
class Way:
    """An agent's way out: an HTTP client behind the proxy's socket."""

    client: aiohttp.ClientSession
    directory: StaticDirectory
    metrics: Metrics
    socket: Path
    accounts: Accounts

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> Any:
        sent = {"Authorization": f"Bearer {token or make_token()}", **(headers or {})}
        return self.client.request(method, f"http://proxy{path}", headers=sent, **rest)


def make_grant(**changes: Any) -> Grant:
    return Grant(
        task_id="5ac8ee7c-8b7b-4c0f-9c2a-3f3a5d1f7c11",
        namespace="team-a",
        task="fix-leap-year",
        attempt=1,
        agent_class="codex",
        address="",
        expires=NOW + 3600,
    )._replace(**changes)


def make_token(key: bytes = KEY, **changes: Any) -> str:
    return mint(key, make_grant(**changes))


def credential(upstream: str, prefix: str = "/openai", name: str = "openai", **route: str) -> Credential:
    return Credential.model_validate(
        {
            "name": name,
            "secretRef": {"name": "keys", "key": name},
            "route": {"prefix": prefix, "upstream": upstream, **route},
        }
    )


@asynccontextmanager
async def run_vendor() -> AsyncIterator[Vendor]:
    vendor = Vendor()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", vendor.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    vendor.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield vendor
    await runner.cleanup()


@asynccontextmanager
async def run_way(
    folder: Path,
    credentials: list[Credential],
    *,
    keys: Mapping[str, str] | None = None,
    settings: ProxySettings | None = None,
    now: Callable[[], float] = lambda: NOW,
    prices: Sequence[Mapping[str, str]] = (),
    destinations: Sequence[Mapping[str, Any]] = (),
) -> AsyncIterator[Way]:
    accounts = Accounts()
    socket, metrics = folder / "egress.sock", Metrics()
    other = credential("http://192.0.2.1", "/anthropic", "anthropic")
    async with (
        serve_unix(
            socket,
            {"codex": credentials, "claude": [other]},
            {"openai": CANARY} if keys is None else keys,
            KEY,
            prices={"codex": [Price.model_validate(price) for price in prices]},
            destinations={"codex": [Destination.model_validate(one) for one in destinations]},
            accounts=accounts,
            settings=settings or LOOPBACK,
            metrics=metrics,
            clock=now,
        ) as directory,
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), auto_decompress=False) as client,
    ):
        yield Way(client, directory, metrics, socket, accounts)
