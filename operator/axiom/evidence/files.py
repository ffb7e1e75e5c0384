"""What the ledger tells of the workspace's files: each record in one line, and what had become of all of them by a moment. Pure.

Nothing here is believed: a ledger that somebody wrote anew may hold anything, so what is no change of a file is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from axiom.evidence.harmless import one_line
from axiom_sandbox.ledger.records import Record
from axiom_sandbox.protocol.changes import ChangeKind
from axiom_sandbox.protocol.events import FilesChanged

_LONGEST_PATH = 300
_SHOWN_DIGEST = 12


@dataclass(frozen=True)
class FileFate:
    """What became of one path."""

    kind: ChangeKind
    """Against the workspace as it was given to the agent."""
    size: int
    digest: str
    seq: int
    """The record that told of it last."""


def fates(records: Iterable[Record]) -> dict[str, FileFate]:
    """Records up to a moment → the paths that differed then; a path that was added and deleted again is not among them."""
    found: dict[str, FileFate] = {}
    for record in records:
        for path, kind, size, digest in changes_in(record):
            before = found.get(path)
            was_added = before is not None and before.kind is ChangeKind.ADDED
            if kind is ChangeKind.DELETED and was_added:
                del found[path]
                continue
            if was_added:
                kind = ChangeKind.ADDED
            elif before is not None and before.kind is ChangeKind.DELETED and kind is ChangeKind.ADDED:
                kind = ChangeKind.MODIFIED
            found[path] = FileFate(kind, size, digest, record.seq)
    return found


def changes_in(record: Record) -> Iterator[tuple[str, ChangeKind, int, str]]:
    """Path, kind, size and digest of each change that a record tells of."""
    changes = record.payload.get("changes") if record.event == FilesChanged.event else None
    for change in changes if isinstance(changes, list) else ():
        if isinstance(change, dict) and change.get("kind") in tuple(ChangeKind):
            size, digest = change.get("size"), change.get("digest")
            yield (
                str(change.get("path")),
                ChangeKind(change["kind"]),
                size if isinstance(size, int) else 0,
                digest if isinstance(digest, str) else "",
            )


def told_of(record: Record, limit: int) -> str:
    """The record in one line: `2 files: Added src/a.py (12 bytes, 3f2c9e1…), Deleted b`."""
    changes = list(changes_in(record))
    passing: Any = record.payload.get("passing")
    parts = [f"{len(changes)} files: {', '.join(_shown(*change) for change in changes)}"] if changes else []
    if isinstance(passing, int) and passing:
        parts.append(f"{passing} came and went")
    return one_line("; ".join(parts), limit)


def table(files: dict[str, FileFate]) -> Iterator[str]:
    """One line for each path, harmless for a terminal."""
    for path, fate in sorted(files.items()):
        size = "" if fate.kind is ChangeKind.DELETED else f"{fate.size} bytes"
        digest = fate.digest[:_SHOWN_DIGEST] if fate.digest.isalnum() else ""
        yield f"{fate.kind.value:<8} {one_line(path, _LONGEST_PATH)}  {size} {digest} #{fate.seq}".replace(
            "  #", " #"
        )


def _shown(path: str, kind: ChangeKind, size: int, digest: str) -> str:
    if kind is ChangeKind.DELETED:
        return f"{kind.value} {path}"
    return f"{kind.value} {path} ({size} bytes{', ' + digest[:_SHOWN_DIGEST] + '…' if digest else ''})"
