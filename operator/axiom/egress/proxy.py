"""The streaming proxy: admits a request, swaps the token for the real key, and carries bytes both ways.

It is a reverse proxy for the routes of credentials, and a forward proxy for a class's destinations: plain HTTP, and CONNECT.
Who may do what is decided by `tokens`, `routing`, `destinations` and the Directory, and by the task's account; which headers pass, by
`headers`. Nothing is buffered: each chunk is handed on as it comes, and an agent that goes away ends the vendor's request.
What models' answers used is read as they pass, and put on the account.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import socket
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler
from yarl import URL

from axiom.egress import asking, destinations, model_apis, routing
from axiom.egress import headers as passing
from axiom.egress.accounting import Accounts
from axiom.egress.bounding import UNBOUNDED, UNREAD, Bound, bound_of
from axiom.egress.directory import ArmedRoute, Directory, Standing
from axiom.egress.errors import Refusal, RefusedError, SpentError, TokenError, TokenFault
from axiom.egress.metering import BYTES_PER_TOKEN, Certainty, Meter, Reading
from axiom.egress.metrics import Metrics
from axiom.egress.noticing import Ear, is_text
from axiom.egress.redacting import Redactor
from axiom.egress.resolving import ForbiddenAddressError, GuardedResolver
from axiom.egress.settings import ProxySettings
from axiom.egress.tokens import PREFIX, Grant, read
from axiom.egress.tunnelling import Tunnel

MAX_LINE_BYTES = 8190
MAX_HEADER_BYTES = 16384
"""Bytes of the longest header field."""
MAX_HEADERS = 128
_KEEPALIVE_SECONDS = 15.0
_CLIENT_WENT_AWAY = 499
_LONGEST_AUDITED_PATH = 512
_LARGEST_QUESTION = 4 * 1024**2
"""Bytes of a question of a task with a budget that are read before it goes out; of a longer one nobody knows the cost."""
_MOST_HELD = 32 * 1024**2
"""Bytes of all questions that are held for that; what comes beyond it is not read through, either."""

audit_log = logging.getLogger("axiom.egress.audit")
"""One JSON object for each request."""
_PROXY: web.AppKey[_Proxy] = web.AppKey("proxy")

_LOOKS_LIKE_TOKEN = re.compile(rf"{re.escape(PREFIX)}[A-Za-z0-9_.-]*")
_NO_DEFAULTS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Admitted(NamedTuple):
    """A request that may go out."""

    grant: Grant
    token: str
    target: routing.Target
    key: str
    request: model_apis.Request


@dataclass
class Exchange:
    """What becomes of one request."""

    started: float
    grant: Grant | None = None
    route: str | None = None
    host: str = ""
    status: int = _CLIENT_WENT_AWAY
    refusal: str | None = None
    up: int = 0
    """Bytes of the request's body that were handed on."""
    down: int = 0
    """Bytes of the answer's body that were handed on."""
    admitted: float | None = None
    """When the vendor was asked; like `started` by the monotonic clock."""
    is_whole: bool = False
    """The answer came to its end."""
    awaiting_agent: bool = False
    """The next thing that has to come is a part of the agent's request."""
    ahead: deque[bytes] = field(default_factory=deque)
    """Parts of the request's body that were read and not handed on yet; an empty one is its end."""
    bound: Bound = UNREAD
    """The most that a model's answer can be."""
    signals: tuple[str, ...] = ()
    """Rules by which the answer means to talk a model into something."""

    @property
    def waited(self) -> float:
        """Seconds since the vendor was asked."""
        return time.monotonic() - self.admitted if self.admitted is not None else 0.0


def create_app(
    settings: ProxySettings,
    keys: Callable[[], Sequence[bytes]],
    directory: Directory,
    metrics: Metrics,
    clock: Callable[[], float] = time.time,
    accounts: Accounts | None = None,
) -> web.Application:
    """The proxy as an application; run it with `create_runner`.

    Args:
        settings: time limits and private upstreams.
        keys: the keys whose tokens count now.
        directory: routes, real keys, and which attempts run.
        metrics: where requests are counted.
        clock: seconds since the epoch.
        accounts: what tasks used, and may use; by default some of its own.
    """
    proxy = _Proxy(settings, keys, directory, metrics, clock, accounts or Accounts())
    app = web.Application()
    app.cleanup_ctx.append(proxy.run_session)
    # no routes of aiohttp's: they match a path that was decoded already
    app.middlewares.append(proxy.take)
    app[_PROXY] = proxy
    return app


