"""The operator's process: takes the Lease, fills the caches, works until it is told to stop or the Lease is lost."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from axiom.clocks import SteadyClock
from axiom.cluster.api import Api
from axiom.cluster.channels import Connect, connector
from axiom.cluster.resources import (
    AGENT_CLASSES,
    AGENT_TASKS,
    PODS,
    VERIFICATION_PROFILES,
    Object,
    name_of,
    uid_of,
)
from axiom.cluster.watching import Cache, Watcher
from axiom.egress.settings import TokenKeys
from axiom.environment import SettingsError
from axiom.manifests.naming import ALL_PODS_SELECTOR, NotASandboxPodError, identity_of
from axiom.manifests.network_policies import Installation
from axiom.manifests.pods import CHANNEL_PORT, Egress, Images
from axiom.operations import operations_app, serving
from axiom.reconciling.applying import Applier, Surroundings
from axiom.reconciling.collecting import Account, Collector, account_of, asker, finder
from axiom.reconciling.following import Sandboxes
from axiom.reconciling.lease import Lease
from axiom.reconciling.metrics import Metrics
from axiom.reconciling.narrating import Narrator
from axiom.reconciling.reconciler import Reconciler
from axiom.reconciling.settings import OperatorSettings
from axiom.reconciling.vendors import Vendors
from axiom_sandbox.protocol.agents import DriverName

log = logging.getLogger(__name__)

_ASTRAY_SECONDS = 30.0
_COMPARE_SECONDS = 5.0


class Operator:
    """Everything that the operator consists of, wired together; nothing of it runs yet."""

    def __init__(
        self,
        api: Api,
        settings: OperatorSettings,
        metrics: Metrics,
        connect: Connect,
        clock: Callable[[], datetime],
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """`clock` gives a time that does not jump; `fence` raises LeaseLostError where another operator may be acting."""
        self.tasks = Cache(AGENT_TASKS, changed=self._task_changed)
        self.classes = Cache(AGENT_CLASSES, changed=self._class_changed)
        self.profiles = Cache(
            VERIFICATION_PROFILES, changed=lambda item, _: self.reconciler.wake_profile(item)
        )
        self.pods = Cache(PODS, ALL_PODS_SELECTOR, changed=self._pod_changed)
        self.sandboxes = Sandboxes(connect, self._sandbox_changed)
        self.narrator = Narrator(api, settings.lease.identity)
        around = surroundings(settings)
        applier = Applier(api, self.pods, self.tasks, self.sandboxes, connect, around, fence)
        self.vendors = Vendors(clock)
        self.collector = Collector(
            finder(api, settings.namespace),
            asker(around.token_key, clock),
            self._accounts,
            self._usage_changed,
            metrics.usage_errors.inc,
            self.vendors,
            self._weather_changed,
        )
        self.reconciler = Reconciler(
            self.tasks, self.classes, self.profiles, self.sandboxes, applier, self.narrator, metrics, self.collector,
            self.vendors, settings.concurrency, clock,
        )  # fmt: skip
        self._metrics = metrics
        metrics.watch(self)

    async def close(self) -> None:
        """Stops workers and long polls."""
        await self.reconciler.close()
        await self.collector.close()
        await self.sandboxes.close()

    def _accounts(self) -> Iterator[Account]:
        return (account for task in self.tasks if (account := account_of(task)))

    def _usage_changed(self, task_id: str) -> None:
        task = self.tasks.get(task_id)
        if task is not None and (task["spec"].get("limits") or {}).get("budget"):
            self.reconciler.wake(task_id)

    def _weather_changed(self) -> None:
        for account in self._accounts():
            self.reconciler.wake(account.task_id)

    def _task_changed(self, item: Object, is_there: bool) -> None:
        if is_there:
            self.reconciler.wake(uid_of(item))
        else:
            self.reconciler.forget(uid_of(item))
        status = item.get("status") or {}
        if not is_there or status.get("completionTime") or status.get("checkpoints"):
            self.reconciler.wake_followers(item)

    def _class_changed(self, item: Object, is_there: bool) -> None:
        if is_there:
            self._metrics.note_class(name_of(item), item["spec"].get("driver") or DriverName.GENERIC)
        self.reconciler.wake_class(name_of(item))

    def _sandbox_changed(self, task_id: str) -> None:
        self.reconciler.wake(task_id)

    def _pod_changed(self, item: Object, is_there: bool) -> None:
        try:
            identity = identity_of(item)
        except NotASandboxPodError as error:
            log.warning("%s", error)
            return
        if self.tasks.get(identity.task_id) is None:
            return  # its task is gone, and it follows by itself
        if is_there:
            self.sandboxes.see(identity, item)
        else:
            self.sandboxes.lose(identity, uid_of(item))


async def run(settings: OperatorSettings) -> None:
    """Until SIGTERM or SIGINT. Raises LeaseLostError, SettingsError, ApiError."""
    stopped = asyncio.Event()
    async with AsyncExitStack() as stack:
        metrics = Metrics(channel_tls=settings.channel_tls)
        # Its own connections: a renewal never waits behind the work.
        lease_api = await stack.enter_async_context(
            Api("axiom-operator", on_write=metrics.count_write, on_answer=metrics.api.note)
        )
        lease = Lease(lease_api, settings.lease)

        def before_write(verb: str, resource: str) -> None:
            lease.check()
            metrics.count_write(verb, resource)

        api = await stack.enter_async_context(
            Api("axiom-operator", on_write=before_write, on_answer=metrics.api.note)
        )
        clock = SteadyClock()
        metrics.clock_offset.set_function(clock.offset_seconds)
        operator = Operator(api, settings, metrics, connector(settings.channel_tls), clock, lease.check)
        stack.push_async_callback(operator.close)
        is_ready = asyncio.Event()
        app = operations_app(metrics.render, is_ready.is_set)
        await stack.enter_async_context(serving(app, settings.listen_host, settings.listen_port))
        _on_signals(stopped.set)
        work = asyncio.create_task(_act(api, lease, operator, metrics, clock, is_ready, stopped))
        await asyncio.wait(
            {work, stopping := asyncio.create_task(stopped.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        stopping.cancel()
        is_lost = work.done()
        work.cancel()
        outcome = (await asyncio.gather(work, return_exceptions=True))[0]
        await operator.close()
        if is_lost and isinstance(outcome, Exception):
            raise outcome
        await lease.release()


async def _act(
    api: Api,
    lease: Lease,
    operator: Operator,
    metrics: Metrics,
    clock: SteadyClock,
    is_ready: asyncio.Event,
    stopped: asyncio.Event,
) -> None:
    """Runs for ever once the Lease is held; raises whatever of its parts fails."""
    await lease.acquire()
    metrics.lease_held.set(1)
    watcher = Watcher(
        api, (operator.classes, operator.profiles, operator.tasks, operator.pods), metrics.watches
    )
    await watcher.fill()
    if api.server_time is not None:
        clock.set(api.server_time)
    operator.vendors.go_on_from(lease.notes)
    parts = [
        asyncio.create_task(part)
        for part in (
            lease.keep(operator.vendors.notes),
            watcher.run(),
            operator.narrator.run(),
            operator.collector.run(),
            _compare_clocks(clock),
            _retake(watcher, stopped),
        )
    ]
    operator.reconciler.open()
    is_ready.set()
    try:
        done, _ = await asyncio.wait(parts[:4], return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()
        if not stopped.is_set():
            raise SettingsError("the watches ended by themselves; see the log")
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


async def _compare_clocks(clock: SteadyClock) -> None:
    """Says once that the machine's clock went astray, and once that it is right again."""
    was_astray = False
    while True:
        offset = clock.offset_seconds()
        is_astray = abs(offset) > _ASTRAY_SECONDS
        if is_astray and not was_astray:
            log.warning(
                "this machine's clock is %+.0f s off the API server's; tasks are not measured by it, but certificates and"
                " logs are: mend the clock",
                offset,
            )
        elif was_astray and not is_astray:
            log.info("this machine's clock agrees with the API server's again")
        was_astray = is_astray
        await asyncio.sleep(_COMPARE_SECONDS)


