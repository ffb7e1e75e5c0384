"""Has frames drawn by a process of its own (`terminal.drawing`), which lives only while there is something to draw."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from axiom_sandbox.supervising.settings import SETTINGS_VARIABLE
from axiom_sandbox.terminal.drawing_wire import LONGEST, Drawn, framed
from axiom_sandbox.terminal.frames import Frame

_DRAWING_SECONDS = 30.0
_IDLE_SECONDS = 20.0


class StudioError(Exception):
    """The frame was not drawn. The message says why; another frame may be."""


@dataclass(frozen=True)
class Pictured:
    """A frame as a picture."""

    drawn: Drawn
    webp: bytes
    thumbnail: bytes


class Studio:
    """Draws one frame after the other."""

    def __init__(
        self,
        secrets: Iterable[str] = (),
        command: tuple[str, ...] = (sys.executable, "-m", "axiom_sandbox.terminal.drawing"),
        idle_seconds: float = _IDLE_SECONDS,
        drawing_seconds: float = _DRAWING_SECONDS,
    ) -> None:
        """`secrets` are masked besides whatever looks like one."""
        self._secrets, self._command = tuple(secrets), command
        self._idle_seconds, self._drawing_seconds = idle_seconds, drawing_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._idle: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether its process lives."""
        return self._process is not None

    async def draw(self, frame: Frame) -> Pictured:
        """The frame's picture. Raises StudioError."""
        async with self._lock:
            if self._idle:
                self._idle.cancel()
            try:
                async with asyncio.timeout(self._drawing_seconds):
                    found = await self._drawn(frame)
            except TimeoutError as error:
                await self._end()
                raise StudioError(f"drawing took longer than {self._drawing_seconds:.0f} s") from error
            except (OSError, EOFError, ValidationError) as error:
                await self._end()
                raise StudioError(f"the process that draws ended: {error}") from error
            except BaseException:
                await (
                    self._end()
                )  # somebody does not wait for the answer, which must not be taken for the next one
                raise
            if found.drawn.error:
                await self._end()
                raise StudioError(found.drawn.error)
            self._idle = asyncio.ensure_future(self._close_when_idle())
            return found

    async def close(self) -> None:
        """Ends its process."""
        if self._idle:
            self._idle.cancel()
        async with self._lock:
            await self._end()

    async def _drawn(self, frame: Frame) -> Pictured:
        process = self._process or await self._begin()
        assert process.stdin is not None
        process.stdin.write(framed(frame.to_json()))
        await process.stdin.drain()
        head, webp, thumbnail = [await _message(process) for _ in range(3)]
        return Pictured(Drawn.model_validate_json(head), webp, thumbnail)

    async def _begin(self) -> asyncio.subprocess.Process:
        process = self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != SETTINGS_VARIABLE},
        )
        assert process.stdin is not None
        process.stdin.write(framed(json.dumps(self._secrets).encode()))
        return process

    async def _close_when_idle(self) -> None:
        await asyncio.sleep(self._idle_seconds)
        async with self._lock:
            await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.communicate()  # which also lets go of its pipes


async def _message(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    size = int.from_bytes(await process.stdout.readexactly(4))
    if size > LONGEST:
        raise EOFError(f"a message of {size} bytes")
    return await process.stdout.readexactly(size)
