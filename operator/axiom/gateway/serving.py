"""What the gateway shows to people: a task's events, its diff, its recording and its screenshots.

`GET /v1/tasks/{namespace}/{name}/events?from=SEQ|ADDRESS&slot=agent&attempt=N`: one ledger line each (application/x-ndjson),
or Server-Sent Events with `Accept: text/event-stream`, whose ids are addresses (Last-Event-ID goes on after one);
with `follow=false` it is one ledger as far as it is now. `GET …/diff?round=N`, `GET …/recording`,
`GET …/screenshot?digest=SHA256` (as events of the kind `screenshot` name them), `GET …/checkpoints?from=N&to=M&as=table|patch`:
what the workspace differs in, as one JSON object for each path, or as a patch.
`POST …/interventions` takes a wish (`planning.intervening`) as JSON, from whoever may `create` the AgentTask's subresource
`interventions`, and a header Idempotency-Key, with which it is harmless to send it again. Every request carries a Kubernetes token of somebody who may get the AgentTask.
Secrets are masked; with `original=true`, for whoever may get its subresource `original`, they are not. Pictures that tools wrote
cannot be masked, and are served with `original=true` only.
"""

from __future__ import annotations

import asyncio
import logging
import re
import tempfile
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web
from pydantic import ValidationError

