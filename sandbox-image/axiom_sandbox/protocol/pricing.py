"""What tokens cost, as far as an agent's own numbers tell. Pure; whole micro-dollars, rounded up."""

from __future__ import annotations

from axiom_sandbox.protocol.agents import Tokens
from axiom_sandbox.protocol.model import Message

_MILLION = 1_000_000


class Rate(Message):
    """A price of the class: micro-dollars for a million tokens of each kind."""

    model: str
    """The model, or how names begin and `*`."""
    input: int
    cached_input: int
    cache_write: int
    output: int

    def fits(self, model: str) -> bool:
        """Whether it is for this model."""
        if self.model.endswith("*"):
            return model.startswith(self.model[:-1])
        return model == self.model

    def cost(self, tokens: Tokens) -> int:
        """Micro-dollars."""
        exact = (
            tokens.input * self.input
            + tokens.cached_input * self.cached_input
            + tokens.cache_write * self.cache_write
            + tokens.output * self.output
        )
        return -(-exact // _MILLION)


class Pricing(Message):
    """By what an agent's own numbers become money."""

    rates: tuple[Rate, ...] = ()
    """The class's prices, those that say most first."""
    measured: bool = True
    """The egress proxy counts the calls of this class's models, too."""

    def cost(self, tokens: Tokens, model: str) -> int | None:
        """Micro-dollars; None: nobody knows.

        Where the model is not known, or no price names it, the only price counts; of several the dearest, unless the proxy
        counts better.
        """
        if tokens == Tokens() and self.rates:
            return 0
        found = next((rate for rate in self.rates if model and rate.fits(model)), None)
        if found is None and (len(self.rates) == 1 or not self.measured):
            found = max(self.rates, key=lambda rate: (rate.output, rate.input), default=None)
        return found.cost(tokens) if found else None

    def spent(self, told_micro_usd: int | None, told: Tokens, untold: Tokens, model: str) -> int | None:
        """What an agent used: by its own dollars, where it tells them, for what they cover, and else by tokens."""
        if told_micro_usd is None:
            return self.cost(told + untold, model)
        return told_micro_usd + (self.cost(untold, model) or 0)
