"""Evidence without its secrets, as it is shown and served: by their form, and by values that are known. Pure, but for the environment.

A masked record is not the one that was hashed, so proofs are made of the original. A record without secrets stays as it is,
byte for byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from axiom_sandbox.protocol.events import AssistantDelta
from axiom_sandbox.secrets.masking import mask_of, masked
from axiom_sandbox.secrets.scanning import SHORTEST_VALUE, Scanner

_KNOWN = "AXIOM_CREDENTIAL_"
"""Variables with keys of local runs: whoever runs tasks here has them set."""
_CHAIN = ("prev", "hash")
_PIECES = f'"event":"{AssistantDelta.event}"'.encode()
_HEAD = 600
"""Bytes of a line within which its event is named."""
_LONGEST_SECRET = 4096


@lru_cache(maxsize=1)
def scanner_of() -> Scanner:
    """All forms, and the keys in this process's environment."""
    return Scanner(value for name, value in os.environ.items() if name.startswith(_KNOWN))


def mask_line(line: bytes, scanner: Scanner) -> bytes:
    """One line of a ledger. What is no JSON is masked as text."""
    text = line.decode(errors="replace")
    if not _may_hold(scanner, text):
        return line
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return masked(scanner, text).encode()
    if not isinstance(record, dict):
        return masked(scanner, text).encode()
    clean = {key: value if key in _CHAIN else _clean(value, scanner) for key, value in record.items()}
    if clean == record:
        return line
    end = b"\n" if line.endswith(b"\n") else b""
    return json.dumps(clean, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + end


def mask_lines(lines: Iterable[bytes], scanner: Scanner | None = None) -> Iterator[bytes]:
    """Lines of a ledger."""
    masker = LineMasker(scanner or scanner_of())
    for line in lines:
        yield from masker.feed(line)
    yield from masker.finish()


class LineMasker:
    """The lines of one ledger, as they come.

    What a model says comes in pieces, a record each: their texts are one stream, so that a secret that is split over records
    is found. Such a record is held back until a space follows what it says, or another record comes.
    """

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._waiting: list[_Piece] = []
        self._stream = _Stream(scanner)

    def feed(self, line: bytes) -> list[bytes]:
        """The next line → lines that are settled."""
        piece = _piece_of(line)
        if piece is None:
            return [*self.finish(), mask_line(line, self._scanner)]
        begun = [] if not self._waiting or self._waiting[-1].stream == piece.stream else self.finish()
        if piece.stream != self._stream.name:
            self._stream = _Stream(self._scanner, piece.stream)
        self._waiting.append(piece)
        return [*begun, *self._settle(self._stream.feed(piece.text))]

    def finish(self) -> list[bytes]:
        """What waits, at the end of what is said."""
        settled = self._settle(self._stream.finish())
        self._stream = _Stream(self._scanner)
        return settled

    def _settle(self, text: str) -> list[bytes]:
        out = []
        for piece in list(self._waiting):
            taken = text[: piece.missing]
            piece.shown, text = piece.shown + taken, text[len(taken) :]
            if piece.missing:
                break
            out.append(piece.line(self._scanner))
            self._waiting.remove(piece)
        return out


@dataclass(eq=False)
class _Piece:
    """A record that holds a part of what is said."""

    data: bytes
    record: dict[str, Any]
    shown: str = ""
    """Of its text, what is settled."""

    @property
    def text(self) -> str:
        return str(self.record["payload"]["text"])

    @property
    def stream(self) -> tuple[Any, ...]:
        """Equal for parts of the same."""
        payload = self.record["payload"]
        return payload.get("round"), payload.get("reasoning")

    @property
    def missing(self) -> int:
        return len(self.text) - len(self.shown)

    def line(self, scanner: Scanner) -> bytes:
        if self.shown == self.text:
            return mask_line(self.data, scanner)
        clean = {**self.record, "payload": {**self.record["payload"], "text": self.shown}}
        end = b"\n" if self.data.endswith(b"\n") else b""
        text = json.dumps(clean, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return mask_line(text + end, scanner)


class _Stream:
    """A text that comes in pieces, settled up to its last space: a secret holds none."""

    def __init__(self, scanner: Scanner, name: tuple[Any, ...] | None = None) -> None:
        self.name = name
        self._scanner = scanner
        self._line, self._settled = "", 0
        """The text since the last line's end, and how many characters of it are settled."""
        self._in_key = False

    def feed(self, text: str) -> str:
        self._line += text
        last = max(map(self._line.rfind, " \t\n")) + 1
        return self._take(last if len(self._line) - last < _LONGEST_SECRET else len(self._line))

    def finish(self) -> str:
        return self._take(len(self._line))

    def _take(self, end: int) -> str:
        if end <= self._settled:
            return ""
        spans, _ = self._scanner.spans(self._line, in_key=self._in_key)
        characters = list(self._line)
        for span in spans:
            for at in range(span.start, span.end):
                characters[at] = mask_of(characters[at])
        out, self._settled = "".join(characters[self._settled : end]), end
        if line_end := self._line.rfind("\n", 0, end) + 1:
            _, self._in_key = self._scanner.spans(self._line[:line_end], in_key=self._in_key)
            self._line, self._settled = self._line[line_end:], end - line_end
        if self._settled > 2 * _LONGEST_SECRET:
            self._line, self._settled = self._line[self._settled - _LONGEST_SECRET :], _LONGEST_SECRET
        return out


def _piece_of(line: bytes) -> _Piece | None:
    if _PIECES not in line[:_HEAD]:
        return None
    try:
        record = json.loads(line)
        is_piece = isinstance(record["payload"]["text"], str) and record["event"] == AssistantDelta.event
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return _Piece(line, record) if is_piece else None


def mask_text(data: bytes, scanner: Scanner | None = None) -> bytes:
    """A patch, or another text; bytes that are no UTF-8 stay as they are."""
    text = data.decode(errors="surrogateescape")
    clean = masked(scanner or scanner_of(), text)
    return data if clean == text else clean.encode(errors="surrogateescape")


def _may_hold(scanner: Scanner, text: str) -> bool:
    """Whether it is worth taking apart: its text as it stands, or something that JSON or a terminal hides."""
    return "\\" in text or not text.isascii() or bool(scanner.spans(text)[0])


def _clean(value: Any, scanner: Scanner) -> Any:
    match value:
        case str() if len(value) >= SHORTEST_VALUE:
            return masked(scanner, value)
        case dict():
            return {_clean(key, scanner): _clean(item, scanner) for key, item in value.items()}
        case list():
            return [_clean(item, scanner) for item in value]
        case _:
            return value
