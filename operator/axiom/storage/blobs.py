"""Blobs are shared by tasks, and collected when no task refers to them: how a writer keeps one from being collected.

Who stores a blob first writes a reference to it below its own task, then the blob, and then looks whether a collector has laid
claim to that blob. A collector lays its claims first, then lists all references, then deletes what has none, and then takes its
claims back. So where a writer sees no claim, either the claim comes later, and the collector's list has the reference; or it was
taken back, and whether the blob is still there can be seen. No clock is needed for that.
"""

from __future__ import annotations

import re
from pathlib import Path

from axiom.storage.encrypted import seen_by
from axiom.storage.keys import blob_key, check_key
from axiom.storage.store import ObjectStore, UnavailableError
from axiom_sandbox.protocol.identity import Identity

CLAIMS = "collecting/claims/"
"""Of collectors that are at work: `<digest>`."""
CANDIDATES = "collecting/candidates/"
"""Blobs that had no reference when somebody last looked: `<digest>`, holding since when."""
_NAME = re.compile(r"[^A-Za-z0-9_-]")
_REFERENCE = re.compile(
    r"tasks/(?P<owner>[^/]+/[^/]+)/attempts/\d+/[^/]+/blobs/(?P<digest>[0-9a-f]{64})\.(?P<name>[^/]+)"
)


class BeingCollectedError(UnavailableError):
    """A collector is about to delete this blob, or has just done so. Storing it again in a moment works."""


def reference_key(identity: Identity, digest: str, name: str) -> str:
    """`<prefix>/blobs/<digest>.<name>`."""
    return check_key(f"{identity.prefix}/blobs/{digest}.{_NAME.sub('-', name) or 'blob'}")


def parse_reference(key: str) -> tuple[str, str, str] | None:
    """A reference's key → `<namespace>/<task uid>`, digest, and what the blob is; None for another key."""
    found = _REFERENCE.fullmatch(key)
    return (found["owner"], found["digest"], found["name"]) if found else None


async def keep_blob(
    store: ObjectStore, identity: Identity, name: str, digest: str, source: Path | bytes
) -> None:
    """Stores a blob so that it stays for as long as the task's evidence does. Raises StorageError."""
    store = seen_by(store, identity.namespace)
    await store.put(reference_key(identity, digest, name), b"")
    while True:
        await store.put(blob_key(digest), source)
        if await store.exists(f"{CLAIMS}{digest}"):
            raise BeingCollectedError(
                f"{blob_key(digest)} is being collected; it is stored again in a moment"
            )
        if await store.exists(blob_key(digest)):
            return
