"""The trusted side of one sandbox, scripted by a test: its channel on a real Unix socket, its state whatever the test says."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from axiom.channel import Channel
from axiom_sandbox.protocol.channel import (
    LEFT_HEADER,
    Blob,
    CommandEnvelope,
    Phase,
    SandboxState,
    StoredSegments,
)
from axiom_sandbox.protocol.identity import Identity


@dataclass
class FakeTrustedSide:
    """What it shows, and what it was told."""

    socket: Path
    state: SandboxState
    commands: list[CommandEnvelope] = field(default_factory=list)
    workspace: bytes = b""
    changes: bytes = b""
    hidden: dict[str, bytes] = field(default_factory=dict)
    conduct: bytes = b""
    troubles: list[str] = field(default_factory=list)
    segments: dict[int, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    """What /v1/events answers."""
    never_ends: bool = False
    """Whether that answer goes on after them, as that of a sandbox at work does."""
    left_records: int = 0
    """Records 1 to this one are in object storage alone."""
    stored: list[StoredSegments] = field(default_factory=list)
    """What it was told that object storage gave back."""
    returned: dict[int, bytes] = field(default_factory=dict)
    """Segments that were brought back."""
    sealed: list[str] = field(default_factory=list)
    refuses: bool = False
    """Whether commands and uploads are answered with 409."""
    is_old: bool = False
    """Whether it knows nothing of what was added later."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def channel(self) -> Channel:
        """A channel to it."""
        return Channel.over_unix(self.socket)

    def update(self, **changes: Any) -> None:
        """Shows another state."""
        revision = self.state.revision + 1
        self.state = self.state.model_copy(update={**changes, "revision": revision})
        self._changed.set()
        self._changed = asyncio.Event()

    def offer_segment(self, data: bytes) -> None:
        """Cuts one more segment."""
        ledger = self.state.ledger
        self.segments[ledger.segments + 1] = data
        self.update(ledger=ledger.model_copy(update={"segments": ledger.segments + 1}))

    def offer_blob(self, name: str, data: bytes) -> str:
        """Announces one more blob."""
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        self.update(blobs=(*self.state.blobs, Blob(name=name, digest=digest, size=len(data))))
        return digest

    async def _get_state(self, request: web.Request) -> web.Response:
        if self.state.revision <= int(request.query.get("since", -1)):
            try:
                await asyncio.wait_for(self._changed.wait(), float(request.query.get("timeout", 30)))
            except TimeoutError:
                pass
        return web.Response(text=self.state.model_dump_json(), content_type="application/json")

    async def _command(self, request: web.Request) -> web.Response:
        if self.refuses:
            return web.Response(status=409, text="not now")
        self.commands.append(CommandEnvelope.model_validate_json(await request.read()))
        return web.Response(status=204)

    async def _put_workspace(self, request: web.Request) -> web.Response:
        if self.refuses:
            return web.Response(status=409, text="not now")
        self.workspace = await request.read()
        self.update(workspace=request.headers["X-Axiom-Digest"], phase=Phase.READY, trouble="")
        return web.Response(status=204)

    async def _put_changes(self, request: web.Request) -> web.Response:
        self.changes = await request.read()
        return web.Response(status=204)

    async def _put_hidden(self, request: web.Request) -> web.Response:
        assert not self.changes, "a verifier that has the changes begins"
        self.hidden[request.match_info["criterion"]] = await request.read()
        self.update(trouble="")
        return web.Response(status=204)

    async def _put_conduct(self, request: web.Request) -> web.Response:
        assert not self.changes, "a verifier that has the changes begins"
        self.conduct = await request.read()
        return web.Response(status=204)

    async def _put_trouble(self, request: web.Request) -> web.Response:
        self.troubles.append(await request.text())
        self.update(trouble=self.troubles[-1])
        return web.Response(status=204)

    async def _put_storage_trouble(self, request: web.Request) -> web.Response:
        if self.is_old:
            return web.Response(status=404)
        self.troubles.append(await request.text())
        self.update(storage_trouble=self.troubles[-1])
        return web.Response(status=204)

    async def _segment(self, request: web.Request) -> web.Response:
        return web.Response(body=self.segments[int(request.match_info["number"])])

    async def _segment_sealed(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        self.sealed.append(f"segment {number}")
        ledger = self.state.ledger
        self.update(ledger=ledger.model_copy(update={"sealed": max(number, ledger.sealed)}))
        return web.Response(status=204)

    async def _segments_stored(self, request: web.Request) -> web.Response:
        if self.refuses:
            return web.Response(status=409, text="segment 1 stays")
        self.stored.append(StoredSegments.model_validate_json(await request.read()))
        left = self.stored[-1].first + len(self.stored[-1].digests) - 1
        self.update(ledger=self.state.ledger.model_copy(update={"left": left}))
        return web.Response(status=204)

    async def _segment_returned(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        if self.refuses or number != self.state.awaits_segment:
            return web.Response(status=409, text=f"segment {number} is not the one that has left")
        self.returned[number] = await request.read()
        self.update(awaits_segment=number + 1 if number < self.state.ledger.left else 0)
        return web.Response(status=204)

    async def _blob(self, request: web.Request) -> web.Response:
        return web.Response(body=self.blobs[request.match_info["digest"]])

    async def _blob_sealed(self, request: web.Request) -> web.Response:
        digest = request.match_info["digest"]
        self.sealed.append(f"blob {digest}")
        blobs = [b.model_copy(update={"sealed": True}) if b.digest == digest else b for b in self.state.blobs]
        self.update(blobs=tuple(blobs))
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        start = int(request.query.get("from", 1))
        if start <= self.left_records:
            return web.Response(status=410, text="left", headers={LEFT_HEADER: str(self.left_records)})
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"".join(self.lines[start - 1 :]))
        if self.never_ends:
            await asyncio.Event().wait()
        return response

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.add_routes(
            [
                web.get("/v1/state", self._get_state),
                web.get("/v1/events", self._events),
                web.post("/v1/commands", self._command),
                web.put("/v1/workspace", self._put_workspace),
                web.put("/v1/changes", self._put_changes),
                web.put("/v1/hidden/{criterion}", self._put_hidden),
                web.put("/v1/conduct", self._put_conduct),
                web.put("/v1/trouble", self._put_trouble),
                web.put("/v1/trouble/storage", self._put_storage_trouble),
                web.get("/v1/segments/{number}", self._segment),
                web.post("/v1/segments/{number}/sealed", self._segment_sealed),
                web.post("/v1/segments/stored", self._segments_stored),
                web.put("/v1/segments/{number}", self._segment_returned),
                web.get("/v1/blobs/{digest}", self._blob),
                web.post("/v1/blobs/{digest}/sealed", self._blob_sealed),
            ]
        )
        return app


@asynccontextmanager
async def fake_trusted_side(
    folder: Path, identity: Identity, phase: Phase = Phase.STARTING
) -> AsyncIterator[FakeTrustedSide]:
    """Serves for as long as the context is open."""
    side = FakeTrustedSide(
        folder / f"{identity.slot}.sock", SandboxState(revision=1, identity=identity, phase=phase)
    )
    runner = web.AppRunner(
        side.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    await web.UnixSite(runner, str(side.socket)).start()
    try:
        yield side
    finally:
        await runner.cleanup()