async def _retake(watcher: Watcher, stopped: asyncio.Event) -> None:
    """kopf installs handlers of its own for signals; what a signal means is decided here."""
    await watcher.wait_until_ready()
    _on_signals(stopped.set)


def _on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def surroundings(settings: OperatorSettings) -> Surroundings:
    """What pods are made with. Raises SettingsError."""
    keys = TokenKeys(settings.token_keys)
    authority = Authority(settings.channel_tls / "ca.crt")
    return Surroundings(
        images=Images(settings.supervisor_image, settings.verifier_image, settings.browser_image),
        client_ca=authority.current,
        egress=_egress(settings.egress),
        token_key=lambda: keys.current()[0],
        fetch_ca=settings.fetch_ca,
        installation=_installation(settings),
    )


class Authority:
    """The certificates that sandboxes trust, in a file that may be replaced while the operator runs."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError when the file cannot be read."""
        self._path = path
        try:
            self._known = path.read_text()
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}") from error

    def current(self) -> str:
        """As they are now; while the file cannot be read, as they were."""
        try:
            self._known = self._path.read_text() or self._known
        except OSError as error:
            log.warning("the authority of sandboxes' clients stays as it was: %s", error)
        return self._known


def _installation(settings: OperatorSettings) -> Installation | None:
    if not settings.network_policies:
        return None
    egress_port = settings.egress[1] if settings.egress else Egress.port
    return Installation(settings.namespace, CHANNEL_PORT, egress_port, settings.fetch_also)


def _egress(address: tuple[str, int] | None) -> Callable[[], Awaitable[Egress | None]]:
    async def resolve() -> Egress | None:
        if address is None:
            return None
        host, port = address
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return Egress(address=str(found[0][4][0]), port=port)

    return resolve
