"""A small client of the API server: raw JSON in and out, one method for each verb, typed errors, no retries."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import kopf

from axiom.cluster.errors import ApiError, LoginError, UnavailableError, error_of
from axiom.cluster.resources import Object, Resource

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
_PAGE = 500
_LOGIN_SECONDS = 30
_METHODS = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
"""Kubernetes' verbs as HTTP's."""

Counter = Callable[[str, str], None]
"""Called with verb and resource before each write. What it raises, the caller gets, and nothing is written."""
Note = Callable[[str, Exception | None, float], None]
"""Called for each answer with the verb, the error that is raised (None: it was done), and seconds."""


def log_in() -> kopf.ConnectionInfo:
    """Address and credentials: of the pod that this runs in, else by AXIOM_KUBECONFIG or KUBECONFIG. Raises LoginError."""
    if kubeconfig := os.environ.get("AXIOM_KUBECONFIG"):
        os.environ["KUBECONFIG"] = kubeconfig
    settings = kopf.OperatorSettings()
    try:
        info = None if kubeconfig else kopf.login_with_service_account(settings=settings)
        info = info or kopf.login_with_kubeconfig(settings=settings)
    except (OSError, kopf.LoginError, KeyError) as error:
        raise LoginError(f"the credentials for the API server cannot be read: {error}") from error
    if info is None:
        raise LoginError("no API server is configured; run in a pod, or set KUBECONFIG")
    return info


class Api:
    """Calls as one client. Use as an async context manager."""

    def __init__(
        self,
        user_agent: str,
        login: Callable[[], kopf.ConnectionInfo] = log_in,
        on_write: Counter = lambda verb, resource: None,
        on_answer: Note = lambda verb, error, seconds: None,
    ) -> None:
        """`login` is asked again every 30 s: tokens of pods are replaced while they run."""
        self._login, self._user_agent, self._on_write = login, user_agent, on_write
        self._on_answer = on_answer
        self._headers: dict[str, str] = {}
        self._headers_until = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._server = ""
        self.server_time: datetime | None = None
        """What the API server's clock showed in its last answer."""

    async def __aenter__(self) -> Self:
        info = self._login()
        self._server = str(info.server).rstrip("/")
        secure = self._server.startswith("https")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=info.as_ssl_context() if secure else False, limit=64),
            timeout=_TIMEOUT,
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object. Raises NotFoundError, RefusedError, UnavailableError."""
        return await self._call("get", resource.path(namespace, name))

    async def list(self, resource: Resource, selector: str = "", namespace: str = "") -> list[Object]:
        """All objects, page by page. Raises RefusedError, UnavailableError; NotFoundError where the kind is unknown."""
        items: list[Object] = []
        query = {"limit": str(_PAGE), **({"labelSelector": selector} if selector else {})}
        while True:
            page = await self._call("list", resource.path(namespace), query=query)
            items += page["items"]
            if not (more := page["metadata"].get("continue")):
                return items
            query["continue"] = more

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """The object as it was created. Raises AlreadyExistsError, RefusedError, UnavailableError."""
        self._on_write("create", resource.plural)
        return await self._call("create", resource.path(namespace), body)

    async def replace(
        self, resource: Resource, namespace: str, name: str, body: Object, subresource: str = ""
    ) -> Object:
        """The object as it is now. With metadata.resourceVersion in the body: raises ConflictError if it moved on."""
        plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
        self._on_write("update", plural)
        return await self._call("update", resource.path(namespace, name, subresource), body)

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Object) -> Object:
        """A JSON merge patch. Raises NotFoundError, RefusedError, UnavailableError."""
        self._on_write("patch", resource.plural)
        return await self._call(
            "patch", resource.path(namespace, name), patch, content_type="application/merge-patch+json"
        )

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, grace_seconds: int | None = None
    ) -> None:
        """Deletes this very object. Raises NotFoundError, ConflictError when another has its name now."""
        self._on_write("delete", resource.plural)
        options: dict[str, Any] = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        await self._call("delete", resource.path(namespace, name), options)

    async def delete_all(
        self, resource: Resource, namespace: str, selector: str, grace_seconds: int | None = None
    ) -> None:
        """Deletes what the selector names, in one request. Raises RefusedError, UnavailableError."""
        self._on_write("deletecollection", resource.plural)
        options = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        await self._call(
            "deletecollection", resource.path(namespace), options, query={"labelSelector": selector}
        )

    def _credentials(self) -> dict[str, str]:
        if time.monotonic() >= self._headers_until:
            self._headers = self._login().as_http_headers()
            self._headers_until = time.monotonic() + _LOGIN_SECONDS
        return dict(self._headers)

    async def _call(
        self,
        verb: str,
        path: str,
        body: Object | None = None,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            answer = await self._ask(_METHODS[verb], path, body, query, content_type)
        except ApiError as error:
            self._on_answer(verb, error, time.perf_counter() - began)
            raise
        self._on_answer(verb, None, time.perf_counter() - began)
        return answer

    async def _ask(
        self, method: str, path: str, body: Object | None, query: dict[str, str] | None, content_type: str
    ) -> dict[str, Any]:
        assert self._session is not None, "Api is used as a context manager"
        headers, data = self._credentials(), None
        if body is not None:
            headers["Content-Type"], data = content_type, json.dumps(body).encode()
        try:
            async with self._session.request(
                method, self._server + path, params=query, data=data, headers=headers
            ) as response:
                answer = _parsed(await response.read())
                self.server_time = _time_of(response.headers.get("Date", "")) or self.server_time
                if response.status >= 400:
                    raise error_of(
                        response.status, str(answer.get("reason", "")), str(answer.get("message", ""))
                    )
                return answer
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(
                f"{method} {path}: the API server does not answer: {type(error).__name__}: {error}"
            ) from error


def _time_of(header: str) -> datetime | None:
    """An HTTP date."""
    try:
        return parsedate_to_datetime(header)
    except ValueError:
        return None


def _parsed(data: bytes) -> dict[str, Any]:
    """An answer's JSON; what is no JSON object (a proxy's error page) counts as a message."""
    try:
        answer = json.loads(data) if data else {}
    except ValueError:
        answer = {"message": data[:300].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {}
