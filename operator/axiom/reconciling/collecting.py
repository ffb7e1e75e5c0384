"""What tasks used, asked of every process of the egress proxy, every few seconds while tasks run.

The numbers stay in memory here, and go into a task's status with what is written anyway. In the same request each process
is told the budgets of the tasks that run, and what the others counted. A process is found by its pod's labels, so one that
is about to end is still asked, and one that is not asked in time holds the budgets that it was told last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import aiohttp

from axiom.api.conditions import ConditionType
from axiom.api.usage import ProxyUsage, micro_dollars
from axiom.cluster.api import Api
from axiom.cluster.channels import address_of
from axiom.cluster.errors import ApiError
from axiom.cluster.resources import PODS, Object, name_of, uid_of
from axiom.egress.accounting import Allowance, Answer, Question
from axiom.egress.asking import ask
from axiom.manifests.network_policies import COMPONENT_LABEL, NAME_LABEL
from axiom.planning.observed import Observed
from axiom.planning.spending import merged, spend_of
from axiom.planning.statuses import is_true
from axiom.reconciling.vendors import Vendors
from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.identity import Role

log = logging.getLogger(__name__)

EGRESS_PODS = f"{NAME_LABEL}=axiom,{COMPONENT_LABEL}=egress"
"""Label selector of the proxy's pods, in the installation's namespace."""
_INTERVAL_SECONDS = 3.0
_SEARCH_SECONDS = 15.0
"""Between two lists of the proxy's pods, unless one does not answer."""
_PATIENCE = aiohttp.ClientTimeout(total=2)
_TROUBLE = (aiohttp.ClientError, OSError, TimeoutError, ValueError)

Ask = Callable[[str, Question], Awaitable[Answer]]
"""Asks the process at an address `http://host:port`."""


class Account(NamedTuple):
    """A task that runs, as the proxies have to know it."""

    task_id: str
    budget: int | None
    """Micro-dollars."""
    written: Sequence[ProxyUsage]
    """What its status holds already."""


class Moment(NamedTuple):
    """A rest of a task's agent."""

    attempt: int
    round: int
    phase: Phase


def moment_of_rest(observed: Observed) -> Moment | None:
    """When nothing can be used before the agent goes on, or any more; None while it may work, or never has a model."""
    agent = observed.sandbox(Role.AGENT, observed.task.status.attempt)
    if agent is None or agent.state is None or is_true(observed.task.status, ConditionType.COMPLETE):
        return None
    if observed.agent_class is not None and not observed.agent_class.spec.credentials:
        return None
    if agent.phase is not Phase.ROUND_ENDED and not agent.over:
        return None
    return Moment(agent.identity.attempt, agent.state.round, agent.state.phase)


def account_of(task: Object) -> Account | None:
    """From an AgentTask's JSON; None where nothing can be used any more, or yet."""
    status, spec = task.get("status") or {}, task.get("spec") or {}
    if not status.get("attempt") or status.get("completionTime"):
        return None
    try:
        usd = ((spec.get("limits") or {}).get("budget") or {}).get("usd")
        proxies = (status.get("usage") or {}).get("proxies") or ()
        written = [ProxyUsage.model_validate(item) for item in proxies]
        return Account(uid_of(task), micro_dollars(usd) if usd else None, written)
    except ValueError:
        return None  # its own worker says what is wrong with it


