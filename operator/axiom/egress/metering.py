"""Reads what an answer used out of its bytes as they pass. Pure; keeps no text, and nothing that it reads can disturb it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from axiom.egress.model_apis import ModelApi, Tokens
from axiom.egress.scanning import JsonScanner, Scalar

BYTES_PER_TOKEN = 4
"""Of what has to be estimated: fewer than a vendor's bytes of JSON hold, so that an estimate is rather too high."""
_HINTS = (b"usage", b"error", b"finishReason")
"""A line of a stream that holds none of them tells nothing new, once the model is known."""
_FIELD = b"data:"


class Certainty(Enum):
    """How an answer's tokens are known."""

    TOLD = auto()
    """By the vendor."""
    ESTIMATED = auto()
    """From the size of question and answer: the answer broke off before its usage was told."""
    UNTOLD = auto()
    """Not at all: the answer ended in order, and told no usage."""


class Reading(NamedTuple):
    """What is known of an answer at its end."""

    certainty: Certainty
    tokens: Tokens
    model: str
    """"" where the answer names none."""

    def within(self, output: int | None) -> Reading:
        """The same, but no more estimated than the question allows: so many tokens, if it says so."""
        if output is None or self.certainty is not Certainty.ESTIMATED:
            return self
        return self._replace(tokens=self.tokens._replace(output=min(self.tokens.output, output)))


class Meter:
    """One answer. `feed` takes its body (not compressed) in pieces of any length."""

    def __init__(self, api: ModelApi, content_type: str) -> None:
        """`content_type` tells a stream of events from a whole answer."""
        self._api = api
        self._finals, self._failures = frozenset(api.finals), frozenset(api.failures)
        self._counts: dict[str, int] = {}
        self._model = ""
        self._is_last = self._is_final = self._has_failed = False
        scanner = JsonScanner(api.wanted, self._note, self._note_end)
        is_stream = content_type.partition(";")[0].strip().lower() == "text/event-stream"
        self._lines = _Lines(scanner, self._may_skip) if is_stream else None
        self._scanner = scanner

    def feed(self, data: bytes) -> None:
        """The next piece."""
        if self._lines is not None:
            self._lines.feed(data)
        elif not self._scanner.is_over:
            self._scanner.feed(data)

    def read(self, *, is_whole: bool, up: int, down: int) -> Reading:
        """At the end.

        Args:
            is_whole: the answer came to its end, and did not break off.
            up: bytes of the question's body, as large as it is without compression.
            down: bytes of the answer's body.
        """
        tokens = self._api.tokens(self._counts)
        is_in_order = is_whole and not self._has_failed
        if self._is_final or (is_in_order and self._counts):
            return Reading(Certainty.TOLD, tokens, self._model)
        if is_in_order:
            return Reading(Certainty.UNTOLD, Tokens(), self._model)
        return Reading(Certainty.ESTIMATED, _at_least(tokens, up, down), self._model)

    def _note(self, place: str, value: Scalar) -> None:
        if place in self._finals and value is not None:
            self._is_last = True
        if place in self._failures and value is not None:
            self._has_failed = True
        if (name := self._api.counts.get(place)) and isinstance(value, int) and value >= 0:
            self._counts[name] = int(value)
        elif place in self._api.models and isinstance(value, str) and not self._model:
            self._model = value

    def _note_end(self) -> None:
        # not before: what tells that numbers are whole may stand before the last of them
        self._is_final = self._is_final or self._is_last

    def _may_skip(self, line: bytes) -> bool:
        return bool(self._model) and not any(hint in line for hint in _HINTS)


class _Lines:
    """The `data:` lines of a stream of events; each is a JSON text of its own, as all vendors write them."""

    def __init__(self, scanner: JsonScanner, may_skip: Callable[[bytes], bool]) -> None:
        self._scanner, self._may_skip = scanner, may_skip
        self._begun = b""
        """The first bytes of a line that came in pieces, until it is clear whether it is data."""
        self._is_data: bool | None = None
        """Whether the present line is; None before that is clear."""

    def feed(self, data: bytes) -> None:
        start, size = 0, len(data)
        while start < size:
            end = data.find(b"\n", start)
            is_whole = end >= 0
            self._take(data[start : end if is_whole else size], is_whole)
            start = end + 1 if is_whole else size

    def _take(self, part: bytes, is_whole: bool) -> None:
        if self._is_data:
            self._scanner.feed(part)
        elif self._is_data is None and is_whole and not self._begun:
            if part.startswith(_FIELD) and not self._may_skip(part):
                self._begin(part)
        elif self._is_data is None:
            self._begun += part
            if len(self._begun) >= len(_FIELD):
                self._is_data = self._begun.startswith(_FIELD)
                if self._is_data:
                    self._begin(self._begun)
                self._begun = b""
        if is_whole:
            self._is_data, self._begun = None, b""

    def _begin(self, line: bytes) -> None:
        self._scanner.reset()
        self._scanner.feed(line[len(_FIELD) :])


def _at_least(told: Tokens, up: int, down: int) -> Tokens:
    """What was told, and of the sides of which nothing was told, their size in tokens."""
    given = told.input + told.cached_input + told.cache_write
    return told._replace(
        input=told.input if given else -(-up // BYTES_PER_TOKEN),
        output=max(told.output, -(-down // BYTES_PER_TOKEN)),
    )
