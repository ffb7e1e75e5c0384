"""Looks through answers that pass in the clear for text that means to talk a model into something. Pure, but for its cost.

What can be looked at: plain pages, and answers of services that are no model's, such as MCP servers. A finding names rules and
nothing of the text; it goes into the request's line of the audit log, and is counted. Nothing is refused by it.
"""

from __future__ import annotations

from functools import cache

from axiom_sandbox.signals.injections import LONGEST, Detector

_TEXTS = ("text/", "application/json", "application/xml", "application/xhtml+xml", "application/ld+json")


class Ear:
    """One answer: keeps the beginning and the end of it that are looked at, at most 64 KiB in all."""

    def __init__(self) -> None:
        self._begin, self._end = bytearray(), bytearray()

    def feed(self, data: bytes) -> None:
        """The next piece, not compressed."""
        room = LONGEST * 3 // 4 - len(self._begin)
        self._begin += data[:room]
        self._end += data[max(room, 0) :]
        del self._end[: -(LONGEST // 4)]

    def rules(self) -> tuple[str, ...]:
        """Rules that found something, in order. Takes some milliseconds for a long answer."""
        text = (bytes(self._begin) + bytes(self._end)).decode(errors="replace")
        return tuple(sorted({one.rule for one in _detector().find(text)})) if text else ()


def is_text(content_type: str) -> bool:
    """Whether an answer of this kind is text."""
    return content_type.strip().lower().startswith(_TEXTS)


@cache
def _detector() -> Detector:
    return Detector()
