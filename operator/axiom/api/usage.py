"""What a task used at its models' vendors, and what that cost, as it stands in its status.

Money is counted in whole micro-dollars (a millionth of a US dollar), never in floats.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from axiom_sandbox.protocol.checks import Keyed
from axiom_sandbox.protocol.model import ApiModel
from axiom_sandbox.protocol.quantities import parse_money

MICROS = 1_000_000
"""Micro-dollars of a dollar, and tokens that a price is for."""
MAX_PROXIES = 16
MAX_HOSTS = 64
MAX_TOLD = 16


class UsageCounts(ApiModel):
    """What was counted."""

    requests: int = 0
    """Calls of a model that a vendor answered, errors left out."""
    input_tokens: int = 0
    """Tokens of all input, also from a vendor's cache."""
    cached_input_tokens: int = 0
    """Those of them that were read from a vendor's cache."""
    cache_write_tokens: int = 0
    """Those of them that were written to a vendor's cache."""
    output_tokens: int = 0
    """Tokens of all output, with what the model only thought."""
    estimated: int = 0
    """Requests whose answer broke off before its usage was told: their tokens are estimated from their size."""
    unmeasured: int = 0
    """Requests whose answer told no usage: they are in no other number but `requests`."""
    unpriced: int = 0
    """Requests to models that the class has no price for: their tokens are counted, their cost is not."""


class HostTraffic(ApiModel):
    """What came to the agent from one of its class's destinations."""

    host: Annotated[str, Field(max_length=253)]
    """Its name."""
    down: int
    """Bytes, as they came through the egress proxy."""


class ProxyUsage(UsageCounts):
    """What one process of the egress proxy counted; its numbers only grow."""

    proxy: Annotated[str, Field(max_length=64)]
    """Made up anew each time that the process starts."""
    cost_micro_usd: int | None = None
    """Cost in millionths of a US dollar; unset while nothing had a price."""
    reached: Annotated[list[HostTraffic], Field(max_length=MAX_HOSTS), Keyed("host")] = []
    """What came from destinations."""


class ToldUsage(ApiModel):
    """What the agent of one attempt counted itself: a claim."""

    attempt: int
    """The attempt; 0: the first ones, once there were too many to name each."""
    input_tokens: int = 0
    """Tokens of all input, also from a vendor's cache."""
    cached_input_tokens: int = 0
    """Those of them that were read from a vendor's cache."""
    cache_write_tokens: int = 0
    """Those of them that were written to a vendor's cache."""
    output_tokens: int = 0
    """Tokens of all output."""
    cost_micro_usd: int | None = None
    """Its cost in millionths of a US dollar: as the agent says, or else by the class's prices; unset where neither tells."""


class UsageStatus(UsageCounts):
    """What the task used at its models' vendors: all attempts and rounds, as the egress proxy counted it."""

    cost_usd: Annotated[str, Field(max_length=32)] | None = None
    """Cost in US dollars, such as "0.413275"; unset while nothing had a price."""
    told_cost_usd: Annotated[str, Field(max_length=32)] | None = None
    """What the agents say that it was, by their own count: the larger of the two is held against the budget."""
    cost: Annotated[str, Field(max_length=32)] = ""
    """The cost for `kubectl get`, such as $0.41; ~$0.41 where the agents alone counted."""
    told: Annotated[list[ToldUsage], Field(max_length=MAX_TOLD), Keyed("attempt")] = []
    """What the agents say, by attempt."""
    proxies: Annotated[list[ProxyUsage], Field(max_length=MAX_PROXIES), Keyed("proxy")] = []
    """The parts of it by who counted, so that nothing is lost or counted twice. Empty once the task is complete."""


def micro_dollars(amount: str) -> int:
    """`2.00` → 2,000,000. Raises ValueError with the cure."""
    return int(parse_money(amount) * MICROS)


def dollars(micros: int) -> str:
    """413,275 → `0.413275`; at least two digits after the point."""
    whole, rest = divmod(micros, MICROS)
    digits = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{whole}.{digits}"


def dollars_shown(micros: int) -> str:
    """413,275 → `$0.41`, for people; what is less than a cent is `<$0.01`."""
    cents = (micros + 5_000) // 10_000
    return "<$0.01" if micros and not cents else f"${cents // 100}.{cents % 100:02}"
