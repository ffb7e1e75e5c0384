"""A person steps into a task on this machine: who may reach the sandbox's socket may do that, and nobody else can."""

from __future__ import annotations

import asyncio
import getpass
import uuid
from pathlib import Path

from axiom.backends.leftovers import made_elsewhere
from axiom.backends.local import CHANNEL
from axiom.channel import Channel, ChannelError, CommandRefusedError
from axiom.planning.intervening import CannotInterveneError, Wish, command_of
from axiom_sandbox.protocol.channel import CommandEnvelope


async def intervene(channel: Channel, wish: Wish, by: str, key: str = "") -> str:
    """Does it; what was done. Raises CannotInterveneError, ChannelError."""
    command, done = command_of(wish, await channel.state(timeout=0), by)
    try:
        await channel.send(CommandEnvelope(key=f"person/{by}/{key or uuid.uuid4().hex}", command=command))
    except CommandRefusedError as error:
        raise CannotInterveneError(str(error)) from error
    return done


def intervene_here(word: str, wish: Wish, state: Path) -> str:
    """In a run that is under way, by the task's name or the run's. Raises CannotInterveneError."""
    socket = _socket_of(word, state / "runs")

    async def do() -> str:
        async with Channel.over_unix(socket) as channel:
            return await intervene(channel, wish, whoever_runs_this())

    try:
        return asyncio.run(do())
    except ChannelError as error:
        raise CannotInterveneError(f"{word} does not answer: {error}") from error


def whoever_runs_this() -> str:
    """The user's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody on this machine"


def _socket_of(word: str, runs: Path) -> Path:
    """The channel of the run's last agent."""
    found = [
        (made / CHANNEL, scratch)
        for scratch in sorted(runs.glob("*/scratch"), key=lambda path: path.stat().st_mtime)
        if word in (scratch.parent.name, scratch.parent.name.rpartition("-")[0])
        for folder in sorted(scratch.glob("[0-9]*-agent"), key=lambda path: int(path.name.partition("-")[0]))
        for made in made_elsewhere(folder)
        if (made / CHANNEL).exists()
    ]
    names = sorted({scratch.parent.name for _, scratch in found})
    if not found:
        raise CannotInterveneError(
            f"no run of {word!r} is under way below {runs}; name the task of an `axiom run` on this machine, another"
            " --state, or add --cluster for a task on a cluster"
        )
    if len(names) > 1:
        raise CannotInterveneError(f"several runs of {word!r} are under way; name one: {', '.join(names)}")
    return found[-1][0]
