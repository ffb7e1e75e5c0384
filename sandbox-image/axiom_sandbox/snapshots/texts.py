"""The texts of an archive, as far as it is worth looking through them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from axiom_sandbox.snapshots.archives import members
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.snapshots.trees import BASE_LIMITS

_LARGEST_FILE = 256 * 1024
_ALL_FILES = 16 * 1024 * 1024


def texts_of(archive: Path) -> Iterator[tuple[str, str]]:
    """Path and content of each file that is text, in their order; no more than 16 MiB, and none larger than 256 KiB.

    Raises SnapshotError.
    """
    read = 0
    for member in members(archive, BASE_LIMITS.max_total_bytes):
        if member.source is None or member.size > _LARGEST_FILE:
            continue
        content = b"".join(member.chunks())
        if b"\0" in content[:1024]:
            continue
        read += len(content)
        yield printable(member.path), content.decode("utf-8", "replace")
        if read > _ALL_FILES:
            return
