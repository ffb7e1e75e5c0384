"""Who may read a task's evidence: whoever the API server lets `get` that AgentTask. Nobody is anonymous.

Evidence with its secrets in it takes more: to `get` the subresource `original` of that AgentTask. To answer, tell or interrupt
an agent takes to `create` its subresource `interventions`.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from axiom.cluster.api import Api
from axiom.cluster.resources import ACCESS_REVIEWS, AGENT_TASKS, TOKEN_REVIEWS, Object

_REMEMBERED_SECONDS = 30.0
_REMEMBERED = 1000


class UnauthenticatedError(Exception):
    """No token, or one that the API server does not know."""


class ForbiddenError(Exception):
    """The API server would not let this user do that."""


class Gatekeeper:
    """Asks the API server by TokenReview and SubjectAccessReview; a yes is remembered for 30 s."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._allowed: OrderedDict[tuple[str, ...], tuple[float, str]] = OrderedDict()

    async def check(
        self, authorization: str, namespace: str, name: str, subresource: str = "", verb: str = "get"
    ) -> str:
        """The user's name. Raises UnauthenticatedError, ForbiddenError, ApiError. `authorization` is the header."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError("send Authorization: Bearer and a Kubernetes token")
        key = hashlib.sha256(token.strip().encode()).hexdigest(), namespace, name, subresource, verb
        until, known = self._allowed.get(key, (0.0, ""))
        if until > self._clock():
            return known
        user = await self._authenticate(token.strip())
        await self._authorize(user, namespace, name, subresource, verb)
        found = str(user.get("username") or "")
        self._allowed[key] = self._clock() + _REMEMBERED_SECONDS, found
        if len(self._allowed) > _REMEMBERED:
            self._allowed.popitem(last=False)
        return found

    async def _authenticate(self, token: str) -> Object:
        answer = await self._review(TOKEN_REVIEWS.kind, {"token": token})
        if not answer.get("authenticated"):
            raise UnauthenticatedError("the API server does not know this token, or it has expired")
        user: Object = answer["user"]
        return user

    async def _authorize(self, user: Object, namespace: str, name: str, subresource: str, verb: str) -> None:
        group, _, version = AGENT_TASKS.group_version.partition("/")
        attributes = {
            "namespace": namespace, "verb": verb, "group": group, "version": version,
            "resource": AGENT_TASKS.plural, "name": name, "subresource": subresource,
        }  # fmt: skip
        spec = {
            "user": user.get("username", ""),
            "uid": user.get("uid", ""),
            "groups": user.get("groups") or [],
            "extra": user.get("extra") or {},
            "resourceAttributes": attributes,
        }
        if not (await self._review(ACCESS_REVIEWS.kind, spec)).get("allowed"):
            what = f"{AGENT_TASKS.plural}/{subresource}" if subresource else AGENT_TASKS.plural
            raise ForbiddenError(f"{user.get('username')} may not {verb} {what} in namespace {namespace!r}")

    async def _review(self, kind: str, spec: dict[str, Any]) -> Object:
        resource = TOKEN_REVIEWS if kind == TOKEN_REVIEWS.kind else ACCESS_REVIEWS
        body = {"apiVersion": resource.group_version, "kind": kind, "spec": spec}
        status: Object = (await self._api.create(resource, "", body)).get("status") or {}
        return status
