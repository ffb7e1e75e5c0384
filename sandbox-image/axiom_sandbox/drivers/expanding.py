"""From what a class says of its agent to what is started: variables filled in, and the environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

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
        "AXIOM_PROXY_HOST": urlsplit(place.proxy_url).hostname or "",
        "AXIOM_TUNNEL_URL": place.proxy_url.replace("://", f"://axiom:{place.token}@", 1),
        "AXIOM_TOKEN": place.token,
        "AXIOM_WORKSPACE": place.workspace,
        "AXIOM_HOME": place.home,
    }


MCP_TOKEN = "AXIOM_MCP_TOKEN"  # noqa: S105 - a variable's name
"""Holds what an MCP server is asked with: command lines are seen in heartbeats, and files outlive their attempt."""


def mcp_addresses(place: Place, program: AgentProgram) -> dict[str, str]:
    """MCP servers by name."""
    return {server.name: f"{place.proxy_url}{server.path}" for server in program.mcp_servers}


def environment(place: Place, program: AgentProgram, **defaults: str) -> tuple[str, ...]:
    """The agent's environment: ours, what its driver presets, and what the class says, which wins."""
    known = variables(place)
    own = {MCP_TOKEN: place.token} if program.mcp_servers else {}
    env = {
        "PATH": place.path,
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "HOME": place.home,
        **defaults,
        **own,
        **{name: expand(value, known) for name, value in program.env.items()},
    }
    return tuple(f"{name}={value}" for name, value in env.items())
