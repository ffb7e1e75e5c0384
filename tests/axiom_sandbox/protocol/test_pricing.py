"""What an agent's own numbers come to in money."""

from __future__ import annotations

import pytest

from axiom_sandbox.protocol.agents import Tokens
from axiom_sandbox.protocol.pricing import Pricing, Rate

SMALL = Rate(model="small-*", input=1_000_000, cached_input=100_000, cache_write=1_250_000, output=5_000_000)
LARGE = Rate(
    model="large", input=10_000_000, cached_input=1_000_000, cache_write=12_500_000, output=50_000_000
)
TOKENS = Tokens(input=100, cached_input=1000, cache_write=10, output=20, reasoning=15)


def test_each_kind_of_token_has_its_price_and_a_part_of_a_micro_dollar_counts_whole() -> None:
    assert SMALL.cost(TOKENS) == 313  # 100 + 100 + 12.5 + 100
    assert Rate(model="*", input=1, cached_input=0, cache_write=0, output=0).cost(Tokens(input=1)) == 1


@pytest.mark.parametrize(
    ("rates", "measured", "model", "cost"),
    [
        ((LARGE, SMALL), True, "large", 3125),
        ((LARGE, SMALL), True, "small-4", 313),
        ((LARGE, SMALL), True, "unheard-of", None),
        ((LARGE, SMALL), True, "", None),
        ((LARGE, SMALL), False, "", 3125),
        ((SMALL,), True, "", 313),
        ((), False, "large", None),
    ],
    ids=[
        "by its name",
        "by how names begin",
        "the proxy knows better",
        "a model that is not named, where the proxy knows better",
        "nobody knows better: the dearest",
        "the only price",
        "no price",
    ],
)
def test_which_price_counts(rates: tuple[Rate, ...], measured: bool, model: str, cost: int | None) -> None:
    assert Pricing(rates=rates, measured=measured).cost(TOKENS, model) == cost


def test_an_agents_own_dollars_count_for_what_they_cover_and_tokens_for_the_rest() -> None:
    pricing = Pricing(rates=(SMALL,))
    assert pricing.spent(5_000, TOKENS, Tokens(), "small-4") == 5_000
    assert pricing.spent(5_000, TOKENS, Tokens(input=7), "small-4") == 5_007
    assert pricing.spent(None, TOKENS, Tokens(input=7), "small-4") == 320
    assert Pricing().spent(None, TOKENS, Tokens(), "small-4") is None
    assert Pricing().spent(5_000, TOKENS, TOKENS, "small-4") == 5_000
