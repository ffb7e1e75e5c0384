"""`python -m axiom.egress`: the proxy on a cluster. Settings: see `settings.read_settings`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any

from aiohttp import web
from kubernetes.aio import client

from axiom.egress.accounting import Accounts
from axiom.egress.errors import SettingsError
from axiom.egress.live_directory import LiveDirectory
from axiom.egress.metrics import Metrics
from axiom.egress.proxy import create_app, create_operations_app, create_runner
from axiom.egress.serving import listen_tcp
from axiom.egress.settings import ServerSettings, TokenKeys, read_settings
from axiom.egress.watching import ClusterWatcher, load_cluster_config

log = logging.getLogger("axiom.egress")

_SHUTDOWN_SECONDS = 18
"""How long requests in flight may go on after SIGTERM."""
_LAST_WORD_SECONDS = 8
"""How long the operator then has to ask for the last numbers; both together are less than a pod's 30 s of grace."""


def main() -> int:
    """Runs until SIGTERM or SIGINT. Exit code 0, or 2 for settings that cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        asyncio.run(serve(read_settings(os.environ)))
    except SettingsError as error:
        log.error("%s", error)
        return 2
    return 0


async def serve(settings: ServerSettings) -> None:
    """Serves agents until the process is told to stop; requests in flight are finished. Raises SettingsError."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    keys = TokenKeys(settings.token_keys)
    directory, metrics, accounts = LiveDirectory(), Metrics(), Accounts(has_operator=True)
    app = create_app(settings.proxy, keys.current, directory, metrics, accounts=accounts)
    proxy = create_runner(app, _SHUTDOWN_SECONDS)
    operations = web.AppRunner(
        create_operations_app(metrics, lambda: directory.is_ready, accounts, keys.current), access_log=None
    )
    await load_cluster_config()
    async with client.ApiClient() as api:
        watching = asyncio.create_task(ClusterWatcher(api, directory, settings.namespace).run())
        try:
            log.info("agents are served on %s port %d", *await listen_tcp(proxy, settings.listen))
            address = await listen_tcp(operations, settings.metrics)
            log.info("/healthz and /metrics are on %s port %d", *address)
            await _first_of(watching, asyncio.create_task(stopped.wait()))
        finally:
            await proxy.cleanup()
            await accounts.wait_until_told(_LAST_WORD_SECONDS)
            await operations.cleanup()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


if __name__ == "__main__":
    sys.exit(main())
