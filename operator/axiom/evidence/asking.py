"""A task's evidence through the gateway: what a person without keys to object storage can read.

The task comes from the API server, with the heads of its ledgers; lines and blobs come from the gateway, which asks the API
server whether this person may get the task.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import kopf
import urllib3

from axiom.api.agenttask import AgentTask
from axiom.api.loading import RefusedError, parse_task
from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError, LoginError
from axiom.cluster.kubeconfig import log_in
from axiom.cluster.resources import AGENT_TASKS
from axiom.evidence.finding import TaskEvidence
from axiom.evidence.outcomes import witnessed
from axiom.evidence.segments import EvidenceError, Segment, StoredLedger

_LEDGER = re.compile(r"tasks/[^/]+/(?P<uid>[^/]+)/attempts/(?P<attempt>\d+)/(?P<slot>[^/]+)/ledger")
_PIECE = 1024 * 1024


@dataclass(frozen=True)
class ClusterOptions:
    """How a cluster and its gateway are reached."""

    gateway: str
    """`http://host:port` or `https://host`, such as that of `kubectl port-forward`."""
    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None
    token_file: Path | None = None
    """A Kubernetes token; else the kubeconfig's."""
    authority: Path | None = None
    """PEM file that the gateway's certificate is checked with."""
    original: bool = False
    """Whether secrets are to be served as they are."""


def reach(name: str, options: ClusterOptions) -> GatewayClient:
    """The pages of a task of this name; whether there is one is found out when it is asked. Raises EvidenceError."""
    try:
        login = log_in(options.kubeconfig, options.context)
        info = login.connect()
    except LoginError as error:
        raise EvidenceError(f"AgentTask {name!r} cannot be reached: {error}") from error
    return GatewayClient(options, options.namespace or login.namespace, name, _token(options, info))


def find_on_cluster(name: str, options: ClusterOptions) -> TaskEvidence:
    """A task of this name. Raises EvidenceError."""
    try:
        login = log_in(options.kubeconfig, options.context)
        namespace = options.namespace or login.namespace
        task = asyncio.run(_task(login.connect(), namespace, name))
    except (LoginError, ApiError, RefusedError) as error:
        raise EvidenceError(f"AgentTask {name!r} cannot be read: {' '.join(str(error).split())}") from error
    client = GatewayClient(options, namespace, name, _token(options, login.connect()))
    ledgers = tuple(client.ledger(path, reference.head) for path, reference in witnessed(task).items())
    return TaskEvidence(ledgers, task, partial(client.blob, task))


async def _task(info: kopf.ConnectionInfo, namespace: str, name: str) -> AgentTask:
    async with Api("axiom", lambda: info) as api:
        found = dict(await api.get(AGENT_TASKS, namespace, name))
    fields: dict[str, Any] = {
        key: found[key] for key in ("apiVersion", "kind", "metadata", "spec", "status") if key in found
    }
    return parse_task(fields, f"agenttask {name}")


def _token(options: ClusterOptions, info: kopf.ConnectionInfo) -> str:
    if options.token_file:
        try:
            return options.token_file.read_text().strip()
        except OSError as error:
            raise EvidenceError(f"--token-file {options.token_file}: {error.strerror}") from error
    if not info.token:
        raise EvidenceError(
            "your kubeconfig holds no token that the gateway could check; make one with"
            " `kubectl create token SERVICEACCOUNT > FILE`, and name it with --token-file"
        )
    return str(info.token)


class GatewayClient:
    """Reads one task's pages. Blocks."""

    def __init__(self, options: ClusterOptions, namespace: str, name: str, token: str) -> None:
        """Raises EvidenceError."""
        address = urlsplit(options.gateway)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise EvidenceError(
                f"--gateway {options.gateway!r} is no address; forward the gateway with `kubectl port-forward -n"
                " axiom-system service/axiom-gateway 8080:80`, and write --gateway http://127.0.0.1:8080"
            )
        if address.scheme == "http" and address.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise EvidenceError(
                f"--gateway {options.gateway!r}: a token is sent to this machine only without TLS; write https://"
            )
        self._base = f"{options.gateway.rstrip('/')}/v1/tasks/{namespace}/{name}"
        self._original = options.original
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(
            retries=False,
            timeout=urllib3.Timeout(connect=10, read=120),
            ca_certs=str(options.authority) if options.authority else None,
        )

    def ledger(self, path: str, head: str) -> StoredLedger:
        """One ledger of the task, by its key prefix."""
        found = _LEDGER.fullmatch(path)
        if not found:
            raise EvidenceError(f"the task's status names {path!r}, which is no ledger")
        query = {"attempt": found["attempt"], "slot": found["slot"], "follow": "false"}
        name = f"{found['uid']}/{found['attempt']}/{found['slot']}"
        return StoredLedger(name, partial(self._segments, name, query), head)

    def blob(self, task: AgentTask, key: str) -> bytes:
        """The recording, a round's diff, or a screenshot, by its key."""
        if key == task.status.recording:
            return self._read("recording", {})
        for record in task.status.rounds:
            if key == record.diff:
                return self._read("diff", {"round": str(record.number)})
        return self._read("screenshot", {"digest": key.rpartition("/")[2]})

    def difference(self, one: int, other: int, form: str) -> bytes:
        """What the workspace differs in between two checkpoints. Raises EvidenceError."""
        return self._read("checkpoints", {"from": str(one), "to": str(other), "as": form})

    def post(self, page: str, body: str, key: str) -> str:
        """Asks for something to be done; what was. Sent again with the same key, it is done once. Raises EvidenceError."""
        headers = {**self._headers, "Content-Type": "application/json", "Idempotency-Key": key}
        try:
            response = self._pool.request("POST", f"{self._base}/{page}", headers=headers, body=body.encode())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        said = response.data[:4000].decode(errors="replace").strip()
        if response.status != 200:
            raise EvidenceError(f"the gateway answers {response.status}: {said}")
        return said

    def _unreachable(self, error: Exception) -> EvidenceError:
        where = self._base.partition("/v1/")[0]
        return EvidenceError(f"the gateway at {where} cannot be read: {error}; is it forwarded?")

    def _segments(self, name: str, query: dict[str, str]) -> Iterator[Segment]:
        """Pieces of the stream, cut at line ends."""
        rest = b""
        for piece in self._stream("events", query):
            whole, end, rest = (rest + piece).rpartition(b"\n")
            if end:
                yield Segment(name, whole + end)
        if rest:
            yield Segment(name, rest)

    def _read(self, page: str, query: dict[str, str]) -> bytes:
        return b"".join(self._stream(page, query))

    def _stream(self, page: str, query: dict[str, str]) -> Iterator[bytes]:
        if self._original:
            query = {**query, "original": "true"}
        url = f"{self._base}/{page}?{urlencode(query)}"
        try:
            response = self._pool.request("GET", url, headers=self._headers, preload_content=False)
            if response.status != 200:
                said = response.data[:500].decode(errors="replace").strip()
                raise EvidenceError(f"the gateway answers {response.status} for {page}: {said}")
            yield from response.stream(_PIECE)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(error) from error
