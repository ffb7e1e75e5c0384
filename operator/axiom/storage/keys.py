"""Where things lie in object storage. Pure."""

from __future__ import annotations

import re

from axiom_sandbox.protocol.identity import Identity

MAX_KEY_BYTES = 1024
"""Bytes of the longest key, as in S3."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SEGMENT = re.compile(r"[A-Za-z0-9_=+,@-][A-Za-z0-9._=+,@-]{0,254}")
"""One part of a key: nothing that a file system or a URL reads differently, and no hidden file."""


def blob_key(digest: str) -> str:
    """SHA-256 in hexadecimal digits → `blobs/sha256/<2>/<digest>`. Raises ValueError for anything else."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is not a SHA-256 in lower-case hexadecimal digits")
    return f"blobs/sha256/{digest[:2]}/{digest}"


def input_key(namespace: str, key: str) -> str:
    """Where people put archives for the tasks of a namespace: `inputs/<namespace>/<key>`. Raises ValueError."""
    return check_key(f"inputs/{namespace}/{key}")


def namespace_prefix(namespace: str) -> str:
    """What the keys of everything that belongs to a namespace's tasks begin with."""
    return f"tasks/{namespace}/"


def task_prefix(namespace: str, task_id: str) -> str:
    """What the keys of everything that belongs to one task alone begin with."""
    return f"{namespace_prefix(namespace)}{task_id}/"


def outcome_key(namespace: str, task_id: str) -> str:
    """Where the complete AgentTask lies. Raises ValueError."""
    return check_key(f"{task_prefix(namespace, task_id)}outcome.json")


def review_key(namespace: str, task_id: str, time: str) -> str:
    """Where a person's decision on a task lies, by its time (RFC 3339). Raises ValueError."""
    return check_key(f"{task_prefix(namespace, task_id)}reviews/{times_part(time)}.json")


def times_part(time: str) -> str:
    """A time (RFC 3339) as a part of a key, in which later ones sort behind earlier ones."""
    return time.replace(":", "")


def ledger_prefix(identity: Identity) -> str:
    """What the keys of all segments of one sandbox's ledger begin with."""
    return f"{identity.prefix}/ledger/"


def segment_key(identity: Identity, number: int) -> str:
    """`<prefix>/ledger/<number>.jsonl.zst`, numbered from 1 (or 0) on. Raises ValueError outside 0 … 999,999."""
    if not 0 <= number <= 999_999:
        raise ValueError(f"segment {number} is outside 0 … 999,999")
    return f"{ledger_prefix(identity)}{number:06d}.jsonl.zst"


def check_key(key: str) -> str:
    """The key itself. Raises ValueError unless each part is plain, so that it is also a path inside a folder."""
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"the key {key[:80]!r}… has more than {MAX_KEY_BYTES} bytes")
    if not all(_SEGMENT.fullmatch(part) for part in key.split("/")):
        raise ValueError(
            f"{key!r} is no key: parts are letters, digits and ._=+,@- and do not begin with a dot"
        )
    return key
