"""The list of changes as JSON, written and read object by object: with 200,000 of them its whole text would fill memory.

Canonical: ASCII, sorted keys, no spaces, so that equal lists are equal bytes. Names that are no UTF-8 survive as escaped
surrogates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter

from axiom_sandbox.protocol.changes import Change, Changes, Finding

_BASE, _CHANGES, _FINDINGS, _END = '{"base":', ',"changes":[', ',"findings":[', "}"
_CHANGE, _FINDING = TypeAdapter(Change), TypeAdapter(Finding)
_LONGEST_OBJECT = 1024 * 1024
"""Characters; paths and targets have 4096 bytes at most, six characters each."""

T = TypeVar("T")


def written(changes: Changes) -> Iterator[bytes]:
    """The list, in pieces."""
    yield f"{_BASE}{json.dumps(changes.base)}{_CHANGES}".encode()
    yield from _joined(changes.changes)
    yield f"]{_FINDINGS}".encode()
    yield from _joined(changes.findings)
    yield f"]{_END}".encode()


def read(chunks: Iterable[bytes]) -> Changes:
    """What `written` wrote, from pieces of any size. Raises ValueError."""
    text = _Text(chunks)
    text.expect(_BASE)
    base = text.value()
    text.expect(_CHANGES)
    changes = tuple(_CHANGE.validate_python(item) for item in text.values())
    text.expect(_FINDINGS)
    findings = tuple(_FINDING.validate_python(item) for item in text.values())
    text.expect(_END)
    text.end()
    return Changes(base=base, changes=changes, findings=findings)


def _joined(items: Sequence[Change | Finding]) -> Iterator[bytes]:
    for number, item in enumerate(items):
        yield (
            b"," * (number > 0)
            + json.dumps(asdict(item), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        )


class _Text:
    """Text that arrives in pieces."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._decoder = json.JSONDecoder()
        self._text, self._at = "", 0

    def expect(self, wanted: str) -> None:
        while len(self._text) - self._at < len(wanted):
            self._more()
        if not self._text.startswith(wanted, self._at):
            raise ValueError(f"{wanted!r} is missing")
        self._at += len(wanted)

    def value(self) -> Any:
        """The next value, which ends before the text does."""
        while True:
            try:
                found, self._at = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > _LONGEST_OBJECT:
                    raise
                self._more()
            else:
                return found

    def values(self) -> Iterator[Any]:
        """Values between commas, up to the bracket that ends them."""
        if self._next() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            separator = self._next()
            self._at += 1
            if separator == "]":
                return
            if separator != ",":
                raise ValueError("a comma is missing")

    def end(self) -> None:
        """Raises ValueError when there is more."""
        if self._at < len(self._text) or any(self._chunks):
            raise ValueError("there is more than the list")

    def _next(self) -> str:
        if self._at == len(self._text):
            self._more()
        return self._text[self._at]

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise ValueError("the list ends early")
        self._text, self._at = self._text[self._at :] + chunk.decode("ascii"), 0
