"""What a task used, put together from what each process of the egress proxy counted, and what its budget makes of it. Pure.

A process's numbers only grow, and it has another name after a restart. So the larger of two numbers of one process is the
newer, whether it comes from the process or from the status, and nothing is lost or counted twice when either restarts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from axiom.api.agenttask import Budget
from axiom.api.conditions import Reason
from axiom.api.usage import (
    MAX_HOSTS,
    MAX_PROXIES,
    MAX_TOLD,
    HostTraffic,
    ProxyUsage,
    ToldUsage,
    UsageCounts,
    UsageStatus,
    dollars,
    dollars_shown,
    micro_dollars,
)
from axiom.planning.observed import Observed
from axiom.planning.outcomes import Outcome
from axiom_sandbox.protocol.agents import Tokens, Vitals
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Verdict

_EARLIER = "earlier"
"""Stands for the processes that were first, once there were too many to name each."""
_COUNTS = tuple(UsageCounts.model_fields)
_TOLD_COUNTS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens")


def usage_known(observed: Observed) -> tuple[ProxyUsage, ...]:
    """All that is known, from the status and from the proxies."""
    written = observed.task.status.usage
    return merged(written.proxies if written else (), observed.usage)


def merged(known: Sequence[ProxyUsage], news: Sequence[ProxyUsage]) -> tuple[ProxyUsage, ...]:
    """Each process once, with the larger of its numbers; in the order in which they came to be known."""
    found = {source.proxy: source for source in known}
    for source in news:
        before = found.get(source.proxy)
        found[source.proxy] = source if before is None else _larger(before, source)
    return _bounded(tuple(found.values()))


def told_known(observed: Observed) -> tuple[ToldUsage, ...]:
    """What the agents counted themselves, from the status and from the present one; its numbers only grow."""
    status = observed.task.status
    found = {one.attempt: one for one in (status.usage.told if status.usage else ())}
    agent = observed.sandbox(Role.AGENT, status.attempt)
    vitals = agent.state.vitals if agent and agent.state else None
    if vitals and (vitals.tokens != Tokens() or vitals.micro_usd):
        found[status.attempt] = _larger_told(found.get(status.attempt), _told(status.attempt, vitals))
    return _bounded_told(tuple(found[attempt] for attempt in sorted(found)))


def told_spend(told: Iterable[ToldUsage], besides: int | None = None) -> int:
    """Micro-dollars, by the agents' own count; `besides` this attempt."""
    return sum(one.cost_micro_usd or 0 for one in told if one.attempt != besides)


def summed_up(
    sources: Sequence[ProxyUsage], told: Sequence[ToldUsage] = (), keep: bool = True
) -> UsageStatus | None:
    """What stands in the status; None while there is nothing to tell. `keep`: with the proxies' parts."""
    if not sources and not told:
        return None
    spent = spend_of(sources)
    claimed = told_spend(told) if any(one.cost_micro_usd is not None for one in told) else None
    shown = "" if claimed is None else f"~{dollars_shown(claimed)}"
    return UsageStatus(
        **_sums(sources),
        cost_usd=None if spent is None else dollars(spent),
        told_cost_usd=None if claimed is None else dollars(claimed),
        cost=shown if spent is None else dollars_shown(spent),
        told=list(told),
        proxies=list(sources) if keep else [],
    )


def spend_of(sources: Iterable[ProxyUsage]) -> int | None:
    """Micro-dollars; None while nothing had a price."""
    costs = [source.cost_micro_usd for source in sources if source.cost_micro_usd is not None]
    return sum(costs) if costs else None


def reached_by(sources: Iterable[ProxyUsage]) -> dict[str, int]:
    """Host → bytes that came from there, by all processes together."""
    return {one.host: one.down for one in _hosts(sum, tuple(sources))}


def _hosts(together: Callable[[list[int]], int], sources: Sequence[ProxyUsage]) -> list[HostTraffic]:
    found: dict[str, list[int]] = {}
    for source in sources:
        for one in source.reached:
            found.setdefault(one.host, []).append(one.down)
    return [HostTraffic(host=host, down=together(downs)) for host, downs in sorted(found.items())][:MAX_HOSTS]


