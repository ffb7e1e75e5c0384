"""A picture of a page as it goes from the browser to who wanted it; the form of messages is in `protocol.pages`."""

from __future__ import annotations

from dataclasses import dataclass

from axiom_sandbox.protocol.pages import Shown
from axiom_sandbox.terminal.drawing_wire import framed


@dataclass(frozen=True)
class Taken:
    """A picture, or why there is none."""

    shown: Shown
    picture: bytes = b""
    """In the form that was asked for."""
    thumbnail: bytes = b""
    """WebP; empty where none was asked for."""

    def to_bytes(self) -> bytes:
        """As it is sent."""
        parts = (self.shown.model_dump_json().encode(), self.picture, self.thumbnail)
        return b"".join(map(framed, parts))
