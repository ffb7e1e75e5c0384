"""Archives that people put into the bucket for their tasks."""

from __future__ import annotations

import io
from urllib.parse import urlsplit

from minio import Minio

from e2e.cluster.connection import Connection


def put_input(cluster: Connection, bucket: str, key: str, data: bytes) -> None:
    """Puts an object where tasks find it."""
    s3 = cluster.s3
    client = Minio(
        urlsplit(s3.endpoint).netloc, access_key=s3.access_key, secret_key=s3.secret_key, secure=False
    )
    client.put_object(bucket, key, io.BytesIO(data), len(data))
