"""Regular expressions over bytes that anybody may have written: in linear time and bounded memory, and silent. Pure."""

from __future__ import annotations

from typing import Any

import re2

_MEMORY = 64 * 1024 * 1024
"""Bytes that an automaton may take."""


def compiled(pattern: bytes) -> Any:
    """Ready to be looked for. Raises re2.error."""
    return re2.compile(pattern, _options())


def together(patterns: list[bytes]) -> Any:
    """All patterns in one automaton, which says in one pass which of them occur."""
    united = re2.Set.SearchSet(_options())
    for pattern in patterns:
        united.Add(pattern)
    united.Compile()
    return united


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY
    return options
