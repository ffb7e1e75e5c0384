"""The gateway's process: connects to storage, fills its caches, carries and serves until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack

from axiom.cluster.api import Api
from axiom.cluster.channels import connector
from axiom.cluster.watching import Watcher
from axiom.egress.settings import TokenKeys
from axiom.egress.tokens import Purpose, errand_grant, mint
from axiom.errands.envoy import Envoy, PageCache, Way
from axiom.gateway.authenticating import Gatekeeper
from axiom.gateway.metrics import Metrics
from axiom.gateway.service import Gateway
from axiom.gateway.serving import Pages
from axiom.gateway.settings import GatewaySettings
from axiom.operations import operations_app, serving
from axiom.storage.ciphers import Keyring
from axiom.storage.encrypted import EncryptedStore
from axiom.storage.measured import MeasuredStore
from axiom.storage.s3 import S3Store
from axiom.storage.store import ObjectStore, UnavailableError
from axiom_sandbox.protocol.identity import Identity

log = logging.getLogger(__name__)


async def run(settings: GatewaySettings) -> None:
    """Until SIGTERM or SIGINT. Raises StorageError, ApiError, OSError."""
    stopped, is_ready = asyncio.Event(), asyncio.Event()
    _on_signals(stopped)
    metrics = Metrics(settings.channel_tls)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            serving(operations_app(metrics.render, is_ready.is_set), *settings.metrics)
        )
        bucket = S3Store(settings.storage)
        stack.callback(bucket.close)
        await _prove(bucket)
        store: ObjectStore = MeasuredStore(bucket, metrics)
        if settings.keyring:
            keyring = Keyring(settings.keyring)
            keyring.check()
            store = EncryptedStore(store, keyring)
        api = await stack.enter_async_context(Api("axiom-gateway", on_answer=metrics.api.note))
        gateway = Gateway(
            api, store, connector(settings.channel_tls), settings.scratch, metrics, _messengers(settings)
        )
        stack.push_async_callback(gateway.close)
        watcher = Watcher(api, (gateway.tasks, gateway.pods), metrics.watches)
        await watcher.fill()
        gateway.close_lost()
        pages = Pages(gateway, store, Gatekeeper(api), metrics).application()
        port = await stack.enter_async_context(serving(pages, *settings.listen))
        log.info("people are served on %s port %d", settings.listen[0], port)
        is_ready.set()
        await _until_stopped(watcher, stopped)


def _messengers(settings: GatewaySettings) -> Callable[[Identity, str], Envoy] | None:
    """Who does the errands of verifiers. Raises SettingsError."""
    if not settings.egress or settings.token_keys is None:
        return None
    keys, way = TokenKeys(settings.token_keys), Way(f"http://{settings.egress}")
    pages: defaultdict[str, PageCache] = defaultdict(PageCache)

    def envoy(identity: Identity, agent_class: str) -> Envoy:
        def token(purpose: Purpose) -> str:
            return mint(keys.current()[0], errand_grant(identity, agent_class, purpose, time.time()))

        return Envoy(way, token, pages[agent_class])

    return envoy


async def _prove(store: S3Store) -> None:
    """That storage is away now is no reason to end: sandboxes are told, and each write tries again."""
    try:
        await store.prove()
    except UnavailableError as error:
        log.warning("%s; what is to be stored waits in the sandboxes", error)


async def _until_stopped(watcher: Watcher, stopped: asyncio.Event) -> None:
    watching = asyncio.create_task(watcher.run())
    ready = asyncio.create_task(watcher.wait_until_ready())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait((watching, ready, stopping), return_when=asyncio.FIRST_COMPLETED)
    _on_signals(stopped)  # kopf put its own in their place
    await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
    failed = watching.done()
    for task in (watching, ready, stopping):
        task.cancel()
    results = await asyncio.gather(watching, ready, stopping, return_exceptions=True)
    if failed and isinstance(results[0], Exception):
        raise results[0]


def _on_signals(stopped: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
