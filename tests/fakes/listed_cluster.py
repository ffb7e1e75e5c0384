"""As much of a Kubernetes API server as the egress proxy uses: lists, watches, Secrets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

PODS = "/api/v1/pods"
CLASSES = "/apis/axiom.dev/v1alpha1/agentclasses"


class FakeApiServer:
    """Holds objects, and tells watchers of their changes from the version on that they name."""

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, dict[str, Any]] = {PODS: {}, CLASSES: {}}
        self.secrets: dict[str, dict[str, str]] = {}
        self.queries: list[dict[str, str]] = []
        self.failures: list[int] = []
        """Statuses that the next requests are answered with."""
        self.requested = asyncio.Event()
        self._version = 100
        self._history: list[tuple[int, str, str, dict[str, Any]]] = []
        self._changed = asyncio.Event()
        self._epoch = 0

    def put(self, path: str, item: dict[str, Any]) -> None:
        name = item["metadata"]["name"]
        self._happen(path, "MODIFIED" if name in self.objects[path] else "ADDED", item)
        self.objects[path][name] = item

    def delete(self, path: str, name: str) -> None:
        self._happen(path, "DELETED", self.objects[path].pop(name))

    def hang_up(self) -> None:
        """Ends all watches, and forgets the history: whoever watches on gets 410."""
        self._epoch += 1
        self._history.clear()
        self._wake()

    def _happen(self, path: str, change: str, item: dict[str, Any]) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, path, change, json.loads(json.dumps(item))))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.queries.append({"path": request.path, **request.query})
        self.requested.set()
        if self.failures:
            return web.json_response({"kind": "Status", "code": 0}, status=self.failures.pop(0))
        if request.path.startswith("/api/v1/namespaces/axiom-system/secrets/"):
            return self._secret(request.path.rpartition("/")[2])
        if "watch" in request.query:
            return await self._watch(request)
        items = list(self.objects[request.path].values())
        return web.json_response({"metadata": {"resourceVersion": str(self._version)}, "items": items})

    def _secret(self, name: str) -> web.Response:
        if name not in self.secrets:
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        data = {key: base64.b64encode(value.encode()).decode() for key, value in self.secrets[name].items()}
        return web.json_response(
            {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}, "data": data}
        )

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        seen, epoch = int(request.query["resourceVersion"]), self._epoch
        while epoch == self._epoch:
            changed = self._changed
            for version, path, change, item in list(self._history):
                if path == request.path and version > seen:
                    await self._send(response, change, item)
                    seen = version
            bookmark = {"kind": "Bookmark", "metadata": {"resourceVersion": str(seen)}}
            await self._send(response, "BOOKMARK", bookmark)
            await changed.wait()
        await self._send(response, "ERROR", {"code": 410, "reason": "Expired", "message": "too old"})
        return response

    @staticmethod
    async def _send(response: web.StreamResponse, change: str, item: dict[str, Any]) -> None:
        await response.write(json.dumps({"type": change, "object": item}).encode() + b"\n")


@asynccontextmanager
async def run_api_server() -> AsyncIterator[FakeApiServer]:
    server = FakeApiServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def pod(ip: str | None = "10.1.2.3", *, name: str = "fix-1", **changes: Any) -> dict[str, Any]:
    """The pod of `tests.fakes.vendor.make_grant`'s attempt."""
    labels = {
        "axiom.dev/role": "agent",
        "axiom.dev/task-uid": "5ac8ee7c-8b7b-4c0f-9c2a-3f3a5d1f7c11",
        "axiom.dev/attempt": "1",
    }
    metadata = {"name": name, "namespace": "team-a", "uid": f"uid-{name}", "labels": labels}
    status = {"phase": "Running", **({"podIP": ip, "podIPs": [{"ip": ip}]} if ip else {})}
    metadata.update(changes.get("metadata", {}))
    status.update(changes.get("status", {}))
    return {"metadata": metadata, "status": status}


def agent_class(
    name: str = "codex", secret: str = "keys", upstream: str = "https://api.example"
) -> dict[str, Any]:
    credential = {
        "name": "openai",
        "secretRef": {"name": secret, "key": "openai"},
        "route": {"prefix": "/openai", "upstream": upstream},
    }
    return {"metadata": {"name": name}, "spec": {"command": ["codex"], "credentials": [credential]}}
