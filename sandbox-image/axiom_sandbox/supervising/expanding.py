"""From an agent's program to the process that is started: variables, environment, prompt delivery. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from axiom_sandbox.protocol.channel import AgentProgram, PromptDelivery
from axiom_sandbox.supervising.settings import Inside

PROMPT_VARIABLE = "AXIOM_PROMPT"


@dataclass(frozen=True)
class Turn:
    """One turn of the agent, ready to start."""

    argv: tuple[str, ...]
    shown_argv: tuple[str, ...]
    """The command before the token and the prompt were filled in: what the ledger may hold."""
    env: tuple[str, ...]
    stdin: bytes | None
    """Given on standard input, which then ends; None: the terminal is standard input."""
    typed: str | None
    """Typed on the terminal."""


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


def variables(inside: Inside, token: str) -> dict[str, str]:
    """The variables that a class may use."""
    host = urlsplit(inside.proxy_url).hostname or ""
    return {
        "AXIOM_PROXY_URL": inside.proxy_url,
        "AXIOM_PROXY_HOST": host,
        "AXIOM_TUNNEL_URL": inside.proxy_url.replace("://", f"://axiom:{token}@", 1),
        "AXIOM_TOKEN": token,
        "AXIOM_WORKSPACE": inside.workspace,
        "AXIOM_HOME": inside.home,
    }


def plan_turn(program: AgentProgram, inside: Inside, token: str, prompt: str, resume: bool) -> Turn:
    """What to start for this turn."""
    known = variables(inside, token)
    command = program.resume_command if resume and program.resume_command else program.command
    in_argument = any(f"$({PROMPT_VARIABLE})" in argument for argument in command)
    env = {
        "PATH": inside.path,
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "HOME": inside.home,
        **{name: expand(value, known) for name, value in program.env.items()},
    }
    delivery = program.prompt_delivery
    return Turn(
        argv=tuple(expand(argument, {**known, PROMPT_VARIABLE: prompt}) for argument in command),
        shown_argv=command,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        stdin=prompt.encode() if delivery is PromptDelivery.STDIN and not in_argument else None,
        typed=prompt if delivery is PromptDelivery.TYPED and not in_argument else None,
    )
