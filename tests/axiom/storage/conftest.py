"""Stores to test: a folder, and a bucket on a real S3 server when there is one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed
from tests.ports import free_port

from axiom.storage.folder import FolderStore
from axiom.storage.s3 import S3Settings, S3Store
from axiom.storage.store import ObjectStore

ACCESS_KEY, SECRET_KEY = "axiom", "not-a-secret-0123456789"


def find_versitygw() -> str | None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axiom"
    cache = Path(os.environ.get("AXIOM_CACHE") or cache)
    found = [path for path in cache.glob("bin/*/versitygw") if os.access(path, os.X_OK)]
    return str(max(found, key=lambda path: path.stat().st_mtime)) if found else shutil.which("versitygw")


def wait_until_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    for attempt in Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.02), reraise=True):
        with attempt:
            assert server.poll() is None, "versitygw has ended; see its log"
            socket.create_connection(("127.0.0.1", port), timeout=1).close()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of a versitygw on loopback."""
    program = find_versitygw()
    if program is None:
        pytest.skip("no versitygw on PATH or in the cache; `make cluster` builds it")
    folder = tmp_path_factory.mktemp("s3")
    (folder / "data").mkdir()
    (folder / "sidecar").mkdir()
    port = free_port()
    command = [program, "--port", f"127.0.0.1:{port}", "posix", "--sidecar", str(folder / "sidecar")]
    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY, "PATH": os.environ["PATH"]}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, str(folder / "data")], cwd=folder, env=keys, stdout=log, stderr=log
        )
        try:
            wait_until_listening(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=60)


@pytest.fixture
def s3_settings(s3_server: str) -> S3Settings:
    """A bucket of its own for each test."""
    return S3Settings(
        endpoint=s3_server,
        bucket=f"axiom-{uuid.uuid4().hex[:12]}",
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        create_bucket=True,
        longest_wait=0.05,
        part_bytes=5 * 2**20,
    )


@pytest.fixture(params=["folder", "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    if request.param == "folder":
        yield FolderStore(tmp_path / "store")
        return
    s3 = await S3Store.connect(request.getfixturevalue("s3_settings"))
    yield s3
    s3.close()
