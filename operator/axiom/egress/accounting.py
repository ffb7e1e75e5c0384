"""The accounts of tasks: what each used since this process started, and whether it may go on.

A task's budget is known in two ways. Its token carries it, as it was when the attempt began: so a proxy that nobody speaks
with holds it, too. The operator tells it again every few seconds, with what other processes of the proxy counted: so it
may be raised while the task runs, and a proxy that was started anew knows what was spent before.

What is in flight when a budget is reached is let finish. So for each call of a model the most that it can cost is set aside
until it is paid, and what is left then decides whether another may go out beside it (`reserving`): a task may pass its budget
by one answer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import Field

from axiom.api.usage import MAX_HOSTS, HostTraffic, ProxyUsage, dollars_shown
from axiom.egress.errors import SpentError
from axiom.egress.metering import Certainty, Reading
from axiom.egress.model_apis import Kind, Tokens
from axiom.egress.pricing import OTHER_MODELS, Tariff, dearest, tariff_of
from axiom.egress.reserving import Most, OpenCalls
from axiom.egress.tokens import Grant, errand_of
from axiom.egress.weather import Sight, Weather
from axiom_sandbox.protocol.model import Message

log = logging.getLogger(__name__)

_KEPT_SECONDS = 3600
"""How long an account stays after its last token has expired."""
_TOLD_SECONDS = 15
"""How long that counts which others were told to have open: five times as long as it takes to be told anew."""


class Allowance(Message):
    """What the operator knows of a task that runs."""

    budget: int | None = None
    """Micro-dollars; None where it has none."""
    elsewhere: int = 0
    """Micro-dollars that other processes of the proxy counted."""
    open_elsewhere: int = 0
    """Micro-dollars that the calls cost at most which they have open."""


class Question(Message):
    """What the operator asks of one process of the proxy: `POST /v1/usage`."""

    proxy: str = ""
    """The process that is meant; to any other the allowances say nothing, as it may be among those `elsewhere`."""
    since: int = 0
    """The revision that was answered last; only accounts that changed after it are told. 0: all."""
    allowances: dict[str, Allowance] = {}
    """All tasks that run, by UID."""


class Answer(Message):
    """What a process of the proxy answers."""

    proxy: str
    """The process: made up anew each time that it starts."""
    revision: int
    usage: dict[str, ProxyUsage] = Field(default={})
    """By the task's UID."""
    open: dict[str, int] = Field(default={})
    """Micro-dollars that the calls of a task cost at most which are open here; tasks without a budget are left out."""
    vendors: dict[str, Sight] = Field(default={})
    """How the vendors' APIs do, by host."""


@dataclass
class _Account:
    """One task's numbers."""

    agent_class: str
    kept_until: float = 0
    revision: int = 0
    cost: int | None = None
    dearest: int = 0
    """What the dearest answer cost."""
    counts: dict[str, int] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)

    def add(self, **numbers: int) -> None:
        for name, number in numbers.items():
            self.counts[name] = self.counts.get(name, 0) + number


class Charge(NamedTuple):
    """What was put on an account for one answer, for the metrics."""

    model: str
    """As a price names it, else OTHER_MODELS."""
    tokens: Tokens
    cost: int
    """Micro-dollars; 0 without a price."""


