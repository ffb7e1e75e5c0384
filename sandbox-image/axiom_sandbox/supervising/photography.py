"""The pictures of an agent's work: of its terminal, of its folder of pictures, and of pages that it serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from axiom_sandbox.protocol.channel import Phase, StartAgent
from axiom_sandbox.protocol.pictures import PictureReason
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.browser import Browser
from axiom_sandbox.supervising.camera import Camera, Keep
from axiom_sandbox.supervising.launcher_link import LauncherLink
from axiom_sandbox.supervising.page_camera import PageCamera
from axiom_sandbox.supervising.picture_folder import picture_folder
from axiom_sandbox.supervising.settings import SandboxSettings
from axiom_sandbox.supervising.studio import Studio

_PICTURE_SECONDS, _LAST_PICTURE_SECONDS = 30.0, 5.0
"""How long the last pictures of a round, and of the sandbox, may take."""


class Photography:
    """Of one agent that is started."""

    def __init__(
        self,
        settings: SandboxSettings,
        start: StartAgent,
        link: LauncherLink,
        board: Board,
        scratch: Path,
        record: Callable[..., Awaitable[int]],
        keep: Keep,
    ) -> None:
        wanted = start.program.pictures
        self.camera = camera = Camera(
            studio=Studio([start.token]) if wanted.terminal else None,
            folder=picture_folder(settings, wanted.folder) if wanted.folder else None,
            scratch=scratch,
            record=record,
            keep=keep,
            clock=time.monotonic,
        )
        self._pages = PageCamera(
            pages=wanted.pages,
            browser=Browser(settings.browser, link),
            dial=link.dial,
            record=record,
            keep=keep,
            clock=time.monotonic,
            may_look=lambda: board.state.phase is Phase.RUNNING,
            round=lambda: camera.round,
        )
        self._settling: asyncio.Future[None] | None = None
        """The pictures of the last round's end."""

    def errands(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What looks on until it is cancelled. Each raises LedgerFailedError."""
        return self.camera.run(), self._pages.run()

    def end_round(self) -> None:
        """What is shown now is taken. It is drawn meanwhile and afterwards: a verdict does not wait for a picture."""
        self._settling = asyncio.ensure_future(self.camera.settle(_PICTURE_SECONDS))

    async def settled(self) -> None:
        """The last round's pictures are in the ledger. Raises LedgerFailedError."""
        settling, self._settling = self._settling, None
        if settling:
            await settling

    async def close(self, *, failed: bool) -> None:
        """Takes the last one, of a failure, too, and ends."""
        if failed:
            self.camera.press(PictureReason.FAILURE)
        await self.settled()
        await self.camera.settle(_LAST_PICTURE_SECONDS)
        await self.camera.close()
