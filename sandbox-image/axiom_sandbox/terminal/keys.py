"""From text to what a person at the terminal would have sent. Pure."""

from __future__ import annotations

import re

_BEGIN, _END = b"\x1b[200~", b"\x1b[201~"
_LINE_END = re.compile(r"\r\n?|\n")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def bracketed_paste(text: str) -> bytes:
    """Text → the bytes of a bracketed paste (xterm mode 2004), line ends as Enter sends them.

    Nothing in the text can end the paste or press a key: the end sequence goes, and so does every control
    character but line ends and tabs. A lone surrogate becomes a question mark.
    """
    return _BEGIN + entered_lines(text) + _END


def entered_lines(text: str) -> bytes:
    """Text → the bytes of its lines, each but the last entered: a paste into a program that does not ask for marks."""
    return plain_text(text).replace("\n", "\r").encode(errors="replace")


def plain_text(text: str) -> str:
    r"""Text that presses no key: no control characters but tabs, and \n at line ends."""
    return _LINE_END.sub("\n", _CONTROL.sub("", text.replace(_END.decode(), "")))
