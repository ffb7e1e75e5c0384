"""Takes pictures while an agent works: of its terminal when something happens, and of what its tools write.

Each becomes an event of the ledger and, unless there is an equal one, two blobs. It is done beside the agent's work: whatever
goes wrong here is told in the ledger (`gap`), and the work goes on. When a picture is taken says `shutter`; who draws it, `studio`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from axiom_sandbox.ledger.errors import LedgerFailedError
from axiom_sandbox.protocol.events import Event, Gap, Screenshot
from axiom_sandbox.protocol.pictures import SCREENSHOT, UNMASKED, PictureReason
from axiom_sandbox.supervising.picture_folder import Found, PictureFolder
from axiom_sandbox.supervising.shutter import Shutter, reason_of
from axiom_sandbox.supervising.studio import Pictured, Studio, StudioError
from axiom_sandbox.terminal.frames import Frame

_LOOK_SECONDS = 1.0
_MOST_FAULTS = 3
"""In a row; then no more pictures are drawn."""
_MOST_GAPS = 16
"""Of each kind; an agent may repeat without end what is left out."""


@dataclass
class Allowance:
    """What the pictures of one sandbox may come to."""

    pictures: int = 5000
    """Different ones of the terminal."""
    files: int = 500
    """Those that tools wrote."""
    size: int = 512 * 1024 * 1024
    """Bytes of all."""


class Keep(Protocol):
    """Keeps pieces of evidence; the digest of each, in order. Raises OSError."""

    def __call__(self, pieces: Mapping[str, bytes | Path]) -> Awaitable[tuple[str, ...]]:
        """Pieces by their names."""


@dataclass(frozen=True)
class _Taken:
    """A picture of the terminal that there is."""

    frame: Frame
    pictured: Pictured
    digest: str
    thumbnail: str


@dataclass
class _View:
    """What is to be photographed."""

    frame: Callable[[], Frame | None]
    offset: Callable[[], int]
    """Bytes of output so far."""


@dataclass
class Camera:
    """Of one agent's sandbox."""

    studio: Studio | None
    """None: the terminal is not photographed."""
    folder: PictureFolder | None
    """Where tools write pictures; None: nowhere."""
    scratch: Path
    """For a copy that is being made."""
    record: Callable[..., Awaitable[int]]
    keep: Keep
    clock: Callable[[], float]
    round: int = 0
    allowed: Allowance = field(default_factory=Allowance)

    def __post_init__(self) -> None:
        self._shutter = Shutter(self.clock())
        self._pressed, self._order = asyncio.Event(), asyncio.Lock()
        self._taking: asyncio.Future[None] | None = None
        self._view: _View | None = None
        self._left: tuple[Frame, int] | None = None
        """What the last terminal showed at its end, and after how much output."""
        self._taken: _Taken | None = None
        self._taken_offset = 0
        self._files: dict[str, str] = {}
        self._faults = 0
        self._gaps: dict[str, int] = {}

    @property
    def sees_terminals(self) -> bool:
        """Whether there is a use for what terminals show."""
        return self.studio is not None

    # --- what happens -----------------------------------------------------------------------------------------

    def notice(self, events: Iterable[Event]) -> None:
        """Takes a picture soon, if one of these is a reason."""
        for event in events:
            if why := reason_of(event):
                self.press(why)

    def press(self, why: PictureReason) -> None:
        """Takes a picture soon."""
        self._shutter.press(why)
        self._pressed.set()

    def watch(self, frame: Callable[[], Frame | None], offset: Callable[[], int]) -> None:
        """This is the terminal from now on."""
        if self.studio:
            self._view = _View(frame, offset)

    def look_away(self) -> None:
        """The terminal goes; what it shows last is kept."""
        view, self._view = self._view, None
        if view and (frame := view.frame()):
            self._left = frame, view.offset()

    async def run(self) -> None:
        """Until cancelled. Raises LedgerFailedError."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._pressed.wait()
            except TimeoutError:
                pass  # the terminal may have changed all the same
            self._pressed.clear()
            self._taking = asyncio.ensure_future(self._take(at_once=False))
            await asyncio.shield(self._taking)  # a picture that was begun is finished: `settle` waits for it
            if self._shutter.is_pressed:
                await asyncio.sleep(_LOOK_SECONDS)

    async def settle(self, seconds: float) -> None:
        """Takes what is to be taken yet, now that nothing moves, if there is time for it. Raises LedgerFailedError."""
        try:
            async with asyncio.timeout(seconds):
                await self._take(at_once=True)
        except TimeoutError:
            await self._gap("time", f"the last pictures took longer than {seconds:.0f} s")

    async def close(self) -> None:
        """Ends the process that draws."""
        if self.studio:
            await self.studio.close()

    # --- pictures ---------------------------------------------------------------------------------------------

    async def _take(self, *, at_once: bool) -> None:
        async with self._order:
            try:
                await self._take_terminal(at_once)
                await self._take_files(at_once)
            except LedgerFailedError:
                raise
            except StudioError as error:
                await self._fault(f"{error}")
            except OSError as error:
                await self._fault(f"pictures cannot be kept: {error}")
            except Exception as error:  # noqa: BLE001 - the agent's work does not depend on its pictures
                await self._fault(f"{type(error).__name__}: {error}")

    async def _take_terminal(self, at_once: bool) -> None:
        if self.studio is None:
            return
        offset = self._view.offset() if self._view else self._left[1] if self._left else 0
        if not offset:
            return  # nothing was ever shown
        why = self._shutter.release(self.clock(), offset != self._taken_offset, at_once=at_once)
        frame = (self._view.frame() if self._view else self._left[0] if self._left else None) if why else None
        if frame is None:
            return
        self._taken_offset = offset
        known = self._taken
        if known and known.frame == frame:
            await self.record(self._event(why, known, offset, repeated=True))
            return
        taken = await self._drawn(self.studio, frame)
        repeated = known is not None and known.digest == taken.digest
        self._taken, self._faults = taken, 0
        await self.record(self._event(why, taken, offset, repeated=repeated))

    async def _drawn(self, studio: Studio, frame: Frame) -> _Taken:
        if self.allowed.pictures <= 0 or self.allowed.size <= 0:
            self.studio = None
            await studio.close()
            raise StudioError("there are as many pictures as are kept of one sandbox; no more are taken")
        pictured = await studio.draw(frame)
        self.allowed.pictures -= 1
        self.allowed.size -= len(pictured.webp) + len(pictured.thumbnail)
        digest, thumbnail = await self.keep(
            {SCREENSHOT: pictured.webp, f"{SCREENSHOT}-thumbnail": pictured.thumbnail}
        )
        return _Taken(frame, pictured, digest, thumbnail)

    def _event(
        self, why: tuple[PictureReason, ...], taken: _Taken, offset: int, *, repeated: bool
    ) -> Screenshot:
        frame, drawn = taken.frame, taken.pictured.drawn
        return Screenshot(
            round=self.round,
            why=why,
            digest=taken.digest,
            size=len(taken.pictured.webp),
            media_type="image/webp",
            width=drawn.width,
            height=drawn.height,
            repeated=repeated,
            thumbnail=taken.thumbnail,
            columns=frame.columns,
            rows=len(frame.rows),
            cursor=(frame.cursor.column, frame.cursor.row),
            text_digest=drawn.text_digest,
            masked=drawn.masked,
            output=offset,
        )

    async def _take_files(self, settled: bool) -> None:
        while self.folder and self.allowed.files > 0 and self.allowed.size > 0:
            found = await asyncio.to_thread(self.folder.take, self.scratch, settled=settled)
            if found is None:
                return
            if found.fault:
                await self._gap("file", f"{found.name} is not kept: {found.fault}")
            else:
                await self._keep_file(found)
        if self.folder:
            self.folder = None
            await self._gap("files", "there are as many pictures as are kept of one sandbox; no more are")

    async def _keep_file(self, found: Found) -> None:
        assert found.header is not None
        size = self.scratch.stat().st_size
        [digest] = await self.keep({UNMASKED: self.scratch})
        self.allowed.files, self.allowed.size = self.allowed.files - 1, self.allowed.size - size
        repeated = self._files.get(found.name) == digest
        self._files[found.name] = digest
        await self.record(
            Screenshot(
                round=self.round,
                why=(PictureReason.FILE,),
                digest=digest,
                size=size,
                media_type=found.header.media_type,
                width=found.header.width,
                height=found.header.height,
                repeated=repeated,
                path=found.name,
            )
        )

    async def _fault(self, reason: str) -> None:
        self._faults += 1
        if self._faults >= _MOST_FAULTS and self.studio:
            await self.studio.close()
            self.studio = None
            reason += "; no more pictures are taken of this terminal"
        await self._gap("fault", reason)

    async def _gap(self, kind: str, reason: str) -> None:
        self._gaps[kind] = self._gaps.get(kind, 0) + 1
        if self._gaps[kind] <= _MOST_GAPS:
            await self.record(Gap(what="screenshot", start=0, end=0, size=0, reason=reason))
