"""Processes of the trusted side that have loaded what a role needs, before there is a sandbox for them.

Loading takes most of a second of processor time, and who waits for a verdict should not wait for that, too. An understudy has
seen nothing yet: it waits for one line on its standard input, which says which sandbox is its own. One is used once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.supervising.settings import SandboxSettings

Begin = Callable[[Role], Awaitable[asyncio.subprocess.Process]]
"""Starts one for a role, with a pipe for its standard input."""


class Understudies:
    """At most one for each role."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._waiting: dict[Role, asyncio.Task[asyncio.subprocess.Process]] = {}

    def get_ready(self, role: Role) -> None:
        """Begins to load, unless that was done. Waits for nothing."""
        if role not in self._waiting:
            self._waiting[role] = asyncio.ensure_future(self._begin_one(role))

    async def take(
        self, role: Role, settings: SandboxSettings, log: Path
    ) -> asyncio.subprocess.Process | None:
        """The understudy, now in charge of this sandbox; None: there is none that lives."""
        beginning = self._waiting.pop(role, None)
        if beginning is None:
            return None
        try:
            process = await beginning
        except OSError:
            return None
        assert process.stdin is not None
        if process.returncode is not None:
            return None
        try:
            process.stdin.write(json.dumps([settings.model_dump_json(), str(log)]).encode() + b"\n")
            await process.stdin.drain()
            process.stdin.close()
        except ConnectionError:
            await process.wait()
            return None
        return process

    async def close(self) -> None:
        """Ends those that nobody took."""
        waiting, self._waiting = self._waiting, {}
        for found in await asyncio.gather(*waiting.values(), return_exceptions=True):
            if isinstance(found, asyncio.subprocess.Process) and found.returncode is None:
                found.kill()
                await found.communicate()

    async def _begin_one(self, role: Role) -> asyncio.subprocess.Process:
        return await self._begin(role)