class Collector:
    """Holds what every process said last."""

    def __init__(
        self,
        find: Callable[[], Awaitable[Iterable[str]]],
        ask: Ask,
        accounts: Callable[[], Iterator[Account]],
        changed: Callable[[str], None] = lambda task_id: None,
        failed: Callable[[], None] = lambda: None,
        vendors: Vendors | None = None,
        weather_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            find: addresses of all processes of the proxy. Raises ApiError.
            ask: asks one.
            accounts: all tasks that run.
            changed: called with a task's UID when it used more.
            failed: called when a process did not answer.
            vendors: told what each process saw of the vendors.
            weather_changed: called when tasks begin or cease to wait for a vendor.
        """
        self._find, self._ask, self._accounts = find, ask, accounts
        self._changed, self._failed = changed, failed
        self._vendors, self._weather_changed = vendors, weather_changed
        self._addresses: list[str] = []
        self._found_at = float("-inf")
        self._revisions: dict[str, tuple[str, int]] = {}
        """By address: which process answered there, and its last revision."""
        self._open: dict[str, Mapping[str, int]] = {}
        """By address: what the calls of each task cost at most that are open there."""
        self._usage: dict[str, tuple[ProxyUsage, ...]] = {}
        self._collecting: asyncio.Task[bool] | None = None
        self._is_silent: set[str] = set()

    def usage_of(self, task_id: str) -> tuple[ProxyUsage, ...]:
        """What is known of a task."""
        return self._usage.get(task_id, ())

    def forget(self, task_id: str) -> None:
        """The task is gone."""
        self._usage.pop(task_id, None)

    async def run(self) -> None:
        """Collects until cancelled, while tasks run."""
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            if next(self._accounts(), None) is not None:
                await self.collect()

    async def collect(self, *, anew: bool = False) -> bool:
        """Asks all processes now. What is asked for meanwhile waits for one more round, shared by all who wait.

        `anew`: also those that have come since they were looked for last. Returns whether all of them answered.
        """
        if anew:
            self._found_at = float("-inf")
        under_way = self._collecting
        if under_way is not None and not under_way.done():
            await asyncio.wait([under_way])  # it began before: it may have missed what we ask for
        if self._collecting is None or self._collecting is under_way or self._collecting.done():
            self._collecting = asyncio.create_task(self._collect(), name="collect usage")
        return await asyncio.shield(self._collecting)  # others wait for it, too

    async def close(self) -> None:
        """Stops what is under way."""
        if self._collecting is not None:
            self._collecting.cancel()
            await asyncio.gather(self._collecting, return_exceptions=True)

    async def _collect(self) -> bool:
        accounts = list(self._accounts())
        known = {
            account.task_id: merged(account.written, self.usage_of(account.task_id)) for account in accounts
        }
        knows_all = await self._search()
        await asyncio.gather(*(self._question(address, accounts, known) for address in self._addresses))
        if self._vendors is not None:
            self._vendors.keep(process for process, _ in self._revisions.values())
            if self._vendors.look():
                self._weather_changed()
        return knows_all and not self._is_silent

    async def _search(self) -> bool:
        """Whether it is known which processes there are."""
        if time.monotonic() - self._found_at < _SEARCH_SECONDS and not self._is_silent:
            return True
        try:
            self._addresses = sorted(await self._find())
        except ApiError as error:
            log.warning("the egress proxy's pods cannot be listed: %s", error)
            return False
        self._found_at = time.monotonic()
        self._revisions = {key: value for key, value in self._revisions.items() if key in self._addresses}
        self._open = {key: value for key, value in self._open.items() if key in self._addresses}
        self._is_silent &= set(self._addresses)
        return True

    async def _question(
        self, address: str, accounts: Sequence[Account], known: Mapping[str, Sequence[ProxyUsage]]
    ) -> None:
        try:
            proxy = self._revisions.get(address, ("", 0))[0]
            answered = await self._exchange(address, proxy, accounts, known)
            if answered != proxy:  # a process that was not known: what was told was not for it
                await self._exchange(address, answered, accounts, known)
        except _TROUBLE as error:
            self._failed()
            if address not in self._is_silent:
                log.warning("the egress proxy at %s does not tell usage: %s", address, type(error).__name__)
            self._is_silent.add(address)
        else:
            self._is_silent.discard(address)

    async def _exchange(
        self,
        address: str,
        proxy: str,
        accounts: Sequence[Account],
        known: Mapping[str, Sequence[ProxyUsage]],
    ) -> str:
        """Asks the process that is thought to be there. Returns which one answered."""
        known_as, since = self._revisions.get(address, ("", 0))
        allowances = {
            account.task_id: Allowance(
                budget=account.budget,
                elsewhere=_elsewhere(known[account.task_id], proxy),
                open_elsewhere=sum(
                    opened.get(account.task_id, 0) for other, opened in self._open.items() if other != address
                ),
            )
            for account in accounts
        }
        answer = await self._ask(address, Question(proxy=proxy, since=since, allowances=allowances))
        if self._vendors is not None:
            self._vendors.see(answer.proxy, answer.vendors)
        # one that was started anew may have told less than all: its revisions began at 0 again
        is_all = answer.proxy == known_as or since == 0
        self._revisions[address] = answer.proxy, answer.revision if is_all else 0
        self._open[address] = answer.open
        for task_id, usage in answer.usage.items():
            self._note(task_id, usage, task_id in known)
        return answer.proxy

    def _note(self, task_id: str, usage: ProxyUsage, is_running: bool) -> None:
        before = self._usage.get(task_id, ())
        after = merged(before, (usage,))
        if after != before and is_running:
            self._usage[task_id] = after
            self._changed(task_id)


def _elsewhere(sources: Iterable[ProxyUsage], proxy: str) -> int:
    return spend_of(source for source in sources if source.proxy != proxy) or 0


def finder(api: Api, namespace: str) -> Callable[[], Awaitable[Iterable[str]]]:
    """Finds the proxy's pods of an installation; each names its port as `metrics`."""

    async def find() -> list[str]:
        pods = await api.list(PODS, EGRESS_PODS, namespace)
        return [f"http://{_bracketed(address_of(pod))}:{port}" for pod in pods if (port := _port_of(pod))]

    return find


def asker(key: Callable[[], bytes], now: Callable[[], datetime]) -> Ask:
    """Asks by HTTP, with a key of tokens. `now` gives the time that the question is dated by."""

    async def ask_one(address: str, question: Question) -> Answer:
        # a connection of its own: every few seconds, and to a process that may be another by then
        async with aiohttp.ClientSession(timeout=_PATIENCE) as session:
            return await ask(session, address, key(), question, now().timestamp())

    return ask_one


def _port_of(pod: Object) -> int | None:
    """None for a pod that has no address (yet), or has ended."""
    if not address_of(pod) or pod.get("status", {}).get("phase") not in ("Running", "Pending"):
        return None
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
    found = next((port["containerPort"] for port in ports if port.get("name") == "metrics"), None)
    if found is None:
        log.warning("pod %s of the egress proxy names no port `metrics`", name_of(pod))
    return found


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
