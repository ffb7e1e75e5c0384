"""Ledgers as they lie in object storage, also those of lost attempts, which no status names."""

from __future__ import annotations

import asyncio
import json

import zstandard

from axiom.storage.keys import outcome_key
from axiom.storage.s3 import S3Settings, S3Store
from axiom_sandbox.ledger.checking import verify
from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.kubernetes import Object


def sealed_ledger(
    cluster: Connection, bucket: str, task: Object, attempt: int, slot: str = "agent"
) -> list[Object]:
    """The records of one sandbox, the chain of which is whole. AssertionError says where it breaks."""
    metadata = task["metadata"]
    prefix = f"tasks/{metadata['namespace']}/{metadata['uid']}/attempts/{attempt}/{slot}/ledger/"
    lines = asyncio.run(_lines(cluster, bucket, prefix))
    findings = verify(lines, None)
    assert findings.intact, findings.broken
    return [json.loads(line) for line in lines]


def wait_for_outcome(cluster: Connection, bucket: str, task: Object) -> None:
    """Until the gateway has put it into the bucket, which it does once it hears that the task is complete."""
    key = outcome_key(task["metadata"]["namespace"], task["metadata"]["uid"])
    wait_until(
        f"{key} to be stored",
        lambda: None if sealed_keys(cluster, bucket, key) else "not yet",
        limit_seconds=60,
    )


def sealed_keys(cluster: Connection, bucket: str, prefix: str) -> list[str]:
    """The keys that begin with it."""
    return asyncio.run(_keys(cluster, bucket, prefix))


async def _lines(cluster: Connection, bucket: str, prefix: str) -> list[bytes]:
    store = await _connect(cluster, bucket)
    try:
        return [
            line
            for key in [key async for key in store.list(prefix)]
            for line in zstandard.ZstdDecompressor().decompress(await store.get(key), 1 << 26).splitlines()
        ]
    finally:
        store.close()


async def _keys(cluster: Connection, bucket: str, prefix: str) -> list[str]:
    store = await _connect(cluster, bucket)
    try:
        return [key async for key in store.list(prefix)]
    finally:
        store.close()


async def _connect(cluster: Connection, bucket: str) -> S3Store:
    return await S3Store.connect(
        S3Settings(cluster.s3.endpoint, bucket, cluster.s3.access_key, cluster.s3.secret_key)
    )
