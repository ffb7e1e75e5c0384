r"""From a terminal's raw output to plain text that is safe to show to people. Pure, linear in time.

Escape sequences go (the state machine follows the DEC ANSI parser as described on vt100.net), and so does
everything invisible that could make a line read differently from what it says. This is not an emulator: of all
that moves the cursor, only \r, \b, \t and erasing the line are followed.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum, auto

_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,4096}")
_STRING_END = re.compile(r"[\x07\x18\x1a\x1b\x9c]")
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Bidirectional controls, and other characters that show nothing. The joiners that emoji need stay."""
_ACTED_ON = re.compile(r"\x1b(?!\[[0-9;:]*m)|[\x00-\x09\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
"""All controls but line ends, and the beginnings of all escape sequences but those that colour."""
_TAB = 8
_LONGEST_PARAMETERS = 32
_UNDECODABLE = {0xDC00 + byte: byte if byte < 0xA0 else 0xFFFD for byte in range(0x80, 0x100)}
"""Bytes that are no UTF-8: the C1 controls among them act as such, all else is a replacement character."""


class _State(Enum):
    GROUND = auto()
    ESCAPE = auto()
    ESCAPE_INTERMEDIATE = auto()
    CONTROL_SEQUENCE = auto()
    STRING = auto()
    """OSC, DCS, APC, PM and SOS: up to ST, BEL, CAN, SUB or another escape."""


def printable(data: bytes, limit: int) -> str:
    r"""Raw output → its last lines as plain text: no control character but \n, nothing invisible.

    Args:
        data: any bytes, cut anywhere. An escape sequence that lacks its beginning shows as text.
        limit: at most so many characters; the last ones are kept.
    """
    parser = _Parser(limit)
    parser.feed(data.decode(errors="surrogateescape").translate(_UNDECODABLE))
    return parser.text()


def drawable(styled: bytes) -> bytes:
    """A screen as an emulator writes it down, for a person's terminal: its colours, and nothing else that is acted on.

    A character that an emulator keeps in a cell of its own (DEL) stays one cell wide.
    """
    return _INVISIBLE.sub("", _ACTED_ON.sub("\ufffd", styled.decode(errors="replace"))).encode()


class _Page:
    """The last lines of what was written. Never holds more than a small multiple of `limit` characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: deque[str] = deque()
        self._size = 0
        self._line: list[str] = []
        self._column = 0

    def write(self, run: str) -> None:
        self._line[self._column : self._column + len(run)] = run
        self._column += len(run)
        self._forget()

    def tab(self) -> None:
        self._column += _TAB - self._column % _TAB
        self._line.extend(" " * (self._column - len(self._line)))
        self._forget()

    def back(self) -> None:
        self._column = max(self._column - 1, 0)

    def begin_line(self) -> None:
        self._column = 0

    def erase(self, parameters: str) -> None:
        """EL: the rest of the line, or all of it; then the cursor goes to its beginning."""
        if parameters == "2":
            self._column = 0
        if parameters in ("", "0", "2"):
            del self._line[self._column :]

    def _forget(self) -> None:
        """Drop the beginning of a line that is too long, now and then."""
        if len(self._line) > 2 * self._limit + 1024:
            surplus = min(len(self._line) - self._limit, self._column)
            del self._line[:surplus]
            self._column -= surplus

    def end_line(self) -> None:
        line = "".join(self._line).rstrip()
        self._line, self._column = [], 0
        self._lines.append(line[-self._limit :])
        self._size += len(self._lines[-1]) + 1
        while self._size - len(self._lines[0]) - 1 > self._limit:
            self._size -= len(self._lines.popleft()) + 1

    def text(self) -> str:
        whole = "\n".join((*self._lines, "".join(self._line).rstrip())).strip("\n")
        return whole[max(len(whole) - self._limit, 0) :].strip("\n")


class _Parser:
    """The state machine: control functions in, characters onto the page."""

    def __init__(self, limit: int) -> None:
        self._page = _Page(max(limit, 0))
        self._state = _State.GROUND
        self._parameters = ""

    def text(self) -> str:
        return self._page.text()

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self._state is _State.GROUND and (run := _PLAIN.match(text, at)):
                self._page.write(_INVISIBLE.sub("", run[0]))
                at = run.end()
            elif self._state is _State.STRING:
                end = _STRING_END.search(text, at)
                at = end.start() if end else len(text)
                if end:
                    self._end_string(text[at])
                    at += 1
            else:
                self._take(text[at])
                at += 1

    def _end_string(self, character: str) -> None:
        self._state = _State.ESCAPE if character == "\x1b" else _State.GROUND

    def _take(self, character: str) -> None:
        """One character that is not plain, or that stands in a sequence."""
        if "\x80" <= character <= "\x9f":
            self._introduce(chr(ord(character) - 0x40))
        elif character == "\x1b":
            self._state = _State.ESCAPE
        elif character in "\x18\x1a":
            self._state = _State.GROUND
        elif character < " " or character == "\x7f":
            self._control(character)
        elif self._state is _State.ESCAPE:
            self._escape(character)
        elif self._state is _State.ESCAPE_INTERMEDIATE:
            if character > "/":
                self._state = _State.GROUND
        else:
            self._sequence(character)

    def _introduce(self, character: str) -> None:
        """What follows ESC, or the C1 control that stands for both."""
        self._parameters = ""
        if character == "[":
            self._state = _State.CONTROL_SEQUENCE
        elif character in "]P_^X":
            self._state = _State.STRING
        else:
            self._state = _State.GROUND
            if character in "DE":
                self._page.end_line()

    def _escape(self, character: str) -> None:
        if " " <= character <= "/":
            self._state = _State.ESCAPE_INTERMEDIATE
        else:
            self._introduce(character)

    def _sequence(self, character: str) -> None:
        if character > "?":
            if character == "K":
                self._page.erase(self._parameters)
            self._state = _State.GROUND
        elif len(self._parameters) < _LONGEST_PARAMETERS:
            self._parameters += character

    def _control(self, character: str) -> None:
        """C0 controls act even inside a control sequence."""
        if character in "\n\v\f":
            self._page.end_line()
        elif character == "\r":
            self._page.begin_line()
        elif character == "\b":
            self._page.back()
        elif character == "\t":
            self._page.tab()
