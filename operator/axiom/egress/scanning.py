"""Finds single values in JSON text that comes in pieces of any length, without keeping the text. Pure.

What is not wanted is skipped as it passes, so memory does not grow with the text, nor with how deeply it is nested. Text
that is no JSON is never an error: it holds nothing that was wanted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

Scalar = str | int | float | bool | None

ANY = "*"
"""In a place: each element of an array."""
_LONGEST_KEY = 64
_LONGEST_TEXT = 256
_LONGEST_LITERAL = 64

_TOKEN = re.compile(rb'["{}\[\],:]|[^\s"{}\[\],:]+')
_LITERAL = re.compile(rb'[^\s"{}\[\],:]*')
_BRACKET = re.compile(rb'["{}\[\]]')
_STRING_STOP = re.compile(rb'["\\]')

_Places = dict[str, Any]
"""A tree: key → what is wanted below it; a place as str is a value that is wanted itself."""


def tree_of(places: Iterable[str]) -> _Places:
    """Places such as `usage.input_tokens` and `candidates.*.finishReason`; `*` is each element of an array.

    No place may be the beginning of another.
    """
    root: _Places = {}
    for place in places:
        *parents, last = place.split(".")
        node = root
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = place
    return root


class JsonScanner:
    """One JSON text after the other; `reset` begins the next."""

    def __init__(
        self,
        wanted: _Places,
        found: Callable[[str, Scalar], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """`wanted` comes from `tree_of`.

        `found` is called with each place and its value, in their order; `ended` when a text has come to its end.
        """
        self._wanted, self._found, self._ended = wanted, found, ended
        self.reset()

    def reset(self) -> None:
        """Forgets what was begun."""
        self._stack: list[tuple[bool, _Places]] = []
        """Containers that lead to something wanted: whether it is an object, and what is wanted in it."""
        self._skipped = 0
        """Containers that are open within a value that is not wanted."""
        self._next: object = self._wanted
        """What the next value is wanted for: a tree, a place, or None."""
        self._is_key = self._in_string = self._escaped = False
        self._text: bytearray | None = None
        """The string that is being read; None when it is skipped."""
        self._longest = 0
        self._literal = b""
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """The text has ended, or is no JSON: nothing more will be found."""
        return self._is_over

    def feed(self, data: bytes) -> None:
        """The next piece."""
        position = self._go_on_with_literal(data) if self._literal else 0
        size = len(data)
        while position < size and not self._is_over:
            if self._in_string:
                position = self._read_string(data, position)
            elif self._skipped:
                position = self._skip(data, position)
            else:
                position = self._read_token(data, position)

    def _go_on_with_literal(self, data: bytes) -> int:
        match = _LITERAL.match(data)
        end = match.end() if match else 0
        self._literal = (self._literal + data[:end])[: _LONGEST_LITERAL + 1]
        if end < len(data):
            self._end_literal()
        return end

    def _read_token(self, data: bytes, position: int) -> int:
        match = _TOKEN.search(data, position)
        if match is None:
            return len(data)
        position = match.end()
        match match[0]:
            case b'"':
                self._begin_string()
            case b"{":
                self._open(is_object=True)
            case b"[":
                self._open(is_object=False)
            case b"}" | b"]":
                self._close(is_object=match[0] == b"}")
            case b",":
                self._expect_next()
            case b":":
                pass
            case literal:
                self._literal = literal[: _LONGEST_LITERAL + 1]
                if position < len(data):
                    self._end_literal()
        return position

    def _skip(self, data: bytes, position: int) -> int:
        match = _BRACKET.search(data, position)
        if match is None:
            return len(data)
        if match[0] == b'"':
            self._in_string, self._text = True, None
        elif match[0] in b"{[":
            self._skipped += 1
        else:
            self._skipped -= 1
            self._after_value()
        return match.end()

    def _begin_string(self) -> None:
        self._in_string = True
        wanted = self._is_key or isinstance(self._next, str)
        self._text, self._longest = bytearray() if wanted else None, _LONGEST_TEXT
        if self._is_key:
            self._longest = _LONGEST_KEY

    def _read_string(self, data: bytes, position: int) -> int:
        if self._escaped:
            self._escaped = False
            self._keep(data[position : position + 1])
            return position + 1
        match = _STRING_STOP.search(data, position)
        end = len(data) if match is None else match.start()
        self._keep(data[position:end])
        if match is None:
            return end
        if match[0] == b"\\":
            self._escaped = True
            self._keep(b"\\")
        else:
            self._end_string()
        return match.end()

    def _keep(self, part: bytes) -> None:
        if self._text is not None:
            self._text += part[: self._longest + 1 - len(self._text)]

    def _end_string(self) -> None:
        self._in_string = False
        text = _text_of(self._text) if self._text is not None and len(self._text) <= self._longest else None
        self._text = None
        if self._skipped:
            return
        if self._is_key:
            self._is_key = False
            self._next = self._stack[-1][1].get(text) if self._stack and text not in (None, ANY) else None
        else:
            if isinstance(self._next, str) and text is not None:
                self._found(self._next, text)
            self._after_value()

    def _end_literal(self) -> None:
        literal, self._literal = self._literal, b""
        if isinstance(self._next, str):
            try:
                value = json.loads(literal)
            except ValueError:
                self._is_over = True
                return
            self._found(self._next, value)
        self._after_value()

    def _open(self, *, is_object: bool) -> None:
        wanted = self._next
        if not isinstance(wanted, dict):
            self._skipped = 1
            return
        self._stack.append((is_object, wanted))
        self._is_key = is_object
        self._next = None if is_object else wanted.get(ANY)

    def _close(self, *, is_object: bool) -> None:
        if not self._stack or self._stack.pop()[0] is not is_object:
            self._is_over = True
            return
        self._after_value()

    def _after_value(self) -> None:
        self._next, self._is_key = None, False
        if not self._stack and not self._skipped:
            self._is_over = True
            self._ended()

    def _expect_next(self) -> None:
        if not self._stack:
            self._is_over = True
            return
        is_object, wanted = self._stack[-1]
        self._is_key = is_object
        self._next = None if is_object else wanted.get(ANY)


def _text_of(raw: bytearray) -> str | None:
    if b"\\" not in raw:
        return raw.decode("utf-8", errors="replace")
    try:
        return str(json.loads(b'"' + bytes(raw) + b'"'))
    except ValueError:
        return None
