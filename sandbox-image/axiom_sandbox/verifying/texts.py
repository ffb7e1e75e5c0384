"""Text that came from a candidate, made fit for a person, a status and an agent's prompt. Pure."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

MAX_MESSAGE = 2000
MAX_NAMED = 8

_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str, limit: int = MAX_MESSAGE) -> str:
    """Without control and bidirectional characters but line ends and tabs, at most `limit` characters."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace") if _has_surrogates(text) else text
    kept = "".join(char for char in text[: 4 * limit] if char in "\n\t" or _is_visible(char)).strip()
    return kept if len(kept) <= limit else f"{kept[: limit - 1]}…"


def clean_bytes(data: bytes, limit: int = MAX_MESSAGE) -> str:
    """The last part of some output, as `clean` does it."""
    return clean(data[-limit * 4 :].decode("utf-8", "replace")[-limit:], limit)


def named(items: Sequence[str], most: int = MAX_NAMED) -> str:
    """`a, b and 3 more`."""
    listed = ", ".join(items[:most])
    return f"{listed} and {len(items) - most} more" if len(items) > most else listed


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def _is_visible(char: str) -> bool:
    return char not in _BIDIRECTIONAL and unicodedata.category(char) not in {"Cc", "Cs"}
