"""Tells a LiveDirectory what happens in a Kubernetes cluster: the one module here that speaks with the API server.

Rights it needs: list and watch pods and agentclasses everywhere, get secrets in its own namespace. When the API server
is away, what was last known goes on to hold.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from kubernetes.aio import client, config, watch
from kubernetes.aio.client.exceptions import ApiException
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from axiom.egress.errors import SettingsError
from axiom.egress.live_directory import AGENT_PODS, LiveDirectory, Object

log = logging.getLogger(__name__)

_TROUBLE = (ApiException, aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError)


@dataclass(frozen=True)
class Pace:
    """How often the API server is asked, in seconds."""

    watch_seconds: int = 60
    """Length of one watch request; a connection that died is noticed after it."""
    pause_seconds: float = 1
    """Between two lists."""
    secrets_seconds: float = 10
    """Between two reads of the Secrets: how long a rotated key may still be used."""
    longest_wait: float = 30
    """Between two tries when the API server is away."""


async def load_cluster_config() -> None:
    """Finds the API server: from inside a pod, or by KUBECONFIG. Raises SettingsError."""
    try:
        try:
            config.load_incluster_config()  # type: ignore[no-untyped-call]
        except config.ConfigException:
            await config.load_kube_config()  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise SettingsError(f"no Kubernetes API server is configured: {error}") from error


class ClusterWatcher:
    """Follows pods, AgentClasses and Secrets for as long as `run` runs."""

    def __init__(
        self, api: client.ApiClient, directory: LiveDirectory, namespace: str, pace: Pace | None = None
    ) -> None:
        """`namespace` holds the Secrets with credentials."""
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._directory = directory
        self._namespace = namespace
        self._pace = pace or Pace()

    async def run(self) -> None:
        """Never returns; cancel it. Trouble with the API server is logged and waited out."""
        directory = self._directory
        pods = {"label_selector": AGENT_PODS}
        classes = {"group": "axiom.dev", "version": "v1alpha1", "plural": "agentclasses"}
        async with asyncio.TaskGroup() as group:
            group.create_task(
                self._follow(
                    self._core.list_pod_for_all_namespaces, pods, directory.replace_pods, directory.apply_pod
                )
            )
            group.create_task(
                self._follow(
                    self._custom.list_cluster_custom_object,
                    classes,
                    directory.replace_classes,
                    directory.apply_class,
                )
            )
            group.create_task(self._follow_secrets())

    async def _follow(
        self,
        method: Callable[..., Any],
        selection: Mapping[str, str],
        replace: Callable[[Iterable[Object]], None],
        apply: Callable[[str, Object], None],
    ) -> None:
        while True:
            listing = await self._persistently(method.__name__, partial(self._list, method, selection))
            replace(listing["items"])
            try:
                await self._watch(method, selection, listing["metadata"]["resourceVersion"], apply)
            except _TROUBLE as error:
                log.info("watching by %s ended, listing again: %s", method.__name__, _reason(error))
            await asyncio.sleep(self._pace.pause_seconds)

    async def _list(self, method: Callable[..., Any], selection: Mapping[str, str]) -> dict[str, Any]:
        # the raw answer: thousands of pods need not become typed objects
        raw = getattr(method.__self__, f"{method.__name__}_without_preload_content")  # type: ignore[attr-defined]
        response = await raw(**selection, _request_timeout=float(self._pace.watch_seconds))
        async with response:
            if response.status != 200:
                raise ApiException(status=response.status, reason=response.reason)
            listing: dict[str, Any] = await response.json()
        return listing

    async def _watch(
        self,
        method: Callable[..., Any],
        selection: Mapping[str, str],
        version: str,
        apply: Callable[[str, Object], None],
    ) -> None:
        """Applies changes from a version on, in one watch request after the other, until one fails."""
        seconds = self._pace.watch_seconds
        while True:
            async with watch.Watch(return_type="object") as stream:  # type: ignore[no-untyped-call]
                async for event in stream.stream(
                    method,
                    **selection,
                    resource_version=version,
                    allow_watch_bookmarks=True,
                    timeout_seconds=seconds,
                    _request_timeout=seconds + 15.0,
                ):
                    if event["type"] != "BOOKMARK":
                        apply(event["type"], event["raw_object"])
                version = stream.resource_version

    async def _follow_secrets(self) -> None:
        directory = self._directory
        await directory.classes_changed.wait()
        while True:
            directory.classes_changed.clear()
            directory.replace_secrets(await self._persistently("read secrets", self._read_secrets))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.secrets_seconds):
                    await directory.classes_changed.wait()

    async def _read_secrets(self) -> dict[str, Mapping[str, str]]:
        names = sorted(self._directory.wanted_secrets())
        read = {name: await self._read_secret(name) for name in names}
        return {name: content for name, content in read.items() if content is not None}

    async def _read_secret(self, name: str) -> Mapping[str, str] | None:
        try:
            secret = await self._core.read_namespaced_secret(name, self._namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return {
            key: text for key, value in (secret.data or {}).items() if (text := _decode(value)) is not None
        }

    async def _persistently(self, what: str, operation: Callable[[], Any]) -> Any:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_TROUBLE),
            wait=wait_random_exponential(multiplier=0.5, max=self._pace.longest_wait),
            before_sleep=partial(_log_retry, what),
        )

        async def attempt() -> Any:
            return await operation()

        return await retrying(attempt)


def _decode(value: str | bytes) -> str | None:
    try:
        return base64.b64decode(value).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None


def _log_retry(what: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    log.warning("%s failed (try %d), trying again: %s", what, state.attempt_number, _reason(error))


def _reason(error: BaseException | None) -> str:
    # never the body: it may be a Secret
    return (
        f"{error.status} {error.reason}"
        if isinstance(error, ApiException)
        else f"{type(error).__name__}: {error}"
    )
