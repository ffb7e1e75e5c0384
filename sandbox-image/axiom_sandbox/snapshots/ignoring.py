"""Patterns as in a .gitignore → which paths a snapshot leaves out. Pure.

A pattern without a slash, or with one at its end alone, fits at any depth; any other from the root on. `*` and `?` stand for what is
no slash, `**` for whole directories, a slash at the end for directories alone, `!` takes back what an earlier pattern left out, but
for what lies in a directory that is left out. Bytes are compared, as git does. What is to be kept in any case is kept whatever the
patterns say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import re2

from axiom_sandbox.snapshots.trees import Selection

_OPTIONS = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_OPTIONS.dot_nl = True
_OPTIONS.log_errors = False
_NOTHING = "[^\\x00-\\xff]"


class Ignoring:
    """Of one tree, which is walked from its root down."""

    def __init__(self, patterns: Iterable[str], kept: Iterable[str] = ()) -> None:
        """`kept` are paths of files that stay in any case."""
        self._groups = _compiled(patterns)
        self._kept = set(kept)
        self._on_the_way = {parent for path in self._kept for parent in _parents(path)}
        self._entered = set[str]()
        """Directories that are left out, but for what is kept of them."""
        self.left_out: list[str] = []
        """What was left out, a directory with all that is in it as one path."""

    @property
    def selection(self) -> Selection:
        """For a walk; what an earlier one left out is forgotten."""
        self._entered.clear()
        self.left_out.clear()
        return Selection(wants=self._wants) if self._groups else Selection()

    def _wants(self, path: str, is_directory: bool) -> bool:
        is_left_out = path.rpartition("/")[0] in self._entered or self._fits(path, is_directory)
        if not is_left_out or (path in self._kept and not is_directory):
            return True
        if is_directory and path in self._on_the_way:
            self._entered.add(path)
            return True
        self.left_out.append(path)
        return False

    def _fits(self, path: str, is_directory: bool) -> bool:
        raw = os.fsencode(path)
        for group in self._groups:
            if group.fits(raw, is_directory):
                return group.leaves_out
        return False


@dataclass(frozen=True)
class _Group:
    """Patterns that follow one another, and are all of one kind."""

    leaves_out: bool
    any_kind: Any
    directories: Any

    def fits(self, path: bytes, is_directory: bool) -> bool:
        return bool(self.any_kind and self.any_kind.fullmatch(path)) or bool(
            is_directory and self.directories and self.directories.fullmatch(path)
        )


def _compiled(patterns: Iterable[str]) -> list[_Group]:
    """The last one first: it decides."""
    groups: list[tuple[bool, list[str], list[str]]] = []
    for pattern in patterns:
        leaves_out = not pattern.startswith("!")
        text = pattern.removeprefix("!")
        if not groups or groups[-1][0] != leaves_out:
            groups.append((leaves_out, [], []))
        _, any_kind, directories = groups[-1]
        (directories if text.endswith("/") else any_kind).append(_expression(text.removesuffix("/")))
    return [
        _Group(leaves_out, _any_of(all_kinds), _any_of(only)) for leaves_out, all_kinds, only in groups[::-1]
    ]


def _any_of(expressions: list[str]) -> Any:
    return re2.compile("|".join(expressions).encode("latin-1"), _OPTIONS) if expressions else None


def _expression(pattern: str) -> str:
    """A regular expression over the path's bytes, written in Latin-1."""
    raw = os.fsencode(pattern).decode("latin-1")
    anchored = "/" in raw
    raw = raw.removeprefix("/")
    return ("" if anchored else "(?:.*/)?") + "".join(_pieces(raw))


def _pieces(raw: str) -> Iterator[str]:
    at = 0
    while at < len(raw):
        begins = at == 0 or raw[at - 1] == "/"
        if begins and raw.startswith("**/", at):
            yield "(?:.*/)?"
            at += 3
        elif begins and raw[at:] == "**":
            yield ".+"
            at += 2
        elif raw[at] == "*":
            yield "[^/]*"
            at += 1
        elif raw[at] == "?":
            yield "[^/]"
            at += 1
        elif raw[at] == "[":
            expression, at = _bracket(raw, at)
            yield expression
        else:
            at += raw[at] == "\\" and at + 1 < len(raw)
            yield re2.escape(raw[at])
            at += 1


def _bracket(raw: str, begin: int) -> tuple[str, int]:
    """A set of characters, and where it ends; with one that is not closed the pattern fits nothing."""
    at = begin + 1
    negated = raw[at : at + 1] in ("!", "^")
    at += negated
    members: list[str] = []
    while at < len(raw) and (raw[at] != "]" or not members):
        at += raw[at] == "\\" and at + 1 < len(raw)
        low = high = raw[at]
        at += 1
        if raw[at : at + 1] == "-" and raw[at + 1 : at + 2] not in ("", "]"):
            at += 1
            at += raw[at] == "\\" and at + 1 < len(raw)
            high = raw[at]
            at += 1
        # of a range that goes backwards git takes the beginning
        members.append(f"\\x{{{ord(low):02x}}}-\\x{{{ord(max(low, high)):02x}}}")
    if at >= len(raw):
        return _NOTHING, at
    held = "".join(members)
    return (f"[^/{held}]" if negated else f"[{held}]"), at + 1


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
