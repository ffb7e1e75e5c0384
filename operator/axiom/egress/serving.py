"""Listens: on a Unix socket for `axiom run`, on TCP for a cluster."""

from __future__ import annotations

import asyncio
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from axiom.api.agentclass import Credential, Destination, Price
from axiom.egress.accounting import Accounts
from axiom.egress.directory import StaticDirectory
from axiom.egress.errors import SettingsError
from axiom.egress.metrics import Metrics
from axiom.egress.proxy import create_app, create_runner
from axiom.egress.settings import Address, ProxySettings

_BACKLOG = 128
MOST_FOR_ONE_PEER = 512
"""Connections at once: twice what an attempt may have requests, so that idle ones do not stand in their way."""
_LONGEST_SOCKET_PATH = 107


@asynccontextmanager
async def serve_unix(
    path: Path,
    routes: Mapping[str, Sequence[Credential]],
    credentials: Mapping[str, str],
    key: bytes,
    *,
    prices: Mapping[str, Sequence[Price]] | None = None,
    destinations: Mapping[str, Sequence[Destination]] | None = None,
    accounts: Accounts | None = None,
    settings: ProxySettings | None = None,
    metrics: Metrics | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[StaticDirectory]:
    """The proxy on a Unix socket that only this user can connect to, for as long as the context is open.

    Args:
        path: of the socket; one that was left behind is replaced. At most 107 bytes.
        routes: an AgentClass's `spec.credentials`, by the class's name.
        credentials: the real key by the credential's name; requests that need a missing one get 503.
        key: makes tokens (`tokens.mint`); at least 32 bytes.
        prices: an AgentClass's `spec.prices`, by the class's name.
        destinations: an AgentClass's `spec.egress.destinations`, by the class's name.
        accounts: what tasks used, and may use.
        settings: time limits and private upstreams.
        metrics: where requests are counted; by default nowhere that is shown.
        clock: seconds since the epoch.

    Yields:
        The directory, whose `end(task_id, attempt)` revokes an attempt's tokens.

    Raises:
        SettingsError: there can be no socket at this path.
    """
    directory = StaticDirectory(routes, credentials, prices, destinations)
    app = create_app(
        settings or ProxySettings(), lambda: (key,), directory, metrics or Metrics(), clock, accounts
    )
    runner = create_runner(app, shutdown_seconds=1)
    listener = _bind_unix(path)
    try:
        await runner.setup()
        await web.SockSite(runner, listener, backlog=_BACKLOG).start()
        yield directory
    finally:
        await runner.cleanup()
        listener.close()
        path.unlink(missing_ok=True)


async def listen_tcp(
    runner: web.AppRunner, address: Address, most_for_one_peer: int = MOST_FOR_ONE_PEER
) -> Address:
    """Starts a runner on a TCP port. Returns where it listens. Raises SettingsError when it cannot."""
    await runner.setup()
    site = _Site(runner, address, most_for_one_peer)
    try:
        await site.start()
    except OSError as error:
        raise SettingsError(f"cannot listen on {address.host}:{address.port}: {error.strerror}") from error
    return Address(*runner.addresses[-1][:2])


class _Site(web.TCPSite):
    """Hangs up on a peer that has connections enough: what they cost comes before any token is read."""

    def __init__(self, runner: web.AppRunner, address: Address, most: int) -> None:
        super().__init__(runner, address.host, address.port, backlog=_BACKLOG)
        self._address, self._most = address, most

    async def start(self) -> None:
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Door(server, self._most), self._address.host, self._address.port, backlog=_BACKLOG
        )


class _Door(asyncio.Protocol):
    """The first moment of a connection."""

    def __init__(self, server: web.Server, most: int) -> None:
        self._server, self._most = server, most

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")[:1]
        peers = (one.peername for one in self._server.connections)
        if sum(isinstance(one, tuple) and one[:1] == peer for one in peers) >= self._most:
            transport.abort()
            return
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)


def _bind_unix(path: Path) -> socket.socket:
    if len(bytes(path)) > _LONGEST_SOCKET_PATH:
        raise SettingsError(
            f"{path} is too long for a Unix socket; {_LONGEST_SOCKET_PATH} bytes are the most"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
        listener.bind(str(path))
        # nobody can connect between bind and chmod: the socket does not listen yet
        path.chmod(0o600)
    except OSError as error:
        listener.close()
        raise SettingsError(f"there can be no socket at {path}: {error.strerror}") from error
    return listener
