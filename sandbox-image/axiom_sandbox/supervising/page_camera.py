"""Photographs pages that an agent's servers serve, while it works: each as soon as its server answers, and then again and again.

The pictures are made by a browser outside the agent's container (`browser`). It is done beside the agent's work: whatever goes wrong here
is told in the ledger (`gap`), and the work goes on. A server that is not there is nothing that goes wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from axiom_sandbox.pages.wire import Taken
from axiom_sandbox.protocol.events import Gap, Screenshot
from axiom_sandbox.protocol.pages import Form, Shot
from axiom_sandbox.protocol.pictures import UNMASKED, PagePictures, PictureReason
from axiom_sandbox.supervising.browser import Browser
from axiom_sandbox.supervising.camera import Allowance, Keep
from axiom_sandbox.supervising.tunnel import Dial, connected
from axiom_sandbox.verifying.texts import clean

_LOOK_SECONDS = 2.0
_SHOT_SECONDS = 30.0
_MOST_GAPS = 16
_FILES = f"{UNMASKED}-thumbnail"


@dataclass
class _Page:
    """What is known of one."""

    wanted: PagePictures
    due: float = 0.0
    """When the next picture is taken."""
    digest: str = ""
    """Of the last one."""


@dataclass
class PageCamera:
    """Of one agent's sandbox."""

    pages: tuple[PagePictures, ...]
    browser: Browser
    dial: Dial
    record: Callable[..., Awaitable[int]]
    keep: Keep
    clock: Callable[[], float]
    may_look: Callable[[], bool]
    """Whether the agent runs: what is frozen does not answer."""
    round: Callable[[], int]
    allowed: Allowance = field(default_factory=lambda: Allowance(pictures=1000, size=256 * 1024 * 1024))
    look_seconds: float = _LOOK_SECONDS

    def __post_init__(self) -> None:
        self._pages = [_Page(page) for page in self.pages]
        self._gaps = 0

    async def run(self) -> None:
        """Until cancelled, or until there is nothing to photograph with. Raises LedgerFailedError."""
        if not self._pages:
            return
        if self.browser.missing:
            await self._gap(f"pages are not photographed: {self.browser.missing}")
            return
        while self.allowed.pictures > 0 and self.allowed.size > 0:
            for page in self._pages:
                if self.may_look() and self.clock() >= page.due:
                    await self._photograph(page)
            await asyncio.sleep(self.look_seconds)
        await self._gap("there are as many pictures of pages as are kept of one sandbox; no more are taken")

    async def _photograph(self, page: _Page) -> None:
        wanted = page.wanted
        there = await connected(self.dial, (f"127.0.0.1:{wanted.port}",))
        if there is None:
            return
        there.close()
        shot = Shot(
            port=wanted.port,
            path=wanted.path,
            width=wanted.width,
            height=wanted.height,
            seconds=_SHOT_SECONDS,
            form=Form.WEBP,
        )
        taken = await self.browser.take(shot)
        if not self.may_look():
            return  # it was frozen meanwhile, and the picture may be of a page that hangs
        if taken.shown.refused:
            return  # its server has gone, or does not speak HTTP yet
        page.due = self.clock() + wanted.seconds
        if taken.shown.error:
            await self._gap(
                f"the page {wanted.address} was not photographed: {clean(taken.shown.error, 300)}"
            )
            return
        await self._tell(page, taken)

    async def _tell(self, page: _Page, taken: Taken) -> None:
        self.allowed.pictures -= 1
        self.allowed.size -= len(taken.picture) + len(taken.thumbnail)
        try:
            digest, thumbnail = await self.keep({UNMASKED: taken.picture, _FILES: taken.thumbnail})
        except OSError as error:
            await self._gap(f"pictures of pages cannot be kept: {error}")
            return
        repeated, page.digest = page.digest == digest, digest
        await self.record(
            Screenshot(
                round=self.round(),
                why=(PictureReason.PAGE,),
                digest=digest,
                size=len(taken.picture),
                media_type="image/webp",
                width=taken.shown.width,
                height=taken.shown.height,
                repeated=repeated,
                thumbnail=thumbnail,
                path=page.wanted.address,
                settled=taken.shown.settled,
            )
        )

    async def _gap(self, reason: str) -> None:
        self._gaps += 1
        if self._gaps <= _MOST_GAPS:
            await self.record(Gap(what="screenshot", start=0, end=0, size=0, reason=reason))
