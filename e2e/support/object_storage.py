"""An S3 server on this machine, outside of any cluster and any release."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3
from minio import Minio
from tests.ports import free_port

from e2e.cluster.binaries import binary
from e2e.cluster.waiting import wait_until
from e2e.support.authority import make_server


@dataclass(frozen=True)
class ObjectStorage:
    """Where it is, and what opens it."""

    address: str
    """host:port"""
    authority: Path | None
    """The certificate (PEM) of whoever signed the server's; None without https."""
    access_key: str
    secret_key: str = field(repr=False)

    def client(self) -> Minio:
        """A client that checks the server's certificate."""
        if self.authority is None:
            return Minio(self.address, self.access_key, self.secret_key, secure=False)
        pool = urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=str(self.authority))
        return Minio(self.address, self.access_key, self.secret_key, secure=True, http_client=pool)


@contextmanager
def object_storage(host: str, folder: Path, *, https: bool = True) -> Iterator[ObjectStorage]:
    """versitygw at an address of this machine, with a certificate of its own, while the context is open.

    Raises ClusterError.
    """
    for name in ("objects", "attributes"):
        (folder / name).mkdir()
    authority = make_server(folder, host) if https else None
    certificate = ("--cert", folder / "tls.crt", "--key", folder / "tls.key") if https else ()
    port = free_port(host)
    storage = ObjectStorage(
        f"{host}:{port}", authority, secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    )
    log = folder / "server.log"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [
                binary("versitygw"), "--port", storage.address, *certificate, "posix", "--sidecar", folder / "attributes",
                folder / "objects",
            ],
            env={**os.environ, "ROOT_ACCESS_KEY": storage.access_key, "ROOT_SECRET_KEY": storage.secret_key},
            stdout=stream,
            stderr=stream,
        )  # fmt: skip

    def silent() -> str | None:
        try:
            socket.create_connection((host, port), timeout=2).close()
        except OSError as error:
            return str(error)
        return None

    try:
        wait_until("the S3 server", silent, limit_seconds=60, diagnose=log.read_text)
        yield storage
    finally:
        server.terminate()
        server.wait(timeout=60)
