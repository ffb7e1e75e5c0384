"""A small Kubernetes API server on loopback: objects in memory, versions, watches, and the refusals that matter.

It knows no kinds: whatever path is written to becomes a collection. `refuse` makes it say no, once or always.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Object = dict[str, Any]

_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status))?"
)
_KINDS = {
    "v1": {"namespaces": "Namespace", "pods": "Pod", "configmaps": "ConfigMap", "events": "Event"},
    "axiom.dev/v1alpha1": {
        "agenttasks": "AgentTask",
        "agentclasses": "AgentClass",
        "verificationprofiles": "VerificationProfile",
    },
    "coordination.k8s.io/v1": {"leases": "Lease"},
}
_CLUSTER_WIDE = {"agentclasses", "namespaces"}


@dataclass
class Refusal:
    """An answer in place of the real one."""

    method: str
    path: str
    status: int
    reason: str = ""
    message: str = ""
    times: int = 1


@dataclass
class FakeApiServer:
    """The server's content, and what it was asked."""

    url: str = ""
    user: str = "jane"
    """The name by which it knows whoever asks."""
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    """By plural, namespace ("" for none) and name."""
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path, body of every request that is no read."""
    refusals: list[Refusal] = field(default_factory=list)
    review: Callable[[str, Object], Object] = lambda kind, spec: {}
    """Answers TokenReviews and SubjectAccessReviews: kind and spec → status."""
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(100))
    _watches: list[tuple[str, asyncio.Queue[Object | None]]] = field(default_factory=list)

    def add(self, plural: str, item: Object) -> Object:
        """Puts an object there as somebody else, complete with UID and version."""
        metadata = {"uid": str(uuid.uuid4()), "generation": 1, **item["metadata"]}
        stored = {**item, "metadata": {**metadata, "resourceVersion": str(next(self._versions))}}
        key = (plural, metadata.get("namespace", ""), metadata["name"])
        kind = "MODIFIED" if key in self.objects else "ADDED"
        self.objects[key] = stored
        self._tell(plural, kind, stored)
        return stored

    def change(self, plural: str, namespace: str, name: str, **fields: Any) -> Object:
        """Changes top-level fields of an object as somebody else."""
        return self.add(plural, {**self.objects[plural, namespace, name], **fields})

    def remove(self, plural: str, namespace: str, name: str, *, silently: bool = False) -> None:
        """Deletes an object as somebody else; `silently` no watch hears of it."""
        stored = self.objects.pop((plural, namespace, name))
        if not silently:
            self._tell(plural, "DELETED", stored)

    def get(self, plural: str, namespace: str, name: str) -> Object | None:
        """An object."""
        return self.objects.get((plural, namespace, name))

    def all(self, plural: str) -> list[Object]:
        """All objects of a kind."""
        return [item for (kind, _, _), item in self.objects.items() if kind == plural]

    def refuse(
        self, method: str, path: str, status: int, reason: str = "", message: str = "", times: int = 1
    ) -> None:
        """The next `times` requests of this method whose path ends so get this answer."""
        self.refusals.append(Refusal(method, path, status, reason, message, times))

    def writes(self, method: str, plural: str) -> list[Any]:
        """Bodies of the writes of this kind."""
        return [body for verb, path, body in self.requests if verb == method and f"/{plural}" in path]

    def end_watches(self) -> None:
        """Every watch ends, as after the server's timeout."""
        for _, queue in self._watches:
            queue.put_nowait(None)

    # --- requests ---------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read() or b"null")
        if request.method != "GET":
            self.requests.append((request.method, request.path, body))
        for refusal in self.refusals:
            if refusal.times and refusal.method == request.method and request.path.endswith(refusal.path):
                refusal.times -= 1
                return _failure(refusal.status, refusal.reason, refusal.message)
        if discovered := _discovery(request.path):
            return web.json_response(discovered)
        found = _PATH.fullmatch(request.path)
        if not found:
            return _failure(404, "NotFound", f"no such path {request.path}")
        group_version = found["core"] or found["group"]
        plural, namespace, name = found["plural"], found["namespace"] or "", found["name"]
        match request.method, name:
            case "GET", None if request.query.get("watch"):
                return await self._watch(request, plural)
            case "GET", None:
                return self._list(plural, namespace, request.query.get("labelSelector", ""))
            case "GET", _:
                return self._answer(self.get(plural, namespace, name), f'{plural} "{name}" not found')
            case "POST", _:
                return self._create(group_version, plural, namespace, body)
            case "PUT", _:
                return self._replace(plural, namespace, name, body, found["sub"])
            case "PATCH", _:
                return self._merge(plural, namespace, name, body)
            case "DELETE", None:
                return self._delete_all(plural, namespace, request.query.get("labelSelector", ""))
            case _:
                return self._delete(plural, namespace, name, body or {})

    def _list(self, plural: str, namespace: str, selector: str) -> web.Response:
        items = list(self._selected(plural, namespace, selector))
        return web.json_response(
            {"kind": "List", "metadata": {"resourceVersion": str(next(self._versions))}, "items": items}
        )

    def _selected(self, plural: str, namespace: str, selector: str) -> list[Object]:
        return [
            item
            for (kind, where, _), item in self.objects.items()
            if kind == plural and namespace in ("", where) and _matches(item, selector)
        ]

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[Object | None] = asyncio.Queue()
        self._watches.append((plural, queue))
        while (event := await queue.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    def _create(self, group_version: str, plural: str, namespace: str, body: Object) -> web.Response:
        if plural == "selfsubjectreviews":
            return web.json_response({**body, "status": {"userInfo": {"username": self.user}}}, status=201)
        if plural in ("tokenreviews", "subjectaccessreviews"):
            return web.json_response({**body, "status": self.review(body["kind"], body["spec"])}, status=201)
        key = (plural, namespace, body["metadata"]["name"])
        if key in self.objects:
            return _failure(409, "AlreadyExists", f'{plural} "{key[2]}" already exists')
        return web.json_response(self.add(plural, body), status=201)

    def _replace(self, plural: str, namespace: str, name: str, body: Object, sub: str | None) -> web.Response:
        stored = self.get(plural, namespace, name)
        if stored is None:
            return _failure(404, "NotFound", f'{plural} "{name}" not found')
        if body["metadata"].get("resourceVersion") not in (None, stored["metadata"]["resourceVersion"]):
            return _failure(409, "Conflict", "the object has been modified")
        changed = {**stored, "status": body["status"]} if sub else body
        return web.json_response(self.add(plural, changed))

    def _merge(self, plural: str, namespace: str, name: str, patch: Object) -> web.Response:
        stored = self.get(plural, namespace, name)
        if stored is None:
            return _failure(404, "NotFound", f'{plural} "{name}" not found')
        return web.json_response(self.add(plural, _merged(stored, patch)))

    def _delete(self, plural: str, namespace: str, name: str, options: Object) -> web.Response:
        stored = self.get(plural, namespace, name)
        if stored is None:
            return _failure(404, "NotFound", f'{plural} "{name}" not found')
        wanted = options.get("preconditions", {}).get("uid")
        if wanted not in (None, stored["metadata"]["uid"]):
            return _failure(409, "Conflict", "Precondition failed: UID")
        self.remove(plural, namespace, name)
        return web.json_response({"kind": "Status", "status": "Success"})

    def _delete_all(self, plural: str, namespace: str, selector: str) -> web.Response:
        for item in self._selected(plural, namespace, selector):
            self.remove(plural, item["metadata"].get("namespace", ""), item["metadata"]["name"])
        return web.json_response({"kind": "Status", "status": "Success"})

    @staticmethod
    def _answer(item: Object | None, missing: str) -> web.Response:
        return web.json_response(item) if item is not None else _failure(404, "NotFound", missing)

    def _tell(self, plural: str, kind: str, item: Object) -> None:
        for watched, queue in self._watches:
            if watched == plural:
                queue.put_nowait({"type": kind, "object": item})


def _failure(status: int, reason: str, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "reason": reason, "message": message}, status=status)


