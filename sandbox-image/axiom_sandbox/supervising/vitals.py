"""What an agent says of itself, for whoever looks, and whether that passes its budget. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from axiom_sandbox.drivers.memory import Memory
from axiom_sandbox.protocol.agents import Tokens, Vitals
from axiom_sandbox.protocol.events import BudgetSpent
from axiom_sandbox.protocol.pricing import Pricing

_MILLION = 1_000_000


@dataclass(frozen=True)
class Before:
    """What a session had used when this sandbox went on with it."""

    tokens: Tokens = field(default_factory=Tokens)
    micro_usd: int | None = None


def vitals_of(memory: Memory, before: Before, pricing: Pricing, output_per_second: int | None) -> Vitals:
    """Of this sandbox alone."""
    untold = memory.pending + memory.uncounted
    told = memory.total_micro_usd
    return Vitals(
        tokens=memory.spent - before.tokens,
        micro_usd=pricing.spent(
            None if told is None else max(told - (before.micro_usd or 0), 0),
            memory.total - before.tokens,
            untold,
            memory.model,
        ),
        fill=memory.fill,
        output_per_second=output_per_second,
        talks_in_row=memory.talks_in_row,
        talks_in_round=memory.talks_in_round,
    )


def overspent(number: int, budget: int | None, earlier: int, vitals: Vitals | None) -> BudgetSpent | None:
    """What is to be recorded where the budget is spent; None while it is not, or nobody knows.

    A budget of nothing lets the agent begin: the egress proxy lets no call of a model out.
    """
    spent = earlier + ((vitals.micro_usd or 0) if vitals else 0)
    if budget is None or not spent or spent < budget:
        return None
    reason = f"limits.budget: by its own count the agent spent {_shown(spent)} of {_shown(budget)}"
    return BudgetSpent(
        round=number,
        budget_micro_usd=budget,
        spent_micro_usd=spent,
        earlier_micro_usd=earlier,
        reason=reason,
    )


def _shown(micro_usd: int) -> str:
    return f"${micro_usd / _MILLION:.6f}".rstrip("0").rstrip(".")