class Accounts:
    """All accounts of one process."""

    def __init__(
        self, changed: Callable[[str], None] = lambda task_id: None, *, has_operator: bool = False
    ) -> None:
        """`changed` is called with a task's UID whenever its account grew.

        `has_operator`: one will tell of tasks. Until then nobody knows here what a task has spent elsewhere.
        """
        self.proxy = secrets.token_hex(8)
        self.weather = Weather()
        self._changed, self._has_operator = changed, has_operator
        self._calls: dict[str, OpenCalls] = {}
        self._told_at = float("-inf")
        self._revision = 0
        self._told_revision = 0
        self._was_told = asyncio.Event()
        self._accounts: dict[str, _Account] = {}
        self._allowances: Mapping[str, Allowance] = {}

    def refusal(self, grant: Grant, kind: Kind) -> str:
        """Why this request must not go out, for its agent to read; empty if it may."""
        budget = self._budget(grant)
        if budget is None or kind is Kind.FREE:
            return ""
        if kind is Kind.UNKNOWN:
            return (
                "the task has a budget, and what this request costs is not known;"
                " only calls of models that answer at once are let out"
            )
        account, spent = self._accounts.get(grant.task_id), self._spent(grant)
        if spent >= budget:
            return (
                f"the task's budget is spent: {dollars_shown(spent)} of {dollars_shown(budget)};"
                " the task ends, do not try again"
            )
        if account and (account.counts.get("unmeasured") or account.counts.get("unpriced")):
            return (
                "the task's budget cannot be held: an answer told no usage, or came from a model without a"
                " price; the task ends, do not try again"
            )
        return ""

    def has_budget(self, grant: Grant) -> bool:
        """Whether what the task may spend is bounded, as far as is known here."""
        return self._budget(grant) is not None

    @asynccontextmanager
    async def reserved(self, grant: Grant, most: Most, seconds: float) -> AsyncIterator[None]:
        """Waits until a call of a model may go out, and holds what it costs at most (`most`) until it was charged.

        Raises:
            SpentError: there is nothing left of the budget.
            RefusedError: calls that are open may need the rest, and none ended within so many seconds.
        """
        calls = self._calls.setdefault(grant.task_id, OpenCalls())
        try:
            async with calls.opened(
                lambda: self._most(grant, most),
                lambda: self._left(grant),
                lambda: self._open_elsewhere(grant.task_id),
                seconds,
            ):
                yield
        finally:
            if calls.is_empty:
                self._calls.pop(grant.task_id, None)

    def _budget(self, grant: Grant) -> int | None:
        if told := self._allowances.get(grant.task_id):
            return told.budget
        return None if grant.budget < 0 else grant.budget

    def _spent(self, grant: Grant) -> int:
        told, account = self._allowances.get(grant.task_id), self._accounts.get(grant.task_id)
        return (told.elsewhere if told else 0) + ((account.cost or 0) if account else 0)

    def _left(self, grant: Grant) -> int | None:
        if refusal := self.refusal(grant, Kind.CALL):
            raise SpentError(refusal)
        budget = self._budget(grant)
        return None if budget is None else budget - self._spent(grant)

    def _most(self, grant: Grant, most: Most) -> Most:
        account = self._accounts.get(grant.task_id)
        is_known = grant.task_id in self._allowances or not self._has_operator
        if most is None or not is_known or account is None or account.cost is None:
            return None
        # a question may understate what it costs: by another name of its model, say
        return max(most, account.dearest)

    def _open_elsewhere(self, task_id: str) -> int:
        told = self._allowances.get(task_id)
        return told.open_elsewhere if told and time.monotonic() - self._told_at < _TOLD_SECONDS else 0

    def charge(self, grant: Grant, reading: Reading, tariffs: Sequence[Tariff]) -> Charge:
        """Puts an answer on its task's account."""
        account = self._open(grant)
        if not reading.model and reading.certainty is Certainty.ESTIMATED:
            tariff = dearest(tariffs)
        else:
            tariff = tariff_of(tariffs, reading.model)
        tokens = reading.tokens
        account.add(
            requests=1,
            input_tokens=tokens.input + tokens.cached_input + tokens.cache_write,
            cached_input_tokens=tokens.cached_input,
            cache_write_tokens=tokens.cache_write,
            output_tokens=tokens.output,
            estimated=int(reading.certainty is Certainty.ESTIMATED),
            unmeasured=int(reading.certainty is Certainty.UNTOLD),
            unpriced=int(tariff is None and reading.certainty is not Certainty.UNTOLD),
        )
        cost = tariff.cost(tokens) if tariff else 0
        if tariff:
            account.cost = (account.cost or 0) + cost
            account.dearest = max(account.dearest, cost)
        self._touch(grant.task_id, account)
        return Charge(tariff.model if tariff else OTHER_MODELS, tokens, cost)

    def note_traffic(self, grant: Grant, host: str, down: int) -> None:
        """So many more bytes came to the task's agent from a destination of its class."""
        if not down or errand_of(grant.agent_class)[1] is not None:
            return
        account = self._open(grant)
        account.reached[host] = account.reached.get(host, 0) + down
        self._touch(grant.task_id, account)

    def note_unknown(self, grant: Grant) -> None:
        """A request of which nobody knows what it cost was answered."""
        account = self._open(grant)
        account.add(requests=1, unmeasured=1)
        self._touch(grant.task_id, account)

    def usage_of(self, task_id: str) -> ProxyUsage | None:
        """A task's account; None where it has none."""
        account = self._accounts.get(task_id)
        return self._told(account) if account else None

    def answer(self, question: Question, now: float) -> Answer:
        """Takes what the operator tells, and tells what it asks. `now` is in seconds since the epoch."""
        if question.proxy == self.proxy:
            self._allowances, self._told_at = question.allowances, time.monotonic()
            for calls in self._calls.values():
                calls.tell()
        self._accounts = {key: one for key, one in self._accounts.items() if one.kept_until > now}
        changed = {key: one for key, one in self._accounts.items() if one.revision > question.since}
        self._told_revision = self._revision
        self._was_told.set()
        return Answer(
            proxy=self.proxy,
            revision=self._revision,
            usage={key: self._told(account) for key, account in changed.items()},
            open={key: most for key, calls in self._calls.items() if (most := self._open_here(key, calls))},
            vendors=self.weather.sights(),
        )

    async def wait_until_told(self, seconds: float) -> None:
        """Until the operator has asked for what is on the accounts now, but no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                while self._told_revision < self._revision:
                    self._was_told.clear()
                    await self._was_told.wait()
        except TimeoutError:
            log.warning("the operator did not ask for the last numbers; what it does not know is lost")

    def _open(self, grant: Grant) -> _Account:
        account = self._accounts.setdefault(grant.task_id, _Account(grant.agent_class))
        account.kept_until = max(account.kept_until, grant.expires + _KEPT_SECONDS)
        return account

    def _touch(self, task_id: str, account: _Account) -> None:
        self._revision += 1
        account.revision = self._revision
        self._changed(task_id)

    def _open_here(self, task_id: str, calls: OpenCalls) -> int:
        """Calls of which nobody can say what they cost may need the whole budget."""
        told = self._allowances.get(task_id)
        if told is None or told.budget is None or calls.most == 0:
            return 0
        return told.budget if calls.most is None else calls.most

    def _told(self, account: _Account) -> ProxyUsage:
        reached = [HostTraffic(host=host, down=down) for host, down in sorted(account.reached.items())]
        return ProxyUsage(
            proxy=self.proxy, cost_micro_usd=account.cost, reached=reached[:MAX_HOSTS], **account.counts
        )
