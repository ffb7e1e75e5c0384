"""A workspace as a list of entries, and the difference between two of them. Pure data.

A workspace may have hundreds of thousands of entries, and all of them are in memory at once: so these are plain objects of a
few hundred bytes, and not models.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from axiom_sandbox.protocol.model import Message


class CandidateSource(StrEnum):
    """Where the work is that is verified."""

    WORKSPACE = "Workspace"
    """In the workspace: what the agent changed there."""
    MESSAGE = "Message"
    """In the agent's final message: code that it gives there. What it did in its workspace does not count."""


class EntryKind(StrEnum):
    """The kinds of entries that a workspace may hold. Everything else is a finding."""

    FILE = "File"
    SYMLINK = "Symlink"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or symlink of a workspace."""

    path: str
    """Path inside the workspace; bytes that are no UTF-8 appear as surrogate escapes."""
    kind: EntryKind
    executable: bool = False
    size: int = 0
    """Bytes (files)."""
    digest: str = ""
    """SHA-256 of the content (files), in hexadecimal."""
    target: str = ""
    """Where a symlink points."""


class ChangeKind(StrEnum):
    """What happened to a path."""

    ADDED = "Added"
    MODIFIED = "Modified"
    DELETED = "Deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs between the base and the captured workspace."""

    path: str
    kind: ChangeKind
    entry: Entry | None = None
    """What is there now; None when deleted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the workspace that is not taken over, and why."""

    path: str
    reason: str


class Changes(Message):
    """What one capture found: the filtered difference to the base, and what was left out."""

    base: str
    """Digest of the base archive."""
    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
