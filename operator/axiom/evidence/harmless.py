"""Text of agents made fit for a person's terminal or a Markdown page. Pure.

Nothing here trusts what it shows: control characters, marks that reorder text and characters that show nothing become
visible escapes; in Markdown everything foreign stands in code spans and code blocks, in which nothing is interpreted.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable

_KEPT = "\n\t"
_TICKS = re.compile("`+")


def plain(text: str, *, kept: str = _KEPT) -> str:
    r"""All that is not visible as an escape such as `\x1b`; `kept` characters stay."""
    return _with_visible(text, kept, _escaped)


def visible_json(text: str) -> str:
    r"""JSON in which all that is not visible is escaped, as `\u009b`: it says the same."""
    return _with_visible(text, _KEPT, _escaped_in_json)


def one_line(text: str, limit: int) -> str:
    """The same without line ends, and cut after `limit` characters."""
    shown = plain(text[: limit + 1], kept="").strip()
    return shown if len(text) <= limit else shown[:limit] + "…"


def shown_payload(payload: object, limit: int) -> str:
    """A payload as JSON in ASCII, cut after `limit` characters."""
    text = json.dumps(payload, ensure_ascii=True)
    return text if len(text) <= limit else text[:limit] + "…"


def code_span(text: str, limit: int = 200) -> str:
    """For a line or a table cell of Markdown."""
    shown = one_line(text, limit).replace("|", "¦")
    if not shown:
        return "—"
    fence = "`" * (max((len(run) for run in _TICKS.findall(shown)), default=0) + 1)
    padding = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


def code_block(text: str, limit: int = 20_000) -> str:
    """For a block of Markdown; the beginning and the end are kept of what is too long."""
    shown = plain(text.replace("\r\n", "\n")).strip("\n")
    if len(shown) > limit:
        half = limit // 2
        shown = f"{shown[:half]}\n[… {len(shown) - 2 * half} characters left out …]\n{shown[-half:]}"
    longest = max((len(run) for run in _TICKS.findall(shown)), default=0)
    fence = "`" * max(longest + 1, 3)
    return f"{fence}text\n{shown}\n{fence}"


def _with_visible(text: str, kept: str, escaped: Callable[[str], str]) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character in kept or not _is_hidden(character) else escaped(character)
        for character in text
    )


def _is_hidden(character: str) -> bool:
    return character != " " and unicodedata.category(character) in {
        "Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs",
    }  # fmt: skip


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped_in_json(character: str) -> str:
    return json.dumps(character, ensure_ascii=True)[1:-1] if character != "\x7f" else "\\u007f"
