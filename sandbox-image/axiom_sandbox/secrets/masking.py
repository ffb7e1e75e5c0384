r"""Takes secrets out of a stream of text, the same however the stream is cut. Pure.

A masked text has as many characters, and as many bytes, as the text had, so every offset into it still holds. What a terminal
does not show as text (colours, cursor moves, invisible characters) may stand inside a secret; it stays, and the secret is
found. Text is held back until its line is complete, or longer than 64 Ki characters.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from axiom_sandbox.secrets.scanning import Scanner

_WINDOW = 64 * 1024
"""A longer line is looked through in stretches of so many characters …"""
_OVERLAP = 4 * 1024
"""… that overlap by so many: what is longer than that may be cut."""
_UNSEEN = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)|\x1b[ -/]*[0-Z\\\\^-~]"
    "|\x9b[0-?]*[ -/]*[@-~]|[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
"""Escape sequences, controls but line ends and tabs, and characters that show nothing."""
_MASKS = {1: "*", 2: "×", 3: "＊", 4: "𝟎"}
"""By the bytes that a character takes in UTF-8."""


def masked(scanner: Scanner, text: str) -> str:
    """A whole text without its secrets."""
    masker = Masker(scanner)
    return masker.feed(text) + masker.finish()


class Masker:
    """One stream."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._held = ""
        self._begun = 0
        """Characters of `held` that are looked at a second time; `spilt` are the places in them that are masked already."""
        self._spilt: set[int] = set()
        self._in_key = (False, False)
        """Whether the text as it is, and as it is seen, ended inside a private key."""

    def feed(self, text: str) -> str:
        """The next part of the stream → what is settled of it so far."""
        self._held += text
        out = list[str]()
        while settled := self._settled():
            out.append(settled)
        return "".join(out)

    def finish(self) -> str:
        """The rest, at the stream's end."""
        out = self._take(self._held, len(self._held), ends_line=True) if self._held else ""
        self._held, self._spilt, self._begun = "", set(), 0
        return out

    def _settled(self) -> str:
        first = self._held.find("\n") + 1
        if len(self._held) >= _WINDOW and not 0 < first <= _WINDOW:
            return self._take(self._held[:_WINDOW], _WINDOW - _OVERLAP, ends_line=False)
        if not first:
            return ""
        # as many whole lines as there are, up to one that is too long
        last = first
        if not self._spilt:
            end = self._held.rfind("\n") + 1
            last = end if _longest_line(self._held[:end]) <= _WINDOW else first
        return self._take(self._held[:last], last, ends_line=True)

    def _take(self, text: str, settled: int, *, ends_line: bool) -> str:
        places, in_key = self._places(text)
        places |= self._spilt
        out = text[:settled]
        if places:
            characters = list(out)
            for at in places:
                if at < settled:
                    characters[at] = mask_of(characters[at])
            out = "".join(characters)
        self._held = self._held[settled:]
        self._spilt = set() if ends_line else {at - settled for at in places if at >= settled}
        if ends_line:
            self._in_key = in_key
        return out

    def _places(self, text: str) -> tuple[set[int], tuple[bool, bool]]:
        """Characters that are part of a secret, in the text as it is and as it is seen."""
        as_it_is, as_seen = self._in_key
        spans, as_it_is_after = self._scanner.spans(text, in_key=as_it_is)
        places = {at for span in spans for at in range(span.start, span.end) if text[at] not in "\r\n"}
        shown, starts, shifts = seen(text)
        if len(shown) == len(text) and as_it_is == as_seen:
            return places, (as_it_is_after, as_it_is_after)
        spans, as_seen_after = self._scanner.spans(shown, in_key=as_seen)
        for span in spans:
            for at in range(span.start, span.end):
                if shown[at] not in "\r\n":
                    places.add(at + shifts[bisect_right(starts, at) - 1])
        return places, (as_it_is_after, as_seen_after)


def seen(text: str) -> tuple[str, list[int], list[int]]:
    """What is shown of a text, and from which place on it is shifted by how much."""
    parts, starts, shifts = list[str](), [0], [0]
    at = length = 0
    for unseen in _UNSEEN.finditer(text):
        parts.append(text[at : unseen.start()])
        length += unseen.start() - at
        at = unseen.end()
        starts.append(length)
        shifts.append(at - length)
    parts.append(text[at:])
    return "".join(parts), starts, shifts


def _longest_line(text: str) -> int:
    longest = at = 0
    while (end := text.find("\n", at)) >= 0:
        longest, at = max(longest, end + 1 - at), end + 1
    return longest


def mask_of(character: str) -> str:
    """What stands in its place: line ends stay."""
    if character in "\r\n":
        return character
    return _MASKS[len(character.encode(errors="replace"))]
