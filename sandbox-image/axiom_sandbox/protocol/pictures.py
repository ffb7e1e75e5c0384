"""Pictures of what an agent showed: of its terminal, and those that its tools wrote."""

from __future__ import annotations

from enum import StrEnum

from axiom_sandbox.protocol.model import Message

SCREENSHOT = "screenshot"
"""How the names of all their blobs begin."""
UNMASKED = "screenshot-file"
"""How those of pictures begin that tools wrote: nobody has looked for secrets in them."""


class PictureReason(StrEnum):
    """Why a picture was taken."""

    STATE = "state"
    """What the agent is doing changed."""
    APPROVAL = "approval"
    """It asked whether a tool may run, or was answered."""
    CLAIM = "claim"
    """Its round ended."""
    FAILURE = "failure"
    """Its turn, its process or the sandbox failed."""
    INTERVAL = "interval"
    """A minute had passed in which the terminal changed."""
    FILE = "file"
    """A tool wrote it."""
    PAGE = "page"
    """The class has a page photographed."""
    PROBE = "probe"
    """A criterion of type Probe compared it, or shows where it differs."""


class PagePictures(Message):
    """A page that is photographed."""

    port: int
    path: str
    seconds: float
    """Between two pictures."""
    width: int
    height: int

    @property
    def address(self) -> str:
        """As a browser knows it."""
        return f"http://127.0.0.1:{self.port}{self.path}"


class PictureSettings(Message):
    """Which pictures are kept."""

    terminal: bool = False
    """Those of the terminal."""
    folder: str = ""
    """Where tools write some, as the agent sees it; empty: nowhere."""
    pages: tuple[PagePictures, ...] = ()
    """Those of pages that its servers serve."""
