"""An HTTP path to an S3 server on which each request meets what was written down for its object."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from io import BytesIO

import aiohttp
from aiohttp import web


class Weather(StrEnum):
    """What happens to one request."""

    FAIR = "Fair"
    ERROR = "Error"
    """500, and the server never hears of it."""
    BUSY = "Busy"
    """503 SlowDown, likewise."""
    CONFLICT = "Conflict"
    """409 ConditionalRequestConflict, likewise; to a writer."""
    TAKEN = "Taken"
    """412 to a writer, whether or not the key is taken."""
    LOST = "Lost"
    """It is done, and the connection ends before the answer."""
    REFUSED = "Refused"
    """The connection ends, and the server never hears of it."""
    SILENT = "Silent"
    """It is done, and nobody answers."""
    DOUBLED = "Doubled"
    """It is delivered twice, and the second answer is given."""
    LATE = "Late"
    """It is answered, and delivered once more afterwards."""
    SLOW = "Slow"
    """It takes a while."""


_ANSWERS = {
    Weather.ERROR: (500, "InternalError"),
    Weather.BUSY: (503, "SlowDown"),
    Weather.CONFLICT: (409, "ConditionalRequestConflict"),
    Weather.TAKEN: (412, "PreconditionFailed"),
}
_CONDITIONAL = (Weather.CONFLICT, Weather.TAKEN)
"""What a server says to writers alone."""
_SLOW_SECONDS = 0.05
_SILENT_SECONDS = 30
_OWN_HEADERS = ("Transfer-Encoding", "Content-Encoding", "Connection")


class UnreliablePath:
    """The path. `endpoint` is where clients go."""

    def __init__(self, target: str, session: aiohttp.ClientSession, created: Counter[str]) -> None:
        self._target, self._session, self._created = target, session, created
        self._written: dict[str, deque[Weather]] = {}
        self._belated = set[asyncio.Task[tuple[int, bytes, dict[str, str]]]]()
        self.endpoint = ""
        self.met: Counter[Weather] = Counter()

    def write_down(self, path: str, weathers: Sequence[Weather]) -> None:
        """What requests for `/bucket/key` meet, one after the other; later ones fair weather."""
        self._written[path] = deque(weathers)

    async def settle(self) -> None:
        """Until everything that comes late has come."""
        await asyncio.gather(*self._belated, return_exceptions=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        written = self._written.get(request.path)
        weather = written.popleft() if written else Weather.FAIR
        if weather in _CONDITIONAL and "If-None-Match" not in request.headers:
            weather = Weather.FAIR
        self.met[weather] += 1
        body = await request.read()
        if weather in _ANSWERS:
            status, code = _ANSWERS[weather]
            text = (
                "" if request.method == "HEAD" else f"<Error><Code>{code}</Code><Message>m</Message></Error>"
            )
            return web.Response(status=status, text=text, content_type="application/xml")
        if weather is Weather.SLOW:
            await asyncio.sleep(_SLOW_SECONDS)
        try:
            if weather is Weather.DOUBLED:
                await self._forward(request, body)
            if weather is not Weather.REFUSED:
                status, content, headers = await self._forward(request, body)
        except aiohttp.ClientError:
            weather = Weather.LOST  # a server that refuses need not read to the end what it refuses
        if weather is Weather.SILENT:
            await asyncio.sleep(_SILENT_SECONDS)
        if weather in (Weather.LOST, Weather.REFUSED, Weather.SILENT):
            if request.transport:
                request.transport.abort()
            return web.Response()
        if weather is Weather.LATE:
            task = asyncio.create_task(self._forward(request, body))
            self._belated.add(task)
            task.add_done_callback(self._belated.discard)
        return web.Response(status=status, body=content, headers=headers)

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        url = f"{self._target}{request.raw_path}"
        async with self._session.request(
            request.method,
            url,
            data=BytesIO(body) if body else None,
            headers=request.headers,
            skip_auto_headers=("Content-Type",),
        ) as answer:
            content = await answer.read()
            if answer.status == 200 and (request.method == "PUT" or "uploadId" in request.query):
                is_part = "partNumber" in request.query
                self._created[request.path] += not is_part
            headers = {name: value for name, value in answer.headers.items() if name not in _OWN_HEADERS}
            if request.method != "HEAD":
                headers.pop("Content-Length", None)
            return answer.status, content, headers


@asynccontextmanager
async def unreliable_paths(
    target: str, count: int
) -> AsyncIterator[tuple[list[UnreliablePath], Counter[str]]]:
    """So many paths to one server, and how often the server created each object, whoever asked for it."""
    created: Counter[str] = Counter()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        paths, runners = [], []
        for _ in range(count):
            path = UnreliablePath(target, session, created)
            app = web.Application(client_max_size=2**30)
            app.router.add_route("*", "/{path:.*}", path.handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            path.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
            paths.append(path)
            runners.append(runner)
        try:
            yield paths, created
        finally:
            for runner in runners:
                await runner.cleanup()