from axiom.api.agenttask import AgentTask
from axiom.channel import ChannelError, CommandRefusedError
from axiom.cluster.errors import ApiError
from axiom.evidence.checkpoints import Form, NoCheckpointError, manifests_of, write_difference
from axiom.evidence.masking import LineMasker, mask_text, scanner_of
from axiom.gateway.authenticating import ForbiddenError, Gatekeeper, UnauthenticatedError
from axiom.gateway.metrics import Metrics
from axiom.gateway.pacing import Pace, TooOftenError
from axiom.gateway.streaming import BadPositionError, Line, Stream, World, parse_position
from axiom.planning.intervening import WISHES, CannotInterveneError, command_of
from axiom.planning.observed import identity_in
from axiom.storage.blobs import parse_reference
from axiom.storage.encrypted import seen_by
from axiom.storage.keys import blob_key
from axiom.storage.store import MissingError, ObjectStore, StorageError
from axiom_sandbox.protocol.channel import CommandEnvelope
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.pictures import SCREENSHOT, UNMASKED
from axiom_sandbox.terminal.masking import mask_cast
from axiom_sandbox.terminal.seeking import unpacking

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SSE = "text/event-stream"
_NDJSON = "application/x-ndjson"
_PIECE = 2**18
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Pages:
    """The routes."""

    def __init__(self, world: World, store: ObjectStore, gatekeeper: Gatekeeper, metrics: Metrics) -> None:
        self._world, self._store, self._gatekeeper, self._metrics = world, store, gatekeeper, metrics
        self._pace = Pace()
        self._comparing = asyncio.Semaphore(1)

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._counted, _plain_errors])
        task = "/v1/tasks/{namespace}/{name}"
        app.add_routes(
            [
                web.get(f"{task}/events", self._events),
                web.get(f"{task}/diff", self._diff),
                web.get(f"{task}/recording", self._recording),
                web.get(f"{task}/screenshot", self._screenshot),
                web.get(f"{task}/checkpoints", self._checkpoints),
                web.post(f"{task}/interventions", self._intervene),
            ]
        )
        return app

    @web.middleware
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            self._count(request, error.status)
            raise
        self._count(request, response.status)
        return response

    def _count(self, request: web.Request, status: int) -> None:
        resource = request.match_info.route.resource
        page = resource.canonical.rpartition("/")[2] if resource is not None else "none"
        self._metrics.requests.labels(page, f"{status // 100}xx").inc()

    async def _task(self, request: web.Request) -> AgentTask:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        authorization = request.headers.get("Authorization", "")
        await self._gatekeeper.check(authorization, namespace, name)
        if _is_original(request):
            await self._gatekeeper.check(authorization, namespace, name, "original")
        return self._known(namespace, name)

    def _known(self, namespace: str, name: str) -> AgentTask:
        task = self._world.task(namespace, name)
        if task is None:
            raise web.HTTPNotFound(text=f"there is no AgentTask {name!r} in namespace {namespace!r}\n")
        return task

    async def _events(self, request: web.Request) -> web.StreamResponse:
        task = await self._task(request)
        query = request.query
        position = parse_position(
            task.uid,
            query.get("from", "1"),
            request.headers.get("Last-Event-ID", ""),
            query.get("slot", "agent"),
            query.get("attempt", "1"),
        )
        as_sse = _SSE in request.headers.get("Accept", "")
        response = web.StreamResponse(
            headers={"Content-Type": _SSE if as_sse else _NDJSON, "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        write = sse_frame if as_sse else ndjson_frame
        with self._metrics.streams.track_inprogress():
            follow = query.get("follow", "true") != "false"
            lines = Stream(self._world, self._store, task, position).lines(follow=follow)
            async for line in lines if _is_original(request) else _masked(lines):
                await response.write(write(line))
        return response

    async def _intervene(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        authorization = request.headers.get("Authorization", "")
        by = await self._gatekeeper.check(authorization, namespace, name, "interventions", "create")
        task = self._known(namespace, name)
        self._pace.take(by, task.uid)
        try:
            wish = WISHES.validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=f"not an intervention: {error}\n") from error
        key = request.headers.get("Idempotency-Key") or uuid.uuid4().hex
        channel = self._world.channel_of(identity_in(task, Role.AGENT, task.status.attempt))
        if channel is None:
            raise CannotInterveneError(f"no agent is at work: the task is {task.status.state.value}")
        async with channel:
            command, done = command_of(wish, await channel.state(timeout=0), by)
            await channel.send(CommandEnvelope(key=f"person/{by}/{key}", command=command))
        log.info("%s/%s: %s by %s", namespace, name, wish.action, by)
        return web.Response(text=f"{done}\n")

    async def _diff(self, request: web.Request) -> web.StreamResponse:
        task = await self._task(request)
        wanted = request.query.get("round", "")
        rounds = [record for record in task.status.rounds if not wanted or str(record.number) == wanted]
        if not rounds or not rounds[-1].diff:
            raise web.HTTPNotFound(text="no diff has been captured yet, or not of this round\n")
        return await self._object(request, rounds[-1].diff, "text/x-diff", _show_patch)

    async def _recording(self, request: web.Request) -> web.StreamResponse:
        task = await self._task(request)
        if not task.status.recording:
            raise web.HTTPNotFound(text="the recording is stored when the task ends\n")
        return await self._object(request, task.status.recording, "application/x-asciicast", _show_recording)

    async def _screenshot(self, request: web.Request) -> web.StreamResponse:
        task = await self._task(request)
        digest = request.query.get("digest", "")
        if not _DIGEST.fullmatch(digest):
            raise web.HTTPBadRequest(text=f"digest={digest[:80]!r}: write the 64 digits that the event has\n")
        name = await self._name_of_picture(task, digest)
        if name is None:
            raise web.HTTPNotFound(text="this task has no such picture, or none any more\n")
        if name.startswith(UNMASKED) and not _is_original(request):
            raise web.HTTPForbidden(
                text="secrets in a picture that a tool wrote cannot be masked: it is served with original=true only\n"
            )
        kind = "application/octet-stream" if name.startswith(UNMASKED) else "image/webp"
        return await self._object(request, blob_key(digest), kind, _show_as_it_is)

    async def _checkpoints(self, request: web.Request) -> web.StreamResponse:
        task, query = await self._task(request), request.query
        try:
            numbers = int(query.get("from", "")), int(query.get("to", ""))
            form = Form(query.get("as", Form.TABLE))
        except ValueError as error:
            raise web.HTTPBadRequest(
                text="write from=N&to=M, the numbers of two checkpoints, and as=table or as=patch\n"
            ) from error
        store = seen_by(self._store, task.namespace)
        prefixes = [
            identity_in(task, Role.AGENT, attempt).prefix for attempt in range(1, task.status.attempt + 1)
        ]
        with tempfile.TemporaryDirectory(prefix="axiom-gateway-") as folder:
            shown = Path(folder) / "shown"
            try:
                one, other = await manifests_of(store, prefixes, numbers)
                async with self._comparing:
                    await write_difference(store, one, other, form, shown, masks=not _is_original(request))
            except NoCheckpointError as error:
                raise web.HTTPNotFound(text=f"{error}\n") from error
            return await _sent(request, shown, "text/x-diff" if form is Form.PATCH else _NDJSON)

    async def _name_of_picture(self, task: AgentTask, digest: str) -> str | None:
        """What the blob is, if it is a picture of this task: by the reference that its sandbox's carrier stored."""
        agents = [
            identity_in(task, Role.AGENT, attempt).prefix for attempt in range(1, task.status.attempt + 1)
        ]
        verifiers = [
            one.verifier_ledger.path.removesuffix("/ledger/")
            for one in task.status.rounds
            if one.verifier_ledger
        ]
        for prefix in (*agents, *verifiers):
            async for key in seen_by(self._store, task.namespace).list(f"{prefix}/blobs/{digest}."):
                reference = parse_reference(key)
                if reference and reference[2].startswith(SCREENSHOT):
                    return reference[2]
        return None

    async def _object(
        self, request: web.Request, key: str, content_type: str, show: Callable[[Path, Path, bool], None]
    ) -> web.StreamResponse:
        with tempfile.TemporaryDirectory(prefix="axiom-gateway-") as folder:
            file, shown = Path(folder) / "object", Path(folder) / "shown"
            await seen_by(self._store, request.match_info["namespace"]).fetch(key, file)
            await asyncio.to_thread(show, file, shown, _is_original(request))
            return await _sent(request, shown, content_type)


async def _sent(request: web.Request, file: Path, content_type: str) -> web.StreamResponse:
    """No FileResponse: it opens its file once more when its handler, and so the folder, is gone."""
    headers = {"Content-Type": content_type, "X-Content-Type-Options": "nosniff"}
    response = web.StreamResponse(headers=headers)
    response.content_length = file.stat().st_size
    await response.prepare(request)
    with file.open("rb") as content:
        while piece := await asyncio.to_thread(content.read, _PIECE):
            await response.write(piece)
    return response


async def _masked(lines: AsyncIterator[Line]) -> AsyncIterator[Line]:
    """Without secrets, as soon as they are settled."""
    masker, addresses = LineMasker(scanner_of()), deque[str]()
    async for line in lines:
        addresses.append(line.address)
        for data in masker.feed(line.data):
            yield Line(addresses.popleft(), data)
    for data in masker.finish():
        yield Line(addresses.popleft(), data)


def _is_original(request: web.Request) -> bool:
    return request.query.get("original", "false") == "true"


def _show_patch(source: Path, target: Path, original: bool) -> None:
    patch = source.read_bytes()
    target.write_bytes(patch if original else mask_text(patch))


def _show_as_it_is(source: Path, target: Path, original: bool) -> None:
    source.replace(target)


def _show_recording(source: Path, target: Path, original: bool) -> None:
    """Unpacked, as players want it."""
    with source.open("rb") as file, target.open("wb") as out:
        lines = unpacking(file)
        out.writelines(lines if original else mask_cast(lines, scanner_of()))


def ndjson_frame(line: Line) -> bytes:
    """The ledger's line."""
    return line.data + b"\n"


def sse_frame(line: Line) -> bytes:
    """The ledger's line with its address; JSON holds no line ends, so it is one `data` field."""
    return b"id: %b\ndata: %b\n\n" % (line.address.encode(), line.data)


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except UnauthenticatedError as error:
        return web.Response(status=401, text=f"{error}\n", headers={"WWW-Authenticate": "Bearer"})
    except ForbiddenError as error:
        return web.Response(status=403, text=f"{error}\n")
    except BadPositionError as error:
        return web.Response(status=400, text=f"{error}\n")
    except (CannotInterveneError, CommandRefusedError) as error:
        return web.Response(status=409, text=f"{error}\n")
    except TooOftenError as error:
        return web.Response(status=429, text=f"{error}\n", headers={"Retry-After": "2"})
    except MissingError as error:
        return web.Response(status=404, text=f"{error}\n")
    except (ApiError, StorageError, ChannelError) as error:
        log.warning("%s: %s", request.path, error)
        return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": "5"})
