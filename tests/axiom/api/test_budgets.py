"""Which classes can hold a task to a budget."""

from __future__ import annotations

from typing import Any

import pytest

from axiom.api.agentclass import AgentClass, budget_fault
from axiom.planning.briefing import pricing_of

PRICES = [
    {"model": "*", "input": "1.00", "output": "2.00"},
    {"model": "gpt-5.5", "input": "3.00", "cachedInput": "0.30", "output": "9.00"},
    {"model": "gpt-*", "input": "2.00", "output": "5.00"},
]


def agent_class(**spec: Any) -> AgentClass:
    given = {"driver": "Codex", "command": ["codex"], "prices": PRICES, **spec}
    return AgentClass.model_validate({"metadata": {"name": "c"}, "spec": given})


def credential(metered: bool) -> dict[str, Any]:
    route = {"prefix": "/openai", "upstream": "https://api.example", "metered": metered}
    return {"name": "model", "secretRef": {"name": "s", "key": "k"}, "route": route}


GENERIC = {"driver": "Generic", "command": ["agent", "$(AXIOM_PROMPT)"]}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"credentials": [credential(True)]}, ""),
        ({"credentials": [credential(False)]}, ""),
        ({}, ""),
        ({"prices": []}, "has none; add spec.prices"),
        ({**GENERIC, "credentials": [credential(True)]}, ""),
        ({**GENERIC, "credentials": [credential(False)]}, "needs somebody who counts"),
        ({**GENERIC}, "needs somebody who counts"),
    ],
    ids=[
        "the proxy counts",
        "the agent alone counts, as the route is not metered",
        "the agent alone counts, as it brings its own credentials",
        "without prices",
        "any command, where the proxy counts",
        "any command, where it does not",
        "any command without a route",
    ],
)
def test_a_budget_needs_prices_and_somebody_who_counts(spec: dict[str, Any], says: str) -> None:
    fault = budget_fault(agent_class(**spec), has_budget=True)
    assert says in fault
    assert bool(says) is bool(fault)
    assert budget_fault(agent_class(**spec), has_budget=False) == ""


def test_the_sandbox_is_given_the_prices_that_say_most_first() -> None:
    pricing = pricing_of(agent_class(credentials=[credential(True)]).spec)
    assert [rate.model for rate in pricing.rates] == ["gpt-5.5", "gpt-*", "*"]
    assert (pricing.rates[0].cached_input, pricing.rates[0].cache_write) == (300_000, 3_000_000)
    assert pricing.measured
    assert not pricing_of(agent_class(credentials=[credential(False)]).spec).measured
