"""What an answer costs: its tokens at the prices of the AgentClass. Pure; whole micro-dollars, rounded up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from axiom.api.agentclass import Price
from axiom.api.usage import MICROS, micro_dollars
from axiom.egress.model_apis import Tokens

OTHER_MODELS = "other"
"""Label of a model that no price names."""


class Tariff(NamedTuple):
    """A price, parsed: micro-dollars for a million tokens of each kind."""

    model: str
    """As the class writes it."""
    rates: Tokens

    @classmethod
    def parse(cls, price: Price) -> Tariff:
        """From the AgentClass."""
        texts = (
            price.input,
            price.cached_input or price.input,
            price.cache_write or price.input,
            price.output,
        )
        return cls(price.model, Tokens(*(micro_dollars(text) for text in texts)))

    def cost(self, tokens: Tokens) -> int:
        """Micro-dollars, rounded up."""
        return -(-sum(count * rate for count, rate in zip(tokens, self.rates, strict=True)) // MICROS)

    def most(self, given: int, output: int) -> int:
        """Micro-dollars at most of so many tokens given, of whichever kind, and so many of output."""
        *rates, rate = self.rates
        return -(-(given * max(rates) + output * rate) // MICROS)

    def fits(self, model: str) -> bool:
        """Whether it is for this model."""
        if self.model.endswith("*"):
            return model.startswith(self.model[:-1])
        return model == self.model


def tariffs_of(prices: Iterable[Price]) -> tuple[Tariff, ...]:
    """All of a class, the ones that say most first: whole names, then the longest beginnings."""
    parsed = (Tariff.parse(price) for price in prices)
    return tuple(sorted(parsed, key=lambda tariff: (tariff.model.endswith("*"), -len(tariff.model))))


def tariff_of(tariffs: Sequence[Tariff], model: str) -> Tariff | None:
    """The one that counts for a model; None where the class names no price for it."""
    return next((tariff for tariff in tariffs if tariff.fits(model)), None)


def dearest(tariffs: Sequence[Tariff]) -> Tariff | None:
    """For an answer that broke off before it named its model."""
    return max(tariffs, key=lambda tariff: (tariff.rates.output, tariff.rates.input), default=None)
