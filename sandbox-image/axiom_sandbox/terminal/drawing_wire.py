"""How frames go to the process that draws them (`drawing`), and what comes back.

A message is its length (four bytes, the first the highest) and its body. There: a JSON list of secrets that are known, then
frames. Back, for each frame: a JSON `Drawn`, the picture, the thumbnail.
"""

from __future__ import annotations

from typing import BinaryIO

from axiom_sandbox.protocol.model import Message

LONGEST = 64 * 1024 * 1024
"""Bytes of a message."""


class Drawn(Message):
    """What was drawn."""

    width: int = 0
    height: int = 0
    """Pixels."""
    text_digest: str = ""
    """SHA-256 of the text that is shown, secrets masked."""
    masked: int = 0
    """Places in which a secret stood."""
    error: str = ""
    """Why nothing was drawn; empty: it was."""


def read_message(stream: BinaryIO) -> bytes | None:
    """The next one; None at the stream's end."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    size = int.from_bytes(head)
    body = stream.read(size) if size <= LONGEST else b""
    return body if len(body) == size else None


def framed(body: bytes) -> bytes:
    """A message as it is sent."""
    return len(body).to_bytes(4) + body
