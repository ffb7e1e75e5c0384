"""An index of outcomes on this machine, so that history is searched without reading object storage anew.

It holds nothing that object storage does not: any of it may be deleted, and is made again. What was collected there goes here,
too, the next time that it is brought up to date.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from axiom.api.agenttask import AgentTask
from axiom.evidence.outcomes import decode_outcome
from axiom.evidence.reviews import REVIEW, decode_review
from axiom.planning.statuses import parse_time

_VERSION = 3
_OUTCOME = re.compile(r"tasks/[^/]+/[^/]+/outcome\.json")
_TABLE = """
CREATE TABLE outcomes (
  key TEXT PRIMARY KEY, namespace TEXT, name TEXT, uid TEXT, class TEXT, verdict TEXT, completed TEXT, rounds INTEGER,
  cost TEXT, message TEXT, text TEXT
)
"""
_REVIEWS = "CREATE TABLE reviews (key TEXT PRIMARY KEY, namespace TEXT, uid TEXT, decision TEXT, text TEXT, decided TEXT)"
_LAST_REVIEW = "reviews.key = (SELECT max(key) FROM reviews AS r WHERE r.namespace = outcomes.namespace AND r.uid = outcomes.uid)"
"""Keys of reviews sort by time."""


@dataclass(frozen=True)
class Wish:
    """What is looked for; what is empty is not asked for."""

    words: tuple[str, ...] = ()
    name: str = ""
    """A glob."""
    agent_class: str = ""
    verdict: str = ""
    decision: str = ""
    """What a person decided last; `none` for tasks on which nobody did."""
    namespace: str = ""
    since: str = ""
    """RFC 3339 in UTC."""
    until: str = ""
    limit: int = 50


class Index:
    """An SQLite file. Where it cannot be read, or is of another version, it begins anew."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open(path)
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._open(path)

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    def update(
        self, keys: Iterable[str], read: Callable[[str], bytes], *, rebuild: bool = False
    ) -> list[str]:
        """Takes up what is new among a store's keys, and forgets what is not there any more.

        Returns what could not be read, and why.
        """
        keys = set(keys)
        there = {key for key in keys if _OUTCOME.fullmatch(key)}
        with self._connection:
            if rebuild:
                self._connection.execute("DELETE FROM outcomes")
                self._connection.execute("DELETE FROM reviews")
            known = {key for (key,) in self._connection.execute("SELECT key FROM outcomes")}
            self._connection.executemany(
                "DELETE FROM outcomes WHERE key = ?", [(key,) for key in known - there]
            )
            troubles = []
            for key in sorted(there - known):
                try:
                    row = _row(key, decode_outcome(read(key)))
                except ValueError as error:
                    troubles.append(f"{key}: {error}")
                    continue
                marks = ", ".join("?" * len(row))
                self._connection.execute(f"INSERT OR REPLACE INTO outcomes VALUES ({marks})", row)  # noqa: S608
            return troubles + self._take_reviews(keys, read)

    def _take_reviews(self, keys: set[str], read: Callable[[str], bytes]) -> list[str]:
        there = {key: match for key in keys if (match := REVIEW.fullmatch(key))}
        known = {key for (key,) in self._connection.execute("SELECT key FROM reviews")}
        self._connection.executemany(
            "DELETE FROM reviews WHERE key = ?", [(key,) for key in known - {*there}]
        )
        troubles = []
        for key in sorted({*there} - known):
            try:
                review = decode_review(read(key))
            except ValueError as error:
                troubles.append(f"{key}: {error}")
                continue
            row = (
                key, there[key]["namespace"], there[key]["uid"], review.decision.value,
                f"{review.by}\n{review.why}".casefold(), review.model_dump_json(by_alias=True),
            )  # fmt: skip
            self._connection.execute("INSERT OR REPLACE INTO reviews VALUES (?, ?, ?, ?, ?, ?)", row)
        return troubles

    def search(self, wish: Wish) -> Iterator[dict[str, Any]]:
        """Newest first."""
        conditions = ["1"]
        values: list[str | int] = []
        for column, value in (
            ("class", wish.agent_class),
            ("verdict", wish.verdict),
            ("outcomes.namespace", wish.namespace),
            ("coalesce(decision, 'none')", wish.decision),
        ):
            if value:
                conditions.append(f"{column} = ? COLLATE NOCASE")
                values.append(value)
        for condition, value in (
            ("name GLOB ?", wish.name),
            ("completed >= ?", wish.since),
            ("completed <= ?", wish.until),
        ):
            if value:
                conditions.append(condition)
                values.append(value)
        for word in wish.words:
            conditions.append("instr(outcomes.text || coalesce(reviews.text, ''), ?) > 0")
            values.append(word.casefold())
        found = self._connection.execute(
            "SELECT outcomes.namespace, name, outcomes.uid, class, verdict, completed, rounds, cost, message,"  # noqa: S608
            f" decided AS review FROM outcomes LEFT JOIN reviews ON {_LAST_REVIEW} WHERE"
            f" {' AND '.join(conditions)} ORDER BY completed DESC, outcomes.key LIMIT ?",
            [*values, wish.limit],
        )
        names = [column[0] for column in found.description]
        for row in found:
            found_row = dict(zip(names, row, strict=True))
            yield found_row | {"review": json.loads(found_row["review"]) if found_row["review"] else None}

    def _open(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            with self._connection:
                for name, table in (("outcomes", _TABLE), ("reviews", _REVIEWS)):
                    self._connection.execute(f"DROP TABLE IF EXISTS {name}")
                    self._connection.execute(table)
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")


def _row(key: str, task: AgentTask) -> tuple[str | int, ...]:
    status = task.status
    claim = status.claim or (status.rounds[-1].claim if status.rounds else None)
    text = "\n".join((task.name, task.spec.prompt, status.message, claim.text if claim else ""))
    labels = json.dumps(task.metadata.get("labels") or {}, ensure_ascii=False)
    return (
        key,
        task.namespace,
        task.name,
        task.uid,
        task.spec.agent_class_name,
        status.verdict.value if status.verdict else "none",
        _comparable(status.completion_time),
        len(status.rounds),
        (status.usage.cost_usd or "") if status.usage else "",
        status.message,
        f"{text}\n{labels}".casefold(),
    )


def _comparable(time: str | None) -> str:
    """All times in one form, in which they sort as texts."""
    return parse_time(time).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if time else ""