def outcome_of_spend(budget: Budget | None, observed: Observed) -> Outcome | None:
    """Fail once the budget is spent, or once it cannot be told whether it is. A budget of nothing lets no call out.

    Where both the egress proxy and the agent count, the larger number decides; by the agent's, its sandbox has ended the turn.
    """
    if budget is None:
        return None
    sources, most = usage_known(observed), micro_dollars(budget.usd)
    spent, told = spend_of(sources), told_spend(told_known(observed))
    if spent and spent >= most:
        claims = f", as the egress proxy counted; the agent counts {dollars_shown(told)}" if told else ""
        message = f"limits.budget: {dollars_shown(spent)} of ${budget.usd} was spent{claims}"
        return Outcome(Verdict.FAIL, Reason.BUDGET_EXCEEDED, message)
    if told >= most and _is_overspent(observed):
        measured = "" if spent is None else f"; the egress proxy counted {dollars_shown(spent)}"
        message = f"limits.budget: {dollars_shown(told)} of ${budget.usd} was spent, as the agent itself counts{measured}"
        return Outcome(Verdict.FAIL, Reason.BUDGET_EXCEEDED, message)
    spent = spent or 0
    if fault := fault_of(sources):
        message = f"limits.budget ({dollars_shown(spent)} of ${budget.usd} known to be spent) cannot be held: {fault}"
        return Outcome(Verdict.FAIL, Reason.BUDGET_EXCEEDED, message)
    return None


def fault_of(sources: Iterable[UsageCounts]) -> str:
    """Why nobody can tell what was spent, and the cure; empty if everybody can."""
    sources = list(sources)
    if unpriced := sum(source.unpriced for source in sources):
        return f"{unpriced} calls were of models that spec.prices of the AgentClass does not name; add their prices"
    if unmeasured := sum(source.unmeasured for source in sources):
        return f"{unmeasured} answers told no usage; streamed chat completions tell it with stream_options.include_usage"
    return ""


def _is_overspent(observed: Observed) -> bool:
    agent = observed.sandbox(Role.AGENT, observed.task.status.attempt)
    return bool(agent and agent.state and agent.state.overspent)


def _told(attempt: int, vitals: Vitals) -> ToldUsage:
    tokens = vitals.tokens
    return ToldUsage(
        attempt=attempt,
        input_tokens=tokens.input + tokens.cached_input + tokens.cache_write,
        cached_input_tokens=tokens.cached_input,
        cache_write_tokens=tokens.cache_write,
        output_tokens=tokens.output,
        cost_micro_usd=vitals.micro_usd,
    )


def _larger_told(one: ToldUsage | None, other: ToldUsage) -> ToldUsage:
    if one is None:
        return other
    costs = [cost for cost in (one.cost_micro_usd, other.cost_micro_usd) if cost is not None]
    counts = {name: max(getattr(one, name), getattr(other, name)) for name in _TOLD_COUNTS}
    return ToldUsage(attempt=one.attempt, cost_micro_usd=max(costs, default=None), **counts)


def _bounded_told(told: tuple[ToldUsage, ...]) -> tuple[ToldUsage, ...]:
    if len(told) <= MAX_TOLD:
        return told
    first, rest = told[: 1 - MAX_TOLD], told[1 - MAX_TOLD :]
    sums = {name: sum(getattr(one, name) for one in first) for name in _TOLD_COUNTS}
    costs = [one.cost_micro_usd for one in first if one.cost_micro_usd is not None]
    return (ToldUsage(attempt=0, cost_micro_usd=sum(costs) if costs else None, **sums), *rest)


def _larger(one: ProxyUsage, other: ProxyUsage) -> ProxyUsage:
    costs = [cost for cost in (one.cost_micro_usd, other.cost_micro_usd) if cost is not None]
    return ProxyUsage(
        **{name: max(getattr(one, name), getattr(other, name)) for name in _COUNTS},
        proxy=one.proxy,
        cost_micro_usd=max(costs, default=None),
        reached=_hosts(max, (one, other)),
    )


def _bounded(sources: tuple[ProxyUsage, ...]) -> tuple[ProxyUsage, ...]:
    """The first processes have ended long ago when there are so many; their numbers are added up."""
    if len(sources) <= MAX_PROXIES:
        return sources
    first, rest = sources[: 1 - MAX_PROXIES], sources[1 - MAX_PROXIES :]
    return (
        ProxyUsage(
            **_sums(first), proxy=_EARLIER, cost_micro_usd=spend_of(first), reached=_hosts(sum, first)
        ),
        *rest,
    )


def _sums(sources: Sequence[ProxyUsage]) -> dict[str, int]:
    return {name: sum(getattr(source, name) for source in sources) for name in _COUNTS}