def _matches(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _discovery(path: str) -> Object | None:
    """What a client asks to learn which kinds there are."""
    match path.strip("/").split("/"):
        case ["version"]:
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}
        case ["api"]:
            return {"versions": ["v1"]}
        case ["apis"]:
            groups = [group for group in _KINDS if "/" in group]
            return {
                "groups": [
                    {
                        "name": group.partition("/")[0],
                        "versions": [{"groupVersion": group, "version": group.partition("/")[2]}],
                        "preferredVersion": {"groupVersion": group, "version": group.partition("/")[2]},
                    }
                    for group in groups
                ]
            }
        case ["api", _] | ["apis", _, _] if (found := path.strip("/").partition("/")[2]) in _KINDS:
            verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
            return {
                "groupVersion": found,
                "resources": [
                    {"name": plural, "singularName": kind.lower(), "kind": kind, "verbs": verbs,
                     "namespaced": plural not in _CLUSTER_WIDE}
                    for plural, kind in _KINDS[found].items()
                ],
            }  # fmt: skip
        case _:
            return None


def _merged(stored: Object, patch: Object) -> Object:
    """RFC 7386."""
    merged: dict[str, Any] = dict(stored)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key) or {}, value) if isinstance(value, dict) else value
    return merged


@asynccontextmanager
async def fake_api_server() -> AsyncIterator[FakeApiServer]:
    """A server that listens on loopback for as long as the context is open."""
    server = FakeApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.end_watches()
        await runner.cleanup()