def create_runner(
    app: web.Application, shutdown_seconds: float = 10, silent_seconds: float = 75
) -> web.AppRunner:
    """A runner that bounds headers, keeps bodies as they are, and notices when a client goes away.

    A connection on which no whole request came for `silent_seconds`, and none is being answered, is closed.
    """
    return web.AppRunner(
        app,
        access_log=None,
        logger=_ServersLogger(app[_PROXY].note_malformed),
        handle_signals=False,
        handler_cancellation=True,
        auto_decompress=False,
        keepalive_timeout=silent_seconds,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
        shutdown_timeout=shutdown_seconds,
    )


class _ServersLogger(logging.LoggerAdapter[logging.Logger]):
    """What the HTTP server says, without what it could not read: that holds what an agent wrote, its token, too."""

    def __init__(self, note_malformed: Callable[[str | None], None]) -> None:
        super().__init__(logging.getLogger("axiom.egress.server"), {})
        self._note_malformed = note_malformed

    def log(self, level: int, msg: object, *args: object, **more: Any) -> None:
        """As Logger.log."""
        if isinstance(more.get("exc_info"), HttpProcessingError):
            self._note_malformed(str(args[0]) if args and args[0] else None)
        else:
            super().log(level, msg, *args, **more)


def create_operations_app(
    metrics: Metrics,
    is_ready: Callable[[], bool],
    accounts: Accounts,
    keys: Callable[[], Sequence[bytes]],
    clock: Callable[[], float] = time.time,
) -> web.Application:
    """/healthz (200, or 503 until `is_ready`), /metrics and the operator's /v1/usage, for another port than the agents'."""
    metrics.watch(is_ready)

    async def healthz(request: web.Request) -> web.Response:
        ready = is_ready()
        return web.Response(text="ok\n" if ready else "not ready\n", status=200 if ready else 503)

    async def render(request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application(client_max_size=asking.LARGEST_QUESTION)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", render)
    asking.add_route(app, accounts, keys, clock)
    return app


class _Proxy:
    def __init__(
        self,
        settings: ProxySettings,
        keys: Callable[[], Sequence[bytes]],
        directory: Directory,
        metrics: Metrics,
        clock: Callable[[], float],
        accounts: Accounts,
    ) -> None:
        self._accounts = accounts
        self._settings = settings
        self._keys = keys
        self._directory = directory
        self._metrics = metrics
        self._clock = clock
        self._open = Counter[str]()
        self._held = 0
        self._session: aiohttp.ClientSession
        self._resolver: GuardedResolver

    async def run_session(self, app: web.Application) -> AsyncIterator[None]:
        """Holds the connections to vendors for as long as the application runs."""
        self._resolver = GuardedResolver(aiohttp.ThreadedResolver(), self._settings.allow_private_upstreams)
        connector = aiohttp.TCPConnector(
            resolver=self._resolver, use_dns_cache=False, limit=0, keepalive_timeout=_KEEPALIVE_SECONDS
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self._settings.connect_seconds, sock_read=self._settings.idle_seconds
            ),
            skip_auto_headers=_NO_DEFAULTS,
            trust_env=False,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        yield
        await self._session.close()
        await self._resolver.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serves one request, and writes down what became of it."""
        exchange = Exchange(time.monotonic())
        with self._metrics.open_requests.track_inprogress():
            try:
                return await self._serve(request, exchange)
            except RefusedError as error:
                exchange.status, exchange.refusal = error.status, error.refusal
                self._metrics.count_denial(error.refusal)
                return _answer(error)
            except Exception:
                exchange.status = 500
                raise
            finally:
                self._record(request, exchange)

    @web.middleware
    async def take(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Takes every request, so that no other answer than ours is possible."""
        return await self.handle(request)

    def note_malformed(self, peer: str | None) -> None:
        """Bytes came from this address that are no request."""
        self._metrics.count_denial(Refusal.MALFORMED)
        refused = {"event": "egress", "peer": peer, "status": 400, "refusal": Refusal.MALFORMED}
        audit_log.info("%s", json.dumps(refused))

    async def _serve(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        if request.version not in (HttpVersion10, HttpVersion11) or passing.is_framed_oddly(request.headers):
            raise RefusedError(
                Refusal.MALFORMED, "write HTTP/1.1, with one Content-Length, or chunks and no other encoding"
            )
        is_tunnel = request.method == "CONNECT"
        forwards = is_tunnel or destinations.is_absolute(request.raw_path)
        token, grant = await self._authenticate(request, exchange, forwards=forwards)
        with self._counted(grant):
            if is_tunnel:
                return await self._tunnel(request, token, grant, exchange)
            if forwards:
                admitted = self._admit_plain(request, token, grant, exchange)
            else:
                admitted = self._admit(request, token, grant, exchange)
            try:
                return await self._exchange(request, admitted, exchange)
            finally:
                if forwards:
                    self._accounts.note_traffic(grant, exchange.host, exchange.down)

    async def _exchange(
        self, request: web.Request, admitted: Admitted, exchange: Exchange
    ) -> web.StreamResponse:
        if admitted.request.kind is not model_apis.Kind.CALL:
            return await self._carry(request, admitted, exchange)
        try:
            if self._accounts.has_budget(admitted.grant):
                await self._look_ahead(request, admitted, exchange)
            most, seconds = exchange.bound.cost, self._settings.budget_seconds
            async with self._accounts.reserved(admitted.grant, most, seconds):
                return await self._carry(request, admitted, exchange)
        except SpentError as error:
            raise _spent(str(error), admitted.request.api) from error
        finally:
            self._held -= sum(map(len, exchange.ahead))

    async def _look_ahead(self, request: web.Request, admitted: Admitted, exchange: Exchange) -> None:
        """Reads a question as far as it may be held here, to tell what its answer can cost."""
        exchange.bound = UNBOUNDED
        size, is_whole = 0, not request.body_exists
        try:
            while not is_whole and size < _LARGEST_QUESTION and self._held < _MOST_HELD:
                chunk = await self._next(request, exchange)
                exchange.ahead.append(chunk)
                size, self._held, is_whole = size + len(chunk), self._held + len(chunk), not chunk
        except TimeoutError as error:
            raise _too_slow(self._settings) from error
        if is_whole and not passing.is_compressed(request.headers):
            tariffs = self._directory.tariffs(admitted.grant.agent_class)
            exchange.bound = bound_of(admitted.target.path, b"".join(exchange.ahead), tariffs)

    async def _carry(
        self, request: web.Request, admitted: Admitted, exchange: Exchange
    ) -> web.StreamResponse:
        try:
            upstream = await self._ask(request, admitted, exchange)
        except asyncio.CancelledError:
            self._charge_unanswered(request, admitted, exchange)
            if exchange.waited >= self._settings.patience_seconds and not exchange.awaiting_agent:
                self._note_weather(admitted, exchange, None)
            raise
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if isinstance(error, TimeoutError):
                self._charge_unanswered(request, admitted, exchange)
            if not exchange.awaiting_agent and not isinstance(error, ValueError):
                self._note_weather(admitted, exchange, None)
            raise _failure(error, admitted, exchange, self._settings) from error
        self._note_weather(admitted, exchange, upstream.status)
        try:
            _check_answer(upstream, exchange)
            return await self._relay(request, upstream, admitted, exchange)
        finally:
            # also closes the vendor's connection when the answer was not read to its end
            upstream.release()

    def _note_weather(self, admitted: Admitted, exchange: Exchange, status: int | None) -> None:
        if admitted.request.kind is model_apis.Kind.CALL:
            self._accounts.weather.note(exchange.host, admitted.grant.task_id, status)

    async def _authenticate(
        self, request: web.Request, exchange: Exchange, *, forwards: bool
    ) -> tuple[str, Grant]:
        token = (passing.find_proxy_token if forwards else passing.find_token)(request.headers)
        if token is None and forwards:
            raise RefusedError(
                Refusal.BAD_TOKEN, "no token; use the proxy's address from $(AXIOM_TUNNEL_URL)", status=407
            )
        grant = exchange.grant = self._read(token)
        await self._check_standing(request, grant)
        if token is None or token in request.raw_path:
            raise RefusedError(Refusal.BAD_PATH, "the path holds the token; send it in a header")
        return token, grant

    @contextmanager
    def _counted(self, grant: Grant) -> Iterator[None]:
        """Bounds what one attempt holds open, so that it cannot use up what belongs to all."""
        if self._open[grant.attempt_id] >= self._settings.most_open:
            raise RefusedError(
                Refusal.TOO_MANY,
                f"this attempt has {self._settings.most_open} requests open, the most there may be; end some first",
            )
        self._open[grant.attempt_id] += 1
        try:
            yield
        finally:
            self._open[grant.attempt_id] -= 1
            if not self._open[grant.attempt_id]:
                del self._open[grant.attempt_id]

    def _admit_plain(self, request: web.Request, token: str, grant: Grant, exchange: Exchange) -> Admitted:
        _check_upgrade(request)
        target = destinations.request_to(
            request.method, request.raw_path, self._directory.destinations(grant)
        )
        exchange.route = exchange.host = target.route.prefix
        return Admitted(grant, token, target, "", model_apis.Request(model_apis.Kind.FREE))

    async def _tunnel(
        self, request: web.Request, token: str, grant: Grant, exchange: Exchange
    ) -> web.StreamResponse:
        endpoint = destinations.tunnel_to(request.raw_path, self._directory.destinations(grant))
        exchange.route = exchange.host = endpoint.host
        exchange.admitted = time.monotonic()
        tunnel = Tunnel()
        try:
            try:
                async with asyncio.timeout(self._settings.connect_seconds):
                    addresses = await self._resolver.resolve(endpoint.host, endpoint.port)
                    await tunnel.reach(addresses, endpoint.port)
            except (OSError, TimeoutError) as error:
                said = _tunnel_cause(error, self._settings)
                raise RefusedError(
                    Refusal.UPSTREAM_FAILED, f"{endpoint.host} cannot be reached: {said}"
                ) from error
            response = web.StreamResponse(status=200, reason="Connection established")
            response.force_close()
            response.headers.pop("Content-Type", None)
            await response.prepare(request)
            exchange.status = 200
            tunnel.join(request)
            try:
                await self._watch(tunnel, request, token, grant, endpoint, exchange)
                exchange.is_whole = True
            except RefusedError as error:
                # the connection is no longer one of HTTP: its end is the one way left to say so
                exchange.refusal = error.refusal
                self._metrics.count_denial(error.refusal)
        finally:
            self._accounts.note_traffic(grant, endpoint.host, tunnel.down - exchange.down)
            exchange.up, exchange.down = tunnel.up, tunnel.down
            if not exchange.is_whole:
                tunnel.close()
        return response

    async def _watch(
        self,
        tunnel: Tunnel,
        request: web.Request,
        token: str,
        grant: Grant,
        endpoint: destinations.Endpoint,
        exchange: Exchange,
    ) -> None:
        """Until the tunnel ends by itself, or loses its right to be."""
        authority = f"{endpoint.host}:{endpoint.port}"
        while True:
            try:
                async with asyncio.timeout(self._settings.recheck_seconds):
                    await tunnel.finish()
                return
            except TimeoutError:
                pass
            self._accounts.note_traffic(grant, endpoint.host, tunnel.down - exchange.down)
            exchange.down = tunnel.down
            if time.monotonic() - tunnel.moved_at > self._settings.idle_seconds:
                raise RefusedError(Refusal.SLOW_REQUEST, "nothing passed the tunnel for too long")
            self._read(token)
            await self._check_standing(request, grant)
            destinations.tunnel_to(authority, self._directory.destinations(grant))

    def _admit(self, request: web.Request, token: str, grant: Grant, exchange: Exchange) -> Admitted:
        armed = self._directory.routes(grant.agent_class)
        target = routing.resolve(request.method, request.raw_path, [item.route for item in armed])
        exchange.route, exchange.host = target.route.prefix, urlsplit(target.route.upstream).hostname or ""
        _check_upgrade(request)
        parameters = routing.parameters_of(request.raw_path.partition("?")[2])
        asked = model_apis.classify(request.method, target.path, parameters)
        if not target.route.metered:
            asked = model_apis.Request(model_apis.Kind.FREE)
        self._check_budget(grant, asked)
        return Admitted(grant, token, target, _key_of(armed, target), asked)

    def _check_budget(self, grant: Grant, asked: model_apis.Request) -> None:
        kind = asked.kind if asked.is_plain else model_apis.Kind.UNKNOWN
        if message := self._accounts.refusal(grant, kind):
            raise _spent(message, asked.api)

    def _read(self, token: str | None) -> Grant:
        if token is None:
            raise RefusedError(
                Refusal.BAD_TOKEN, "no token; send the value of $(AXIOM_TOKEN) as the vendor's API key"
            )
        try:
            return read(self._keys(), token, self._clock())
        except TokenError as error:
            expired = error.fault is TokenFault.EXPIRED
            raise RefusedError(Refusal.TOKEN_EXPIRED if expired else Refusal.BAD_TOKEN, str(error)) from error

    async def _check_standing(self, request: web.Request, grant: Grant) -> None:
        peer = _peer(request)
        elsewhere = RefusedError(
            Refusal.WRONG_ADDRESS, "this token belongs to another pod than the one that sent it"
        )
        if peer is not None and grant.address and not _same_address(peer, grant.address):
            raise elsewhere
        match await self._directory.standing(grant, peer):
            case Standing.ELSEWHERE:
                raise elsewhere
            case Standing.ENDED:
                raise RefusedError(Refusal.ATTEMPT_ENDED, "the attempt that this token belongs to has ended")
            case Standing.ACTIVE:
                return

    async def _ask(
        self, request: web.Request, admitted: Admitted, exchange: Exchange
    ) -> aiohttp.ClientResponse:
        url = URL(admitted.target.url, encoded=True)
        self._resolver.check_address(url.host or "")
        exchange.admitted = time.monotonic()
        return await self._session.request(
            request.method,
            url,
            headers=passing.to_upstream(request.headers, admitted.target.route, admitted.token, admitted.key),
            data=self._body(request, exchange) if request.body_exists else None,
            allow_redirects=False,
        )

    async def _body(self, request: web.Request, exchange: Exchange) -> AsyncIterator[bytes]:
        """The request's body: what was read ahead, then the rest as it comes."""
        while chunk := self._held_back(exchange) if exchange.ahead else await self._next(request, exchange):
            yield chunk
            exchange.up += len(chunk)

    def _held_back(self, exchange: Exchange) -> bytes:
        chunk = exchange.ahead.popleft()
        self._held -= len(chunk)
        return chunk

    async def _next(self, request: web.Request, exchange: Exchange) -> bytes:
        exchange.awaiting_agent = True
        async with asyncio.timeout(self._settings.idle_seconds):
            chunk = await request.content.readany()
        exchange.awaiting_agent = False
        return chunk

    async def _relay(
        self, request: web.Request, upstream: aiohttp.ClientResponse, admitted: Admitted, exchange: Exchange
    ) -> web.StreamResponse:
        exchange.status = upstream.status
        response = web.StreamResponse(
            status=upstream.status,
            reason=_reason(upstream.reason, admitted.key),
            headers=passing.to_client(upstream.headers, admitted.target.route, admitted.token, admitted.key),
        )
        if not request.content.is_eof() or "Upgrade" in request.headers:
            # what follows is the rest of the question, or of another protocol that was not taken up
            response.force_close()
        await response.prepare(request)
        redactor, meter = Redactor(admitted.key), _meter_of(upstream, admitted)
        ear = _ear_of(upstream, admitted)
        try:
            async for chunk in self._chunks(upstream, request, exchange):
                if meter is not None:
                    # before the agent has it, which may then hang up
                    meter.feed(chunk)
                if ear is not None:
                    ear.feed(chunk)
                await self._pass_on(response, redactor.feed(chunk), exchange)
            await self._pass_on(response, redactor.finish(), exchange)
            if ear is not None and exchange.is_whole:
                await response.write_eof()  # the agent does not wait for what follows
        except (ConnectionError, TimeoutError):
            # the agent went away, or does not read
            exchange.status = _CLIENT_WENT_AWAY
            _break_off(request)
        finally:
            self._charge(request, upstream, admitted, exchange, meter)
        if ear is not None:
            exchange.signals = await asyncio.to_thread(ear.rules)
            self._metrics.count_signals(admitted.grant.agent_class, exchange.signals)
        return response

    def _charge(
        self,
        request: web.Request,
        upstream: aiohttp.ClientResponse,
        admitted: Admitted,
        exchange: Exchange,
        meter: Meter | None,
    ) -> None:
        """Puts what the answer used on the task's account."""
        if meter is not None:
            is_whole = exchange.is_whole
            up, down = _plain_size(request, exchange), exchange.down
            reading = meter.read(is_whole=is_whole, up=up, down=down).within(exchange.bound.output)
            self._put_on_account(admitted.grant, reading)
        elif admitted.request.kind is model_apis.Kind.UNKNOWN and upstream.ok:
            self._accounts.note_unknown(admitted.grant)

    def _charge_unanswered(self, request: web.Request, admitted: Admitted, exchange: Exchange) -> None:
        """The vendor works on a question whose answer nobody waits for any more."""
        if admitted.request.kind is model_apis.Kind.CALL and exchange.up and not exchange.awaiting_agent:
            asked = -(-_plain_size(request, exchange) // BYTES_PER_TOKEN)
            written = exchange.bound.unheard(exchange.waited)
            reading = Reading(Certainty.ESTIMATED, model_apis.Tokens(asked, output=written), "")
            self._put_on_account(admitted.grant, reading)

    def _put_on_account(self, grant: Grant, reading: Reading) -> None:
        tariffs = self._directory.tariffs(grant.agent_class)
        charge = self._accounts.charge(grant, reading, tariffs)
        self._metrics.count_usage(grant.agent_class, reading.certainty, charge)

    async def _chunks(
        self, upstream: aiohttp.ClientResponse, request: web.Request, exchange: Exchange
    ) -> AsyncIterator[bytes]:
        while True:
            try:
                chunk = await upstream.content.readany()
            except (aiohttp.ClientError, OSError, TimeoutError):
                # the status is sent already: an answer that breaks off is the one way left to say so
                exchange.refusal = Refusal.UPSTREAM_FAILED
                self._metrics.count_denial(Refusal.UPSTREAM_FAILED)
                _break_off(request)
                return
            if not chunk:
                exchange.is_whole = True
                return
            yield chunk

    async def _pass_on(self, response: web.StreamResponse, data: bytes, exchange: Exchange) -> None:
        if not data:
            return
        async with asyncio.timeout(self._settings.idle_seconds):
            await response.write(data)
        exchange.down += len(data)

    def _record(self, request: web.Request, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.started
        if exchange.route is not None and exchange.grant is not None:
            route = exchange.grant.agent_class, exchange.route
            self._metrics.count_request(*route, exchange.status, exchange.up, exchange.down, seconds)
        if exchange.admitted is not None:
            self._metrics.admission_seconds.observe(exchange.admitted - exchange.started)
        audit_log.info("%s", json.dumps(_audit(request, exchange, seconds)))


def _audit(request: web.Request, exchange: Exchange, seconds: float) -> dict[str, object]:
    grant = exchange.grant
    path = _LOOKS_LIKE_TOKEN.sub(f"{PREFIX}…", request.raw_path.partition("?")[0])
    return {
        "event": "egress",
        "namespace": grant.namespace if grant else None,
        "task": grant.task if grant else None,
        "attempt": grant.attempt_id if grant else None,
        "agent_class": grant.agent_class if grant else None,
        "peer": _peer(request),
        "host": exchange.host,
        "method": request.method,
        "path": path[:_LONGEST_AUDITED_PATH],
        "status": exchange.status,
        "refusal": exchange.refusal,
        "bytes_up": exchange.up,
        "bytes_down": exchange.down,
        "ms": round(seconds * 1000, 1),
        "signals": list(exchange.signals),
    }


def _answer(error: RefusedError) -> web.Response:
    response = web.json_response(error.body, status=error.status)
    if error.status == 407:
        response.headers["Proxy-Authenticate"] = 'Basic realm="axiom"'
    if error.refusal is Refusal.BUDGET_SPENT:
        response.headers["x-should-retry"] = "false"
    if error.refusal is Refusal.BUDGET_IN_USE:
        response.headers["Retry-After"] = "5"
    # what is left of the request is not read as the next one
    response.force_close()
    return response


def _failure(
    error: Exception, admitted: Admitted, exchange: Exchange, settings: ProxySettings
) -> RefusedError:
    if exchange.awaiting_agent and (
        isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError)
    ):
        return _too_slow(settings)
    return RefusedError(
        Refusal.UPSTREAM_FAILED,
        _without(admitted.key, f"{exchange.host} cannot be reached: {_cause(error, settings)}"),
    )


def _too_slow(settings: ProxySettings) -> RefusedError:
    return RefusedError(
        Refusal.SLOW_REQUEST, f"nothing came for {settings.idle_seconds:g} s in the middle of the request"
    )


def _spent(message: str, api: model_apis.ModelApi | None) -> RefusedError:
    said = (api.no_money(message), api.no_money_status) if api else ()
    return RefusedError(Refusal.BUDGET_SPENT, message, *said)


def _without(key: str, text: str) -> str:
    return text.replace(key, "…") if key else text


def _tunnel_cause(error: Exception, settings: ProxySettings) -> str:
    match error:
        case ForbiddenAddressError():
            return str(error)
        case TimeoutError():
            return f"no connection within {settings.connect_seconds:g} s"
        case socket.gaierror():
            return "its name cannot be resolved"
        case _:
            return getattr(error, "strerror", None) or "the connection was refused"


def _cause(error: Exception, settings: ProxySettings) -> str:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {settings.connect_seconds:g} s"
        case TimeoutError():
            return f"no answer within {settings.idle_seconds:g} s"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientConnectorDNSError(os_error=ForbiddenAddressError() as forbidden):
            return str(forbidden)
        case ForbiddenAddressError() as forbidden:
            return str(forbidden)
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be resolved"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or "the connection was refused"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection without an answer"
        case _:
            return f"it did not answer properly ({type(error).__name__})"


def _meter_of(upstream: aiohttp.ClientResponse, admitted: Admitted) -> Meter | None:
    """None where there is nothing to measure: vendors take nothing for errors."""
    api = admitted.request.api
    if admitted.request.kind is not model_apis.Kind.CALL or api is None or not upstream.ok:
        return None
    return Meter(api, upstream.headers.get("Content-Type", ""))


def _ear_of(upstream: aiohttp.ClientResponse, admitted: Admitted) -> Ear | None:
    """None for a model's answers, which the agent's own driver tells of, and for what is no text."""
    is_others = admitted.request.kind is model_apis.Kind.FREE and admitted.request.api is None
    return Ear() if is_others and is_text(upstream.headers.get("Content-Type", "")) else None


def _plain_size(request: web.Request, exchange: Exchange) -> int:
    """Bytes of the question without compression; where it is compressed, as if it had been to a quarter."""
    return exchange.up * (4 if passing.is_compressed(request.headers) else 1)


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def _check_upgrade(request: web.Request) -> None:
    if request.headers.get("Upgrade", "").strip().lower() in {"websocket", "tcp"}:
        raise RefusedError(
            Refusal.UPGRADE_UNSUPPORTED, "connections are not upgraded; use plain HTTP streaming"
        )


def _check_answer(upstream: aiohttp.ClientResponse, exchange: Exchange) -> None:
    """What follows a 101 is no HTTP, and what is not decoded no text: nobody would search it for the key, or count it."""
    if upstream.status < 200:
        wants = f"another protocol ({upstream.status})"
    elif passing.encoding_of(upstream.headers) not in passing.DECODED or passing.is_framed_oddly(
        upstream.headers
    ):
        wants = "an encoding of its answer that was not asked for, and is not read here"
    else:
        return
    upstream.close()
    raise RefusedError(Refusal.UPSTREAM_FAILED, f"{exchange.host} wants {wants}")


def _key_of(armed: Sequence[ArmedRoute], target: routing.Target) -> str:
    for item in armed:
        if item.route == target.route and item.key is not None:
            return item.key
    raise RefusedError(
        Refusal.NO_CREDENTIAL,
        f"the credential of route {target.route.prefix} cannot be read; its Secret or key is missing",
    )


def _peer(request: web.Request) -> str | None:
    name = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else None


def _same_address(one: str, other: str) -> bool:
    try:
        return _plain(one) == _plain(other)
    except ValueError:
        return False


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    parsed = ipaddress.ip_address(address)
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed


def _reason(reason: str | None, key: str) -> str | None:
    return None if reason is None or key in reason else reason
