"""Takes secrets out of a recording, event by event: times, sizes, markers and offsets stay as they are. Pure.

What was shown is one stream and what was typed another, so a secret that is split over events is found.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from axiom_sandbox.secrets.masking import Masker, masked
from axiom_sandbox.secrets.scanning import Scanner
from axiom_sandbox.terminal.recording import Code

_BATCH = 1000
"""Lines that are looked at together, where they are there already."""


def mask_cast(lines: Iterable[bytes], scanner: Scanner) -> Iterator[bytes]:
    """A recording's lines → the same without secrets, as soon as they are settled."""
    masker, batch = CastMasker(scanner), list[bytes]()
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            yield from masker.feed(*batch)
            batch.clear()
    yield from masker.feed(*batch)
    yield from masker.finish()


@dataclass(slots=True)
class _Waiting:
    """A line that is not settled, or that stands behind one."""

    line: bytes
    event: list[Any] | None = None
    missing: int = 0
    """Characters of its text that are still to come."""
    text: str = ""


class CastMasker:
    """One recording, as it comes."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._streams = {code: Masker(scanner) for code in (Code.OUTPUT, Code.INPUT)}
        self._open: dict[str, deque[_Waiting]] = {code: deque() for code in self._streams}
        self._waiting: deque[_Waiting] = deque()

    def feed(self, *lines: bytes) -> Iterator[bytes]:
        """The next lines → lines that are settled."""
        texts: dict[str, list[str]] = {code: [] for code in self._streams}
        for line in lines:
            event = _event(line)
            if event and event[1] in self._streams:
                code, text = str(event[1]), str(event[2])
                waiting = _Waiting(line, event, len(text))
                self._waiting.append(waiting)
                self._open[code].append(waiting)
                texts[code].append(text)
            else:
                self._waiting.append(_Waiting(self._whole(line)))
        for code, masker in self._streams.items():
            self._settle(code, masker.feed("".join(texts[code])))
        yield from self._ready()

    def finish(self) -> Iterator[bytes]:
        """The rest."""
        for code, masker in self._streams.items():
            self._settle(code, masker.finish())
        yield from self._ready()

    def _whole(self, line: bytes) -> bytes:
        """Headers and markers are looked at for themselves."""
        text = line.decode(errors="replace")
        clean = masked(self._scanner, text)
        return line if clean == text else clean.encode()

    def _settle(self, code: str, text: str) -> None:
        waiting, at = self._open[code], 0
        while waiting and (waiting[0].missing <= len(text) - at):
            first = waiting.popleft()
            first.text += text[at : at + first.missing]
            at, first.missing = at + first.missing, 0
        if waiting and at < len(text):
            waiting[0].text += text[at:]
            waiting[0].missing -= len(text) - at

    def _ready(self) -> Iterator[bytes]:
        while self._waiting and not self._waiting[0].missing:
            first = self._waiting.popleft()
            if first.event is None or first.text == first.event[2]:
                yield first.line
            else:
                body = [first.event[0], first.event[1], first.text]
                yield (
                    json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
                    + b"\n"
                )


def _event(line: bytes) -> list[Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(event, list) and len(event) == 3 and isinstance(event[2], str):
        return event
    return None
