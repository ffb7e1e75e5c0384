"""The end of a ledger whose sandbox is gone: where records were durable there and never reached object storage, a gap says so.

Nothing of the sandbox can follow any more: its pod has ended, or was deleted. What is stored is a sound chain up to its last
segment; one segment is put behind it, with a `gap` for the ledger and one for each blob, and a `closed` record. Of several
gateways that write it at once, one is first, and the others find it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import zstandard

from axiom.storage.keys import ledger_prefix, segment_key
from axiom.storage.store import ConflictError, ObjectStore
from axiom_sandbox.ledger.records import ORIGIN, decode, encode
from axiom_sandbox.protocol.channel import Phase, SandboxState
from axiom_sandbox.protocol.events import Closed, Event, Gap
from axiom_sandbox.protocol.identity import Identity

_LARGEST_SEGMENT = 64 * 1024**2


@dataclass(frozen=True)
class Stored:
    """How far a ledger is in object storage."""

    segments: int = 0
    records: int = 0
    head: str = ORIGIN
    """Hash of the last record."""
    closed: bool = False


async def stored_ledger(store: ObjectStore, identity: Identity) -> Stored:
    """What there is of it. Raises StorageError."""
    keys = [key async for key in store.list(ledger_prefix(identity))]
    if not keys:
        return Stored()
    data = await asyncio.to_thread(_unpacked, await store.get(keys[-1]))
    last = decode(data.splitlines()[-1])
    return Stored(len(keys), last.seq, last.hash, last.event == Closed.event)


async def close_ledger(
    store: ObjectStore, identity: Identity, seen: SandboxState | None, why: str, now: datetime
) -> bool:
    """Ends the ledger of a sandbox that is gone. True: something is missing, and it says so now.

    `seen` is the last that the trusted side said of itself; None where nobody here heard it. Raises StorageError.
    """
    stored = await stored_ledger(store, identity)
    if stored.closed or (not stored.records and not _has_worked(seen)):
        return False
    lines, prev = b"", stored.head
    for seq, event in enumerate(_ending(stored, seen, why), stored.records + 1):
        line, prev = encode(
            seq=seq,
            time=now,
            identity=identity,
            event=event.event,
            payload=event.model_dump(mode="json"),
            prev=prev,
        )
        lines += line + b"\n"
    try:
        await store.put(segment_key(identity, stored.segments + 1), zstandard.compress(lines))
    except (
        ConflictError
    ):  # another gateway's ending, or the sandbox's own segment, which was still on its way
        return await close_ledger(store, identity, seen, why, now)
    return True


def _has_worked(seen: SandboxState | None) -> bool:
    """Whether anything untrusted ran in it, as far as is known; of what did not begin nothing is missing."""
    return seen is not None and seen.phase not in (
        Phase.STARTING,
        Phase.WAITING_FOR_WORKSPACE,
        Phase.READY,
    )


def _ending(stored: Stored, seen: SandboxState | None, why: str) -> Iterator[Event]:
    known = seen.ledger.records if seen else 0
    missing = max(known - stored.records, 0)
    first = stored.records + 1
    count = f"at least {missing} records" if missing else "an unknown number of records, perhaps none,"
    yield Gap(
        what="ledger",
        start=first,
        end=max(known, stored.records),
        size=missing,
        reason=f"{count} from {first} on were durable in the sandbox and not yet in storage when it was lost: {why}",
    )
    for blob in seen.blobs if seen else ():
        if not blob.sealed:
            reason = f"{blob.digest} was not yet in storage when its sandbox was lost: {why}"
            yield Gap(what=blob.name, start=0, end=blob.size, size=blob.size, reason=reason)
    yield Closed(reason="Lost")


def _unpacked(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST_SEGMENT)
