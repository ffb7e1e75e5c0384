"""Which records of a ledger are wanted. Pure.

A pattern is RE2 and is tried on a text with a line for the event's name and one for each value of its payload, written as
`path.to.value=text`; ^ and $ are the ends of lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import re2

from axiom_sandbox.ledger.errors import MalformedRecordError
from axiom_sandbox.ledger.records import Record, decode
from axiom_sandbox.protocol.quantities import parse_duration


class BadQueryError(ValueError):
    """What was asked for can mean nothing; the message names the option and the cure."""


@dataclass(frozen=True)
class Query:
    """What is wanted; what is left out is not asked for."""

    pattern: str = ""
    ignore_case: bool = False
    events: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    first: int = 1
    """seq."""
    last: int | None = None
    """seq."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a ledger."""

    number: int
    data: bytes
    record: Record | None
    """None where the line is no record; `fault` says why."""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A line that is shown."""

    line: Line
    is_match: bool
    """False: it is context."""
    follows: bool
    """It stands directly after the line that was shown before it."""


def parsed(lines: Iterable[bytes]) -> Iterator[Line]:
    """Lines → records."""
    for number, data in enumerate(lines, 1):
        try:
            yield Line(number, data, decode(data))
        except MalformedRecordError as error:
            yield Line(number, data, None, str(error))


def parse_moment(option: str, text: str, now: datetime) -> datetime:
    """An RFC 3339 time, a date, or a duration before now such as 90m. Raises BadQueryError."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass  # then it is a time
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadQueryError(
            f"{option}={text!r}: write a time such as 2026-11-25T20:00:00Z, or a duration before now such as 90m"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Search:
    """A query, ready to be run over lines."""

    def __init__(self, query: Query) -> None:
        """Raises BadQueryError."""
        self._query = query
        options = re2.Options()
        options.case_sensitive = not query.ignore_case
        options.log_errors = False
        try:
            self._pattern = re2.compile(f"(?m){query.pattern}", options) if query.pattern else None
        except re2.error as error:
            reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error
            raise BadQueryError(f"PATTERN {query.pattern!r} is not RE2: {reason}") from error

    def matches(self, line: Line) -> bool:
        """Whether this line is wanted. A line that is no record is wanted where nothing is asked of records."""
        query, record = self._query, line.record
        if record is None:
            return query == Query()
        if query.events and record.event not in query.events:
            return False
        if record.seq < query.first or (query.last is not None and record.seq > query.last):
            return False
        if (query.since and record.time_utc < query.since) or (query.until and record.time_utc > query.until):
            return False
        return self._pattern is None or bool(self._pattern.search(searchable(record)))

    def run(self, lines: Iterable[Line], before: int = 0, after: int = 0) -> Iterator[Hit]:
        """The lines that match, with so many before and after each, every one once and in order."""
        held: deque[Line] = deque(maxlen=before)
        wanted, shown = 0, 0
        for line in lines:
            if self.matches(line):
                for context in (*held, line):
                    yield Hit(context, context is line, context.number == shown + 1)
                    shown = context.number
                held.clear()
                wanted = after
            elif wanted:
                yield Hit(line, False, line.number == shown + 1)
                shown, wanted = line.number, wanted - 1
            else:
                held.append(line)


def searchable(record: Record) -> str:
    """The text that patterns are tried on: one line for the event, and one for each value."""
    values = (f"{path}={value}" for path, value in _leaves(record.payload, ""))
    return "\n".join([record.event, *values]).encode(errors="replace").decode()


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _leaves(item, f"{path}.{key}" if path else str(key))
        case list():
            for index, item in enumerate(value):
                yield from _leaves(item, f"{path}.{index}")
        case str():
            yield path, value
        case bool() | None:
            yield path, {True: "true", False: "false", None: "null"}[value]
        case _:
            yield path, str(value)
