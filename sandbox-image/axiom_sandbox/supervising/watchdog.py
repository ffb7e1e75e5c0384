"""Keeps an agent within its limits while it works: deadline, silence, disk, processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from axiom_sandbox.protocol.channel import FailureReason, Limits
from axiom_sandbox.supervising.launcher_link import LauncherLink
from axiom_sandbox.supervising.sandbox import SandboxFailedError
from axiom_sandbox.supervising.usage import ENTRY_BYTES, folder_bytes

_LOOK_SECONDS = 1.0
_LONGEST_PAUSE = 10.0
_STORAGE_SHARE = 0.8
"""Ended here, while there is still room for the evidence."""
_PROCESS_SHARE = 0.9
_PROCESS_SECONDS = 5
"""How long the agent may hold all processes that it may have: a build does so for a moment, a bomb for ever."""


class Watchdog:
    """Looks every second, or less often where the workspace takes long to count."""

    def __init__(
        self,
        limits: Limits,
        link: LauncherLink,
        folders: tuple[Path, ...],
        seconds_left: Callable[[], float],
        is_excused: Callable[[], bool],
    ) -> None:
        """`is_excused` says whether the agent may be silent now, as it waits for a person."""
        self._limits, self._link, self._folders, self._seconds_left = limits, link, folders, seconds_left
        self._is_excused = is_excused
        self._loop = asyncio.get_running_loop()
        self._last_output = self._loop.time()
        self._crowded_since: float | None = None

    def heard(self) -> None:
        """The agent wrote something."""
        self._last_output = self._loop.time()

    async def watch(self) -> str:
        """Returns why the turn must end. Raises SandboxFailedError when the task must, LauncherLostError."""
        pause = _LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            self._look_at_deadline()
            idle = self._limits.idle_seconds
            if self._is_excused():
                self.heard()
            if self._loop.time() - self._last_output > idle:
                return f"silent for longer than limits.idle ({idle:.0f} s)"
            began = self._loop.time()
            await self._look_at_storage()
            await self._look_at_processes()
            pause = min(max(_LOOK_SECONDS, 4 * (self._loop.time() - began)), _LONGEST_PAUSE)

    def _look_at_deadline(self) -> None:
        if self._seconds_left() <= 0:
            raise SandboxFailedError(
                FailureReason.DEADLINE_EXCEEDED, "limits.deadline passed while the agent worked"
            )

    async def _look_at_storage(self) -> None:
        most = self._limits.storage_bytes
        used = await asyncio.to_thread(lambda: sum(folder_bytes(folder, most) for folder in self._folders))
        if used > _STORAGE_SHARE * most:
            await self._link.freeze()
            raise SandboxFailedError(
                FailureReason.STORAGE_EXCEEDED,
                f"workspace, home and /tmp hold {used:,} bytes, more than {_STORAGE_SHARE:.0%} of"
                f" limits.resources.storage ({most:,}); each file counts {ENTRY_BYTES:,} at least",
            )

    async def _look_at_processes(self) -> None:
        most, now = self._limits.processes, self._loop.time()
        if await self._link.count_threads() < _PROCESS_SHARE * most:
            self._crowded_since = None
        elif self._crowded_since is None:
            self._crowded_since = now
        elif now - self._crowded_since >= _PROCESS_SECONDS:
            raise SandboxFailedError(
                FailureReason.PROCESS_LIMIT_EXCEEDED,
                f"the agent held {most} processes and threads, all that its class allows (ceilings.processes),"
                f" for {_PROCESS_SECONDS} s",
            )
