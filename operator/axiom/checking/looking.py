"""Observes an installation, as long as something may still come up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp

from axiom.api.definitions import ALL
from axiom.checking import findings
from axiom.checking.findings import Finding
from axiom.checking.settings import CheckSettings
from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError
from axiom.cluster.resources import AGENT_TASKS, DEFINITIONS, DEPLOYMENTS, LEASES, Object, name_of
from axiom.storage.s3 import S3Store
from axiom.storage.store import StorageError

_PAUSE_SECONDS = 1.0
_TASK_PATIENCE = 4
_CONTENT = b"helm test wrote this. It may be deleted.\n"
_KEY = "axiom-probe/helm-test"

Look = Callable[[], Awaitable[Finding]]


async def look(settings: CheckSettings, api: Api) -> list[Finding]:
    """All findings, each as good as it became within the patience. Never raises for what is wrong."""
    looks: list[tuple[str, Look]] = [
        *((f"definition {name_of(wanted)}", _definition(api, wanted)) for wanted in (make() for make in ALL)),
        *((f"deployment {name}", _deployment(api, settings.namespace, name)) for name in settings.deployments),
        ("operator", _lease(api, settings)),
        ("gateway", _gateway(settings.gateway)),
        ("object storage", _storage(settings)),
    ]  # fmt: skip
    found = await asyncio.gather(*(_patiently(what, one, settings.patience) for what, one in looks))
    if settings.task and all(finding.passed for finding in found):
        return [*found, await _task(api, settings)]
    return found


async def _patiently(what: str, one: Look, patience: float) -> Finding:
    until = time.monotonic() + patience
    while True:
        try:
            finding = await one()
        except ApiError as error:
            finding = Finding(
                what, False, str(error), "the API server cannot be asked: see networkPolicies.apiServerPorts"
            )
        if finding.passed or time.monotonic() >= until:
            return finding
        await asyncio.sleep(_PAUSE_SECONDS)


def _definition(api: Api, wanted: Object) -> Look:
    async def look_at() -> Finding:
        return findings.definition(await api.get(DEFINITIONS, "", name_of(wanted)), wanted)

    return look_at


def _deployment(api: Api, namespace: str, name: str) -> Look:
    async def look_at() -> Finding:
        return findings.deployment(await api.get(DEPLOYMENTS, namespace, name))

    return look_at


def _lease(api: Api, settings: CheckSettings) -> Look:
    seen: list[Object] = []

    async def look_at() -> Finding:
        seen.append(await api.get(LEASES, settings.namespace, settings.lease))
        return findings.lease(seen[0], seen[-1])

    return look_at


def _gateway(url: str) -> Look:
    async def look_at() -> Finding:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(f"{url}/v1/tasks/none/none/events") as answer,
            ):
                return findings.gateway(url, answer.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            said = f"{url} does not answer: {type(error).__name__} {error}"
            return Finding(
                "gateway", False, said, "its log says what it waits for: object storage, or the API server"
            )

    return look_at


def _storage(settings: CheckSettings) -> Look:
    storage = settings.storage

    async def look_at() -> Finding:
        where = f"{storage.endpoint}, bucket {storage.bucket}"
        try:
            store = await S3Store.connect(storage)
            try:
                await store.put(_KEY, _CONTENT)
                is_whole = await store.get(_KEY) == _CONTENT
            finally:
                store.close()
        except StorageError as error:
            cure = "see the chart's values objectStorage.endpoint, secretName and caConfigMapName"
            return Finding("object storage", False, f"{where}: {error}", cure)
        return Finding("object storage", is_whole, f"{where}: reads, writes, and writes a key once only")

    return look_at


async def _task(api: Api, settings: CheckSettings) -> Finding:
    until = time.monotonic() + _TASK_PATIENCE * settings.patience
    while True:
        try:
            found = await api.get(AGENT_TASKS, settings.namespace, settings.task)
        except ApiError as error:
            return Finding(f"task {settings.task}", False, str(error))
        finding = findings.task(found)
        if finding is not None:
            return finding
        if time.monotonic() >= until:
            return findings.unfinished_task(found)
        await asyncio.sleep(_PAUSE_SECONDS)
