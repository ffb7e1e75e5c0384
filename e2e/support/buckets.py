"""A bucket of the cluster's S3 server for one test, and everything in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import zstandard
from minio import Minio

from e2e.cluster.connection import Connection

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
    for item in client.list_objects(name, recursive=True):
        client.remove_object(name, item.object_name)
    client.remove_bucket(name)


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
