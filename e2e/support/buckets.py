"""A bucket of the cluster's S3 server for one test, and everything in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import zstandard
from minio import Minio
from minio.error import S3Error

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until

_ZSTD = b"\x28\xb5\x2f\xfd"


@contextmanager
def bucket(cluster: Connection, name: str) -> Iterator[Minio]:
    """An empty bucket, removed afterwards."""
    s3 = cluster.s3
    client = Minio(
        urlsplit(s3.endpoint).netloc, access_key=s3.access_key, secret_key=s3.secret_key, secure=False
    )
    client.make_bucket(name)
    yield client
    wait_until(
        "the bucket to be removed", lambda: _removed(client, name), limit_seconds=60, interval_seconds=1
    )


def _removed(client: Minio, name: str) -> str | None:
    """A gateway that is just ending may put something into it until the last."""
    try:
        for item in client.list_objects(name, recursive=True):
            client.remove_object(name, item.object_name)
        client.remove_bucket(name)
    except S3Error as error:
        return str(error)
    return None


def read_bucket(client: Minio, name: str) -> dict[str, bytes]:
    """Every object by its key, decompressed."""
    found = {}
    for item in client.list_objects(name, recursive=True):
        answer = client.get_object(name, item.object_name)
        content = answer.read()
        answer.close()
        if content.startswith(_ZSTD):
            source = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True)
            content = source.read()
        found[item.object_name] = content
    return found
