"""Evidence without its secrets, as it is shown and served: by their form, and by values that are known. Pure, but for the environment.

A masked record is not the one that was hashed, so proofs are made of the original. A record without secrets stays as it is,
byte for byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from axiom_sandbox.secrets.masking import masked
from axiom_sandbox.secrets.scanning import SHORTEST_VALUE, Scanner

_KNOWN = "AXIOM_CREDENTIAL_"
"""Variables with keys of local runs: whoever runs tasks here has them set."""
_CHAIN = ("prev", "hash")


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
    chosen = scanner or scanner_of()
    for line in lines:
        yield mask_line(line, chosen)


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
