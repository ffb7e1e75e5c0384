"""What is said between who wants a picture of a page and the browser that takes it.

A message is its length (four bytes, the first the highest) and its body. There: a JSON `Shot`. Back: a JSON `Shown`, the picture,
its thumbnail; the last two are empty where there is none.
"""

from __future__ import annotations

from enum import StrEnum

from axiom_sandbox.protocol.model import Message

BROWSER_FOLDER = "/axiom/browser"
"""Where a pod's browser has its socket: a volume that the untrusted side does not mount."""
BROWSER_SOCKET = f"{BROWSER_FOLDER}/browser.sock"
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The browsers that will do; the first that is there. The first has no window system, and starts three times as fast."""
MOST_PIXELS = 16_000_000
"""Of one picture."""


class Form(StrEnum):
    """What a picture is handed out as."""

    PIXELS = "pixels"
    """Three bytes for each pixel (red, green, blue), row by row: whoever compares decodes nothing of the browser's."""
    WEBP = "webp"
    """Lossless, with a thumbnail."""


class Shot(Message):
    """One picture that is wanted."""

    port: int
    """Of 127.0.0.1, where the server listens."""
    path: str = "/"
    width: int
    height: int
    """Pixels of the window."""
    seconds: float
    """How long all of it may take."""
    form: Form
    tunnel: bool = False
    """The browser has a network of its own: it hands out a listening socket first, behind which whoever asks speaks SOCKS."""


class Shown(Message):
    """What came of it."""

    error: str = ""
    """Why there is no picture; empty: there is one."""
    refused: bool = False
    """The error is the server's: it does not show the page."""
    width: int = 0
    height: int = 0
    status: int = 0
    """HTTP status of the page; 0: not known."""
    settled: bool = False
    """Whether the page had come to rest; else it is shown as it was when the time was over."""
    browser: str = ""
    """Name and version."""
