"""Has pictures of pages taken by a browser (`axiom_sandbox.pages`) that may be hostile, as it runs what a page says.

Only what it hands out is looked at: of pixels their number, of a file its first bytes. In a pod the browser is a container of its own;
on a person's machine a room is made for each picture, whose only network leads to the sandbox's loopback (`tunnel`).
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from contextlib import suppress
from typing import IO

from pydantic import ValidationError

from axiom_sandbox.pages.wire import Taken
from axiom_sandbox.protocol.pages import Form, Shot, Shown
from axiom_sandbox.supervising.launcher_link import LauncherLink
from axiom_sandbox.supervising.picture_headers import Header, read_header
from axiom_sandbox.supervising.settings import BrowserSettings
from axiom_sandbox.supervising.tunnel import Tunnel
from axiom_sandbox.terminal.drawing_wire import framed

MOST_BYTES = 8 * 1024 * 1024
"""Of a picture as a file."""
_MOST_THUMBNAIL = 256 * 1024
_MOST_WORDS = 64 * 1024
_STARTING_SECONDS = 30.0
"""Until a browser is there that is just being started."""
_MARGIN_SECONDS = 15.0
_ASK_AGAIN_SECONDS = 0.2


class Browser:
    """Takes one picture at a time."""

    def __init__(self, settings: BrowserSettings, link: LauncherLink) -> None:
        self._settings, self._link = settings, link
        self._turn = asyncio.Lock()

    @property
    def missing(self) -> str:
        """Why there is none, and the cure; empty: there is one."""
        return "" if self._settings.socket or self._settings.command else self._settings.missing

    async def take(self, shot: Shot) -> Taken:
        """The picture, or why there is none."""
        if self.missing:
            return Taken(Shown(error=self.missing))
        async with self._turn:
            try:
                async with asyncio.timeout(_STARTING_SECONDS + shot.seconds + _MARGIN_SECONDS):
                    taken = await (self._in_a_room(shot) if self._settings.command else self._beside(shot))
            except TimeoutError:
                return Taken(
                    Shown(error=f"the browser did not answer within {shot.seconds:g} s and a margin")
                )
            except (OSError, EOFError, ValidationError) as error:
                return Taken(Shown(error=f"the browser failed: {error or type(error).__name__}"[:500]))
        return checked(shot, taken)

    async def _beside(self, shot: Shot) -> Taken:
        path = self._settings.socket
        assert path is not None
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(path)
                break
            except OSError:  # its container is being started, or started again
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
        try:
            writer.write(framed(shot.model_dump_json().encode()))
            return await _read(reader, shot)
        finally:
            writer.close()

    async def _in_a_room(self, shot: Shot) -> Taken:
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as said, ours:
            process = await asyncio.create_subprocess_exec(
                *self._settings.command,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
            theirs.close()
            tunnel = Tunnel(self._link.dial)
            try:
                return await self._through(ours, tunnel, shot, said)
            finally:
                await tunnel.close()
                with suppress(ProcessLookupError):
                    process.kill()  # and with it all that is in the room
                await process.wait()

    async def _through(self, ours: socket.socket, tunnel: Tunnel, shot: Shot, said: IO[bytes]) -> Taken:
        wanted = shot.model_copy(update={"tunnel": True})
        with suppress(OSError):  # it has ended already, and said why
            ours.sendall(framed(wanted.model_dump_json().encode()))
        ours.settimeout(_STARTING_SECONDS)
        descriptors: list[int] = []
        with suppress(OSError):
            _, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, ours, 1, 1)
        if not descriptors:
            said.seek(0)
            raise OSError(said.read(300).decode(errors="replace").strip() or "its room did not open")
        await tunnel.begin(socket.socket(fileno=descriptors[0]))
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            return await _read(reader, shot)
        finally:
            writer.close()


def checked(shot: Shot, taken: Taken) -> Taken:
    """What the browser handed out, if it is what was asked for. Pure."""
    if taken.shown.error:
        return Taken(taken.shown)
    match shot.form:
        case Form.PIXELS:
            right = len(taken.picture) == shot.width * shot.height * 3
        case Form.WEBP:
            right = read_header(taken.picture) == Header("image/webp", shot.width, shot.height)
            small = read_header(taken.thumbnail)
            right = right and small is not None and small.media_type == "image/webp"
    if not right:
        return Taken(Shown(error="the browser handed out what was not asked for"))
    shown = taken.shown.model_copy(update={"width": shot.width, "height": shot.height})
    return Taken(shown, taken.picture, taken.thumbnail)


async def _read(reader: asyncio.StreamReader, shot: Shot) -> Taken:
    """Raises OSError, EOFError, ValidationError."""
    most = shot.width * shot.height * 3 if shot.form is Form.PIXELS else MOST_BYTES
    words, picture, thumbnail = [
        await _message(reader, size) for size in (_MOST_WORDS, most, _MOST_THUMBNAIL)
    ]
    return Taken(Shown.model_validate_json(words), picture, thumbnail)


async def _message(reader: asyncio.StreamReader, most: int) -> bytes:
    size = int.from_bytes(await reader.readexactly(4))
    if size > most:
        raise OSError(f"it hands out {size} bytes where {most} are the most")
    return await reader.readexactly(size)
