"""A finished task's evidence, as it lies in object storage, against what its status says of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from axiom.storage.keys import blob_key
from axiom.storage.s3 import S3Settings, S3Store
from e2e.cluster.connection import Connection
from e2e.support.kubernetes import Object


@dataclass(frozen=True)
class Evidence:
    """What of one task is in object storage."""

    keys: tuple[str, ...]
    """Of every segment of every ledger."""
    records: dict[str, list[Object]] = field(repr=False)
    """By ledger prefix: the records, in the order of their segments."""


def check_evidence(cluster: Connection, bucket: str, task: Object, folder: Path) -> Evidence:
    """Every durable event is sealed exactly once, whole, and every object that the status names is there.

    Segments are numbered without holes; together they are the records 1 … n that the status counts, and `axiom ledger
    verify` proves the chain up to the head in the status. AssertionError names what is wrong.
    """
    return asyncio.run(_check(cluster, bucket, task, folder))


async def _check(cluster: Connection, bucket: str, task: Object, folder: Path) -> Evidence:
    storage = cluster.s3
    store = await S3Store.connect(
        S3Settings(storage.endpoint, bucket, storage.access_key, storage.secret_key)
    )
    try:
        metadata, status = task["metadata"], task["status"]
        prefix = f"tasks/{metadata['namespace']}/{metadata['uid']}/"
        keys = [key async for key in store.list(prefix)]
        records: dict[str, list[Object]] = {}
        for reference in _ledgers(status):
            segments = [key for key in keys if key.startswith(reference["path"])]
            numbers = [int(key.removeprefix(reference["path"]).partition(".")[0]) for key in segments]
            assert numbers == list(range(1, len(numbers) + 1)), segments
            lines = b""
            for key in segments:
                lines += zstandard.ZstdDecompressor().decompress(await store.get(key), 1 << 26)
            records[reference["path"]] = _proven(lines, reference, folder)
        for key in _objects(status):
            content = await store.get(key)
            assert blob_key(hashlib.sha256(content).hexdigest()) == key
        return Evidence(tuple(keys), records)
    finally:
        store.close()


def _ledgers(status: Object) -> list[Object]:
    verifiers = [record["verifierLedger"] for record in status["rounds"] if record.get("verifierLedger")]
    return [status["ledger"], *verifiers]


def _objects(status: Object) -> list[str]:
    diffs = [record["diff"] for record in status["rounds"] if record.get("diff")]
    return [*diffs, *([status["recording"]] if status.get("recording") else [])]


def _proven(lines: bytes, reference: Object, folder: Path) -> list[Object]:
    file = folder / f"{hashlib.sha256(reference['path'].encode()).hexdigest()[:12]}.jsonl"
    file.write_bytes(lines)
    ended = subprocess.run(
        [sys.executable, "-m", "axiom.cli.main", "ledger", "verify", str(file), "--head", reference["head"]],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    records = [json.loads(line) for line in lines.splitlines()]
    assert [record["seq"] for record in records] == list(range(1, reference["records"] + 1))
    return records
