"""The HTTP channel: what the control plane may ask a sandbox. Mutual TLS in a pod, a Unix socket on one machine."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

from aiohttp import web
from pydantic import ValidationError

from axiom_sandbox.ledger.errors import SegmentsLeftError
from axiom_sandbox.protocol.channel import LEFT_HEADER, CommandEnvelope, StoredSegments
from axiom_sandbox.protocol.errands import MAX_REPLY, REPLIES
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox
from axiom_sandbox.supervising.settings import SandboxSettings, Tls

_LONGEST_POLL = 60.0
_LONGEST_TROUBLE = 1024
_DIGEST_HEADER = "X-Axiom-Digest"


class Channel:
    """The routes over one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=1024 * 1024, middlewares=[_plain_errors])
        app.add_routes(
            [
                web.get("/v1/healthz", self._healthz),
                web.get("/v1/state", self._state),
                web.get("/v1/events", self._events),
                web.get(r"/v1/segments/{number:\d+}", self._segment),
                web.post(r"/v1/segments/{number:\d+}/sealed", self._segment_sealed),
                web.put(r"/v1/segments/{number:\d+}", self._segment_returned),
                web.post("/v1/segments/stored", self._segments_stored),
                web.get("/v1/blobs/{digest:[0-9a-f]{64}}", self._blob),
                web.post("/v1/blobs/{digest:[0-9a-f]{64}}/sealed", self._blob_sealed),
                web.put("/v1/workspace", self._workspace),
                web.put("/v1/changes", self._changes),
                web.put("/v1/hidden/{criterion}", self._hidden),
                web.put("/v1/conduct", self._conduct),
                web.put("/v1/checkpoint/{digest:[0-9a-f]{64}}", self._checkpoint),
                web.put("/v1/trouble/checkpoint", self._checkpoint_trouble),
                web.post("/v1/errands/{id}/take", self._take_errand),
                web.put("/v1/errands/{id}", self._reply),
                web.put("/v1/trouble", self._trouble),
                web.put("/v1/trouble/storage", self._storage_trouble),
                web.post("/v1/commands", self._command),
            ]
        )
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _state(self, request: web.Request) -> web.Response:
        since = _whole(request, "since", -1)
        state = await self._sandbox.board.wait(since, min(_whole(request, "timeout", 30), _LONGEST_POLL))
        return web.Response(text=state.model_dump_json(), content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        start, elsewhere = max(_whole(request, "from", 1), 1), self._sandbox.ledger.elsewhere
        if start <= elsewhere.records:
            raise SegmentsLeftError(elsewhere.records)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        try:
            async for line in self._sandbox.ledger.lines(start):
                await response.write(line)
        except SegmentsLeftError:
            pass  # whoever reads was slower than the hot window, and asks again
        return response

    async def _segment(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        if not 1 <= number <= self._sandbox.board.state.ledger.segments:
            raise web.HTTPNotFound(text=f"segment {number} has not been cut")
        return web.FileResponse(self._sandbox.ledger.segment(number))

    async def _segment_sealed(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        if not 1 <= number <= self._sandbox.board.state.ledger.segments:
            raise web.HTTPNotFound(text=f"segment {number} has not been cut")
        await asyncio.to_thread(self._sandbox.ledger.mark_sealed, number)
        self._sandbox.board.update()
        return web.Response(status=204)

    async def _segment_returned(self, request: web.Request) -> web.Response:
        await self._sandbox.receive_segment(int(request.match_info["number"]), _chunks(request))
        return web.Response(status=204)

    async def _segments_stored(self, request: web.Request) -> web.Response:
        try:
            stored = StoredSegments.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        await self._sandbox.let_go_of_segments(stored)
        return web.Response(status=204)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        path = self._sandbox.blob_path(request.match_info["digest"])
        if not path.is_file():
            raise web.HTTPNotFound(text="no such blob")
        return web.FileResponse(path)

    async def _blob_sealed(self, request: web.Request) -> web.Response:
        digest = request.match_info["digest"]
        if not self._sandbox.blob_path(digest).is_file():
            raise web.HTTPNotFound(text="no such blob")
        self._sandbox.board.seal_blob(digest)
        return web.Response(status=204)

    async def _workspace(self, request: web.Request) -> web.Response:
        await self._sandbox.receive_workspace(_chunks(request), request.headers.get(_DIGEST_HEADER, ""))
        return web.Response(status=204)

    async def _changes(self, request: web.Request) -> web.Response:
        await self._sandbox.receive_changes(_chunks(request), request.headers.get(_DIGEST_HEADER, ""))
        return web.Response(status=204)

    async def _hidden(self, request: web.Request) -> web.Response:
        criterion, digest = request.match_info["criterion"], request.headers.get(_DIGEST_HEADER, "")
        await self._sandbox.receive_hidden(criterion, _chunks(request), digest)
        return web.Response(status=204)

    async def _conduct(self, request: web.Request) -> web.Response:
        await self._sandbox.receive_conduct(_chunks(request), request.headers.get(_DIGEST_HEADER, ""))
        return web.Response(status=204)

    async def _checkpoint(self, request: web.Request) -> web.Response:
        await self._sandbox.receive_part(_chunks(request), request.match_info["digest"])
        return web.Response(status=204)

    async def _checkpoint_trouble(self, request: web.Request) -> web.Response:
        self._sandbox.give_up_checkpoint((await request.text())[:_LONGEST_TROUBLE])
        return web.Response(status=204)

    async def _take_errand(self, request: web.Request) -> web.Response:
        errand = self._sandbox.take_errand(request.match_info["id"])
        if errand is None:
            return web.Response(status=204)
        return web.Response(text=errand.model_dump_json(), content_type="application/json")

    async def _reply(self, request: web.Request) -> web.Response:
        body = bytearray()
        async for chunk in _chunks(request):
            body += chunk
            if len(body) > MAX_REPLY:
                raise web.HTTPRequestEntityTooLarge(max_size=MAX_REPLY, actual_size=len(body))
        try:
            reply = REPLIES.validate_json(bytes(body))
        except ValidationError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        self._sandbox.receive_reply(request.match_info["id"], reply)
        return web.Response(status=204)

    async def _trouble(self, request: web.Request) -> web.Response:
        self._sandbox.note_trouble((await request.text())[:_LONGEST_TROUBLE])
        return web.Response(status=204)

    async def _storage_trouble(self, request: web.Request) -> web.Response:
        self._sandbox.note_storage_trouble((await request.text())[:_LONGEST_TROUBLE])
        return web.Response(status=204)

    async def _command(self, request: web.Request) -> web.Response:
        try:
            envelope = CommandEnvelope.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        await self._sandbox.take_command(envelope)
        return web.Response(status=204)


async def serve(sandbox: Sandbox, settings: SandboxSettings) -> web.AppRunner:
    """Opens the channel's listeners. The caller cleans the runner up."""
    runner = web.AppRunner(
        Channel(sandbox).application(), access_log=None, handler_cancellation=True, shutdown_timeout=1
    )
    await runner.setup()
    settings.channel_socket.unlink(missing_ok=True)
    await web.UnixSite(runner, str(settings.channel_socket)).start()
    settings.channel_socket.chmod(0o600)
    if settings.listen_host:
        assert settings.tls is not None, "the channel is not served over TCP without mutual TLS"
        context = server_context(settings.tls)
        await web.TCPSite(runner, settings.listen_host, settings.listen_port, ssl_context=context).start()
    return runner


def server_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.3 with our key; a client without a certificate of the control plane's authority is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(tls.client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@web.middleware
async def _plain_errors(request: web.Request, handler: object) -> web.StreamResponse:
    assert callable(handler)
    try:
        response = await handler(request)
    except RefusedError as error:
        return web.Response(status=409, text=f"{error}\n")
    except SegmentsLeftError as error:
        return web.Response(status=410, text=f"{error}\n", headers={LEFT_HEADER: str(error.records)})
    assert isinstance(response, web.StreamResponse)
    return response


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_chunked(256 * 1024):
        yield chunk


def _whole(request: web.Request, name: str, default: int) -> int:
    try:
        return int(request.query.get(name, default))
    except ValueError:
        raise web.HTTPBadRequest(text=f"{name} must be a whole number") from None
