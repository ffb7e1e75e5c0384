"""`axiom run --cluster`: the task is the cluster's; we bring it there and look on."""

from __future__ import annotations

import asyncio
import signal
import time

from rich.console import Console

from axiom.api.agenttask import AgentTask
from axiom.api.explaining import Problem
from axiom.api.loading import RefusedError, load_task
from axiom.backends.contract import CannotRunError
from axiom.cli.forking import from_checkpoint
from axiom.cli.run import Order
from axiom.cli.showing import Interruption, Progress
from axiom.cluster.api import Api
from axiom.cluster.errors import LoginError
from axiom.cluster.kubeconfig import log_in
from axiom.running.remote import RemoteRun
from axiom.running.results import Result, of_cluster

_USER_AGENT = "axiom-run"


def run_on_cluster(order: Order, console: Console) -> Result:
    """Raises RefusedError, CannotRunError; Interruption, after which the task goes on."""
    task = from_checkpoint(load_task(order.task), order.checkpoint)
    own = str(task.metadata.get("namespace") or "")
    if order.namespace and own and own != order.namespace:
        problem = Problem(
            "metadata.namespace", f"is {own!r}, and --namespace {order.namespace!r}; leave one out"
        )
        raise RefusedError(task.name, [problem])
    try:
        login = log_in(order.kubeconfig, order.context)
    except LoginError as error:
        raise CannotRunError(str(error)) from error
    began = time.monotonic()
    progress = Progress(console, began)
    remote = RemoteRun(
        Api(_USER_AGENT, login.connect),
        task,
        order.namespace or own or login.namespace,
        progress,
        progress.say,
    )
    try:
        ended = asyncio.run(_follow(remote))
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        said = f"not followed any more; the task, where it was created, goes on: {remote.cure}"
        raise Interruption(error, said) from error
    return of_cluster(ended, time.monotonic() - began)


async def _follow(remote: RemoteRun) -> AgentTask:
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    async with remote.api:
        return await remote.run()
