"""What an agent says of itself, for whoever looks: put together from what its driver knows. Pure."""

from __future__ import annotations

from axiom_sandbox.drivers.memory import Memory
from axiom_sandbox.protocol.agents import Tokens, Vitals


def vitals_of(
    memory: Memory, before: Tokens, before_micro_usd: int | None, output_per_second: int | None
) -> Vitals:
    """`before`: what the session had used when this sandbox went on with it."""
    cost = memory.total_micro_usd
    return Vitals(
        tokens=memory.spent - before,
        micro_usd=None if cost is None else max(cost - (before_micro_usd or 0), 0),
        fill=memory.fill,
        output_per_second=output_per_second,
        talks_in_row=memory.talks_in_row,
        talks_in_round=memory.talks_in_round,
    )
