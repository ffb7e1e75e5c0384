"""Takes the real key out of a vendor's answer while it streams. Pure."""

from __future__ import annotations

SHORTEST_KEY = 8
"""Characters: what is shorter is no secret, and would be found in ordinary text."""


class Redactor:
    """Replaces each occurrence of a key by as many `*`, also when it is split over chunks.

    Bytes are held back only while they could be the beginning of the key, so events pass as soon as they come.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode() if len(key) >= SHORTEST_KEY else b""
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may be passed on now; b"" when all of it has to wait."""
        if not self._key:
            return chunk
        data = self._held + chunk
        if self._key in data:
            data = data.replace(self._key, b"*" * len(self._key))
        kept = self._beginning(data)
        self._held = data[len(data) - kept :]
        return data[: len(data) - kept]

    def finish(self) -> bytes:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, b""
        return held

    def _beginning(self, data: bytes) -> int:
        """Length of the longest end of `data` that a key begins with."""
        start = max(0, len(data) - len(self._key) + 1)
        while (start := data.find(self._key[:1], start)) >= 0:
            if self._key.startswith(data[start:]):
                return len(data) - start
            start += 1
        return 0
