"""The HTTP server of the scripted model: routes, keys, the log, and the clock. What is said is `script`'s affair."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from . import openai
from .script import HttpError, Script, Wait

MAX_REQUEST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class RequestRecord:
    """One request, as it stands in the log."""

    method: str
    path: str
    status: int
    key_digest: str | None
    """SHA-256 of the key that was presented, in hexadecimal digits."""
    items: int | None = None
    """Number of input items, where the request held a conversation."""
    conversation: str | None = None
    turn: int | None = None
    answered: int | None = None


class ScriptedModel:
    """A model that plays a script, listening for as long as the context is open.

    Attributes:
        requests: What was asked so far, in order.

    An HTTP error of the script leaves no trace in a conversation, so how often one was played is the only thing kept
    here, by conversation; after a restart it is played anew.
    """

    def __init__(
        self,
        script: Script,
        *,
        expected_key: str | None = None,
        log: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.requests: list[RequestRecord] = []
        self._script = script
        self._expected_key = expected_key
        self._log = log
        self._host = host
        self._port = port
        self._sleep = sleep
        self._errors_played: Counter[tuple[str, int, int]] = Counter()
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.router.add_post("/v1/responses", self._openai_responses)
        application.router.add_get("/v1/models", self._openai_models)
        application.router.add_route("*", "/{path:.*}", self._unknown)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The server's address, without a path."""
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _openai_responses(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not self._may(request):
            return self._refuse(request, 401, "Incorrect API key provided.")
        try:
            asked = openai.read_request(body, request.headers.get("session-id", ""))
            answer = self._script.answer(asked.position)
            error = self._due_error(answer.errors, asked)
            if error is not None:
                return self._refuse(request, error.status, error.message, error.retry_after_seconds, asked)
            events = openai.events(answer, asked)
        except openai.UnplayableError as unplayable:
            return self._refuse(request, 400, f"The script cannot answer this: {unplayable}.")
        self._record(request, 200, asked)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        try:
            await response.prepare(request)
            for event in events:
                if isinstance(event, Wait):
                    await self._sleep(event.wait)
                else:
                    await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            await response.write_eof()
        except ConnectionResetError:
            pass  # the agent hung up, as agents may: it was stopped, or frozen for too long
        return response

    async def _openai_models(self, request: web.Request) -> web.StreamResponse:
        if not self._may(request):
            return self._refuse(request, 401, "Incorrect API key provided.")
        self._record(request, 200)
        return web.json_response(openai.models_body())

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return self._refuse(request, 404, f"Nothing is played at {request.method} {request.path}.")

    def _due_error(self, errors: tuple[HttpError, ...], asked: openai.Request) -> HttpError | None:
        place = (asked.conversation, asked.position.turn, asked.position.answered)
        if asked.running is not None or self._errors_played[place] >= sum(error.times for error in errors):
            return None
        played = self._errors_played[place]
        self._errors_played[place] += 1
        return [error for error in errors for _ in range(error.times)][played]

    def _may(self, request: web.Request) -> bool:
        return self._expected_key is None or _key(request) == self._expected_key

    def _refuse(
        self,
        request: web.Request,
        status: int,
        message: str,
        retry_after: int | None = None,
        asked: openai.Request | None = None,
    ) -> web.Response:
        self._record(request, status, asked)
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return web.json_response(openai.error_body(status, message), status=status, headers=headers)

    def _record(self, request: web.Request, status: int, asked: openai.Request | None = None) -> None:
        key = _key(request)
        record = RequestRecord(
            method=request.method,
            path=request.path,
            status=status,
            key_digest=None if key is None else hashlib.sha256(key.encode()).hexdigest(),
        )
        if asked is not None:
            record = replace(
                record,
                items=asked.items,
                conversation=asked.conversation,
                turn=asked.position.turn,
                answered=asked.position.answered,
            )
        self.requests.append(record)
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(record)) + "\n")


def _key(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" and key else None
