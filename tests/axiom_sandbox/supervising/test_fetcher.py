"""Fetching over https, from a server whose certificate no public authority signed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.git_server import GitServer, serve_git

from axiom_sandbox.snapshots.archives import unpack
from axiom_sandbox.supervising.fetcher import FetchError, fetch_git, write_authorities


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    repository, keys = tmp_path / "served" / "one", tmp_path / "served.keys"
    keys.mkdir()
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", repository], check=True)
    (repository / "README.md").write_text("Say hello.\n")
    author = ("-c", "user.name=A", "-c", "user.email=a@one.example")
    for command in (("add", "."), (*author, "commit", "--quiet", "--message=First")):
        subprocess.run(["git", *command], cwd=repository, check=True)
    with serve_git(repository.parent, keys) as server:
        yield server


async def test_a_private_authority_is_trusted_when_it_was_given(tmp_path: Path, server: GitServer) -> None:
    authorities = write_authorities(server.authority, tmp_path / "ca.crt")

    archive = tmp_path / "base.tar.zst"
    await fetch_git(f"{server.url}/one", "main", tmp_path / "work", archive, "https", authorities)

    unpack(archive, tmp_path / "tree")
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["README.md"]


async def test_a_private_authority_is_refused_otherwise(tmp_path: Path, server: GitServer) -> None:
    assert write_authorities("", tmp_path / "ca.crt") is None
    with pytest.raises(FetchError, match="certificate"):
        await fetch_git(f"{server.url}/one", "main", tmp_path / "work", tmp_path / "base", "https")


def test_public_authorities_stay_trusted(tmp_path: Path) -> None:
    public = tmp_path / "public.crt"
    public.write_text("one\n")

    written = write_authorities("two", tmp_path / "ca.crt", public)

    assert written is not None
    assert written.read_text() == "one\ntwo\n"
