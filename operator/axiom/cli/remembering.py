"""What `axiom history` does once its options are read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from axiom.cli.pruning import open_store
from axiom.cli.reading import readable
from axiom.evidence.harmless import one_line, plain
from axiom.evidence.index import Index, Wish
from axiom.evidence.masking import scanner_of
from axiom.evidence.reviews import REVIEW
from axiom.evidence.searching import parse_moment
from axiom.evidence.segments import EvidenceError
from axiom.running.places import default_state
from axiom.storage.store import StorageError
from axiom_sandbox.secrets.masking import masked


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    text: str = ""
    name: str = ""
    agent_class: str = ""
    verdict: str = ""
    decision: str = ""
    namespace: str = ""
    since: str = ""
    until: str = ""
    limit: int = 50

    def wish(self) -> Wish:
        """Raises BadQueryError."""
        now = datetime.now(UTC)

        def moment(option: str, text: str) -> str:
            if not text:
                return ""
            return (
                parse_moment(option, text, now)
                .astimezone(UTC)
                .isoformat(timespec="milliseconds")
                .replace("+00:00", "Z")
            )

        return Wish(
            tuple(self.text.split()),
            self.name,
            self.agent_class,
            self.verdict,
            self.decision,
            self.namespace,
            moment("--since", self.since),
            moment("--until", self.until),
            self.limit,
        )


def print_history(where: str, wanted: Wanted, *, rebuild: bool, as_json: bool) -> NoReturn:
    """Brings the index up to date, searches it, and ends the program."""
    with readable():
        wish = wanted.wish()
        keys, read = _stored(where)
        index = _index(where or str(default_state()))
        for trouble in index.update(keys, read, rebuild=rebuild):
            typer.echo(f"left out: {plain(trouble)}", err=True)
        rows = list(index.search(wish))
        index.close()
    for row in rows:
        row["message"] = masked(scanner_of(), row["message"])
        if row["review"]:
            row["review"]["why"] = masked(scanner_of(), row["review"]["why"])
    if as_json:
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)
    elif rows:
        table = Table(
            "completed", "namespace", "task", "class", "verdict", "rounds", "cost", "why", "decided"
        )
        for row in rows:
            cells = (
                row["completed"], row["namespace"], row["name"], row["class"], row["verdict"], str(row["rounds"]),
                f"${row['cost']}" if row["cost"] else "", row["message"], _decided(row["review"]),
            )  # fmt: skip
            table.add_row(*(Text(one_line(cell, 120)) for cell in cells))
        Console().print(table)
    else:
        typer.echo("nothing found", err=True)
    raise typer.Exit(0 if rows else 1)


def _decided(review: dict[str, str] | None) -> str:
    return f"{review['decision']} by {review['by']}: {review['why']}" if review else ""


def _stored(where: str) -> tuple[list[str], Callable[[str], bytes]]:
    store = open_store(where)

    async def listed() -> list[str]:
        return [
            key
            async for key in store.list("tasks/")
            if key.endswith("/outcome.json") or REVIEW.fullmatch(key)
        ]

    def read(key: str) -> bytes:
        try:
            return asyncio.run(store.get(key))
        except StorageError as error:
            raise EvidenceError(str(error)) from error

    try:
        return asyncio.run(listed()), read
    except StorageError as error:
        raise EvidenceError(str(error)) from error


def _index(where: str) -> Index:
    """One for each place; of an S3 server's, too."""
    place = where if where.startswith("s3://") else str(Path(where).resolve())
    full = f"{os.environ.get('AXIOM_S3_ENDPOINT', '')} {place}" if where.startswith("s3://") else place
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axiom" / "history"
    path = cache / f"{hashlib.sha256(full.encode()).hexdigest()[:24]}.sqlite"
    try:
        return Index(path)
    except OSError as error:
        raise EvidenceError(f"{path} cannot be written: {error.strerror}; set XDG_CACHE_HOME") from error
