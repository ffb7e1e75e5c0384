"""The HTTP server of the scripted model: routes, keys, the log, and the clock. What is said is `script`'s affair.

| vendor | answers | also |
| --- | --- | --- |
| OpenAI | `POST /v1/responses` | `GET /v1/models` |
| Anthropic | `POST /v1/messages` | `POST /v1/messages/count_tokens` |
| Google | `POST /v1beta/models/MODEL:streamGenerateContent`, `:generateContent` | `:countTokens` |
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from aiohttp import web

from . import anthropic, google, openai
from .conversations import Item, Request, UnplayableError
from .script import Break, Close, HttpError, Script, Wait

MAX_REQUEST_BYTES = 64 * 2**20
_BODY = web.RequestKey("body", bytes)
HANG_POLL_SECONDS = 0.2
"""How often it is seen whether an agent that is kept waiting has hung up."""


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
    holds: bool = False
    """Whether the text that is watched for stood in it."""


class ScriptedModel:
    """A model that plays a script, listening for as long as the context is open.

    Attributes:
        requests: What was asked so far, in order.

    What fails of the script (errors, broken answers) leaves no trace in a conversation, so how often a point of one was
    asked after is the only thing kept here, by conversation; after a restart it is played anew.
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
        asides: bool = True,
        watched_for: str = "",
    ) -> None:
        """Without `asides` a request that offers no tools is part of the story: a judge's question is one.

        `watched_for`: the log tells which requests hold this text.
        """
        self._watched_for = watched_for.encode()
        self._asides = asides
        self.requests: list[RequestRecord] = []
        self._script = script
        self._expected_key = expected_key
        self._log = log
        self._host = host
        self._port = port
        self._sleep = sleep
        self._attempts: Counter[tuple[str, int, int]] = Counter()
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.router.add_post("/v1/responses", self._openai_responses)
        application.router.add_get("/v1/models", self._openai_models)
        application.router.add_post("/v1/messages", self._anthropic_messages)
        application.router.add_post("/v1/messages/count_tokens", self._anthropic_count)
        application.router.add_post("/v1beta/models/{model}:{method}", self._google_content)
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
        session = request.headers.get("session-id", "")
        return await self._play(request, openai, lambda body: openai.read_request(body, session))

    async def _openai_models(self, request: web.Request) -> web.StreamResponse:
        if not self._may(request):
            return self._refuse(request, openai, 401, "Incorrect API key provided.")
        self._record(request, 200)
        return web.json_response(openai.models_body())

    async def _anthropic_messages(self, request: web.Request) -> web.StreamResponse:
        session = request.headers.get("x-claude-code-session-id", "")
        return await self._play(request, anthropic, lambda body: anthropic.read_request(body, session))

    async def _anthropic_count(self, request: web.Request) -> web.StreamResponse:
        return await self._count(request, anthropic, anthropic.read_request)

    async def _google_content(self, request: web.Request) -> web.StreamResponse:
        model, method = request.match_info["model"], request.match_info["method"]
        streamed = method == "streamGenerateContent"

        def read(body: bytes) -> Request:
            return google.read_request(body, model, streamed=streamed)

        if method == "countTokens":
            return await self._count(request, google, read)
        if not streamed and method != "generateContent":
            return await self._unknown(request)
        return await self._play(request, google, read)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return self._refuse(request, openai, 404, f"Nothing is played at {request.method} {request.path}.")

    async def _play(
        self, request: web.Request, vendor: ModuleType, read: Callable[[bytes], Request]
    ) -> web.StreamResponse:
        body = request[_BODY] = await request.read()
        if not self._may(request):
            return self._refuse(request, vendor, 401, "Incorrect API key provided.")
        try:
            asked = self._counted(read(body))
            if not self._asides:
                asked = replace(asked, aside=False)
            answer = self._script.answer(asked.position, body).attempt(self._attempt(asked))
            if isinstance(answer, HttpError):
                return self._refuse(
                    request, vendor, answer.status, answer.message, answer.retry_after_seconds, asked
                )
            if not asked.streamed:
                whole = vendor.message(answer, asked)
                self._record(request, 200, asked)
                return web.json_response(whole)
            events = vendor.events(answer, asked)
        except UnplayableError as unplayable:
            return self._refuse(request, vendor, 400, f"The script cannot answer this: {unplayable}.")
        self._record(request, 200, asked)
        return await self._stream(request, events, vendor.frame)

    async def _stream(
        self, request: web.Request, events: Iterable[Any], frame: Callable[[Any], bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        try:
            await response.prepare(request)
            for event in events:
                if isinstance(event, Wait):
                    await self._sleep(event.wait)
                elif isinstance(event, Break):
                    await self._break_off(request, event)
                    return response
                else:
                    await response.write(frame(event))
            await response.write_eof()
        except ConnectionResetError:
            pass  # the agent hung up, as agents may: it was stopped, or frozen for too long
        return response

    async def _break_off(self, request: web.Request, how: Break) -> None:
        transport = request.transport
        while not isinstance(how, Close) and transport is not None and not transport.is_closing():
            await asyncio.sleep(HANG_POLL_SECONDS)
        if transport is not None:
            transport.abort()

    async def _count(
        self, request: web.Request, vendor: ModuleType, read: Callable[[bytes], Request]
    ) -> web.StreamResponse:
        body = await request.read()
        if not self._may(request):
            return self._refuse(request, vendor, 401, "Incorrect API key provided.")
        try:
            counted: Item = vendor.count_body(self._counted(read(body)))
        except UnplayableError as unplayable:
            return self._refuse(request, vendor, 400, f"The script cannot answer this: {unplayable}.")
        self._record(request, 200)
        return web.json_response(counted)

    def _counted(self, asked: Request) -> Request:
        return replace(asked, tokens_per_item=self._script.tokens_per_item)

    def _attempt(self, asked: Request) -> int:
        """How often this point of the conversation was asked after before; an aside comes after all that fails."""
        if asked.aside:
            return sys.maxsize
        place = (asked.conversation, asked.position.turn, asked.position.answered)
        self._attempts[place] += 1
        return self._attempts[place] - 1

    def _may(self, request: web.Request) -> bool:
        return self._expected_key is None or _key(request) == self._expected_key

    def _refuse(
        self,
        request: web.Request,
        vendor: ModuleType,
        status: int,
        message: str,
        retry_after: int | None = None,
        asked: Request | None = None,
    ) -> web.Response:
        self._record(request, status, asked)
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        body = vendor.error_body(status, message, retry_after)
        return web.json_response(body, status=status, headers=headers)

    def _record(self, request: web.Request, status: int, asked: Request | None = None) -> None:
        key = _key(request)
        record = RequestRecord(
            method=request.method,
            path=request.path,
            status=status,
            key_digest=None if key is None else hashlib.sha256(key.encode()).hexdigest(),
            holds=bool(self._watched_for) and self._watched_for in request.get(_BODY, b""),
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
    for header in ("x-api-key", "x-goog-api-key"):
        if request.headers.get(header):
            return request.headers[header]
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" and key else None
