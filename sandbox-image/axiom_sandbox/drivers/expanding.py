"""From what a class says of its agent to what is started: variables filled in, and the environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from axiom_sandbox.drivers.contract import Place
from axiom_sandbox.protocol.channel import AgentProgram

PROMPT_VARIABLE = "AXIOM_PROMPT"


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replaces each $(NAME) that is known; others stay as they are. What is filled in is not expanded again."""
    out, rest = [], text
    while True:
        before, opening, after = rest.partition("$(")
        out.append(before)
        if not opening:
            return "".join(out)
        name, closing, tail = after.partition(")")
        if closing and name in variables:
            out.append(variables[name])
            rest = tail
        else:
            out.append(opening)
            rest = after


def variables(place: Place) -> dict[str, str]:
    """The variables that a class may use."""
    return {
        "AXIOM_PROXY_URL": place.proxy_url,
        "AXIOM_TOKEN": place.token,
        "AXIOM_WORKSPACE": place.workspace,
        "AXIOM_HOME": place.home,
    }


def environment(place: Place, program: AgentProgram, **defaults: str) -> tuple[str, ...]:
    """The agent's environment: ours, what its driver presets, and what the class says, which wins."""
    known = variables(place)
    env = {
        "PATH": place.path,
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "HOME": place.home,
        **defaults,
        **{name: expand(value, known) for name, value in program.env.items()},
    }
    return tuple(f"{name}={value}" for name, value in env.items())
