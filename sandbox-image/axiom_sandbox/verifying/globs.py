"""Globs over paths of a workspace. Pure.

A pattern is anchored at the workspace's root. `*` and `?` stay within a name, `[…]` is a set of characters, `**` is
any number of directories: `src/**` is everything below src, `**/*.py` every Python file, `*.md` those in the root.
A `/` at the end means everything below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol, cast

import re2


class _Pattern(Protocol):
    def fullmatch(self, text: str) -> object | None: ...


def matches(path: str, patterns: Iterable[str]) -> str | None:
    """The first pattern that the path matches, if any does."""
    return next((pattern for pattern in patterns if _compiled(pattern).fullmatch(path)), None)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> _Pattern:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    return cast(_Pattern, re2.compile(translate(pattern), options))


def translate(pattern: str) -> str:
    """A glob as a regular expression for the whole path."""
    pattern = f"{pattern}**" if pattern.endswith("/") else pattern
    parts = pattern.removeprefix("/").split("/")
    found = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            found += ".+" if last else "(?:[^/]+/)*"
        else:
            found += _name(part) + ("" if last else "/")
    return found


_SET = re.compile(r"\[(!?)([^\]/\\]+)\]")


def _name(part: str) -> str:
    found, at = "", 0
    while at < len(part):
        group = _SET.match(part, at)
        if group and _is_set(group.group(2)):
            found += f"[{'^' if group.group(1) else ''}{group.group(2).replace('^', chr(92) + '^')}]"
            at = group.end()
            continue
        found += {"*": "[^/]*", "?": "[^/]"}.get(part[at], re.escape(part[at]))
        at += 1
    return re.sub(r"(\[\^/\]\*)+", "[^/]*", found)


def _is_set(content: str) -> bool:
    """Characters and ranges that rise; anything else stands for itself."""
    return "[" not in content and all(a <= b for a, b in re.findall(r"(.)-(.)", content))
