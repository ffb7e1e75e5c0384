"""Credentials: used for the server that their Secret names, and for no other; in no message, argument or variable."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.axiom_sandbox.repositories.test_fetching import commit, git, make
from tests.fakes.git_server import GitServer, serve_git

from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.fetching import Fetch, Fetched
from axiom_sandbox.repositories.git import Git

PASSWORD = "correct horse/battery"
FIELD = "spec.workspace.git"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    served = tmp_path / "served"
    served.mkdir()
    commit(make(tmp_path / "origin"), one="1")
    git(tmp_path, "clone", "-q", "--bare", "origin", "served/private.git")
    (tmp_path / "keys").mkdir()
    with serve_git(served, tmp_path / "keys", password=PASSWORD) as server:
        yield server


def secret(tmp_path: Path, **keys: str) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    for name, value in keys.items():
        (folder / name.replace("_key", "-privatekey")).write_text(value)
    return folder


def access(tmp_path: Path, server: GitServer, credentials: Path | None) -> Access:
    authorities = tmp_path / "ca.crt"
    authorities.write_text(server.authority)
    name = "robot" if credentials else ""
    return Access(f"{server.url}/private.git", FIELD, credentials, name, authorities)


async def fetch(tmp_path: Path, access: Access) -> Fetched:
    return await Fetch(access, "main", submodules=False, protocols="https:ssh").to(
        tmp_path / "archive", tmp_path / "checkout"
    )


async def test_a_private_repository_is_fetched_with_the_secret(tmp_path: Path, server: GitServer) -> None:
    host = server.url.removeprefix("https://")
    credentials = secret(tmp_path, host=f"{host}\n", username="ada", password=f"{PASSWORD}\n")
    assert (await fetch(tmp_path, access(tmp_path, server, credentials))).info.files == 1


async def test_without_a_secret_the_cure_names_the_field(tmp_path: Path, server: GitServer) -> None:
    with pytest.raises(RepositoryError, match=rf"name a Secret in {FIELD}.credentialsSecret"):
        await fetch(tmp_path, access(tmp_path, server, None))


async def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path, server: GitServer) -> None:
    credentials = secret(tmp_path, host=server.url.removeprefix("https://"), password="not-this-one")
    with pytest.raises(RepositoryError, match="does not accept what the Secret 'robot' holds") as told:
        await fetch(tmp_path, access(tmp_path, server, credentials))
    assert "not-this-one" not in str(told.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"password": "x"}, "has no key `host`, which says for which server it may be used"),
        ({"host": "other.example", "password": "x"}, "may be used for 'other.example'"),
        ({}, "does not exist in the task's namespace"),
    ],
)
async def test_a_secret_of_another_server_is_not_used(
    tmp_path: Path, server: GitServer, keys: dict[str, str], said: str
) -> None:
    with pytest.raises(RepositoryError, match=said):
        await fetch(tmp_path, access(tmp_path, server, secret(tmp_path, **keys)))


async def test_a_secret_without_a_password_is_told(tmp_path: Path, server: GitServer) -> None:
    credentials = secret(tmp_path, host=server.url.removeprefix("https://"))
    with pytest.raises(RepositoryError, match=r"lacks the key `password`"):
        await fetch(tmp_path, access(tmp_path, server, credentials))


async def test_neither_arguments_nor_variables_nor_configuration_hold_the_password(
    tmp_path: Path, server: GitServer
) -> None:
    credentials = secret(tmp_path, host=server.url.removeprefix("https://"), password=PASSWORD)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    runner = Git(tmp_path, scratch, access(tmp_path, server, credentials), "https")
    async with runner.running("hash-object", "--stdin", stdin=asyncio.subprocess.PIPE) as process:
        proc = Path(f"/proc/{process.pid}")
        known = (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()
        await process.communicate(b"")
    assert PASSWORD.encode() not in known
    assert not [file for file in scratch.iterdir() if PASSWORD in file.read_text()]


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that notes its arguments and runs what the server would, here."""
    folder, seen = tmp_path / "bin", tmp_path / "seen"
    folder.mkdir()
    (folder / "ssh").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return seen


async def test_ssh_gets_key_and_known_hosts_and_checks_the_server(tmp_path: Path, fake_ssh: Path) -> None:
    commit(make(tmp_path / "origin"), one="1")
    credentials = secret(
        tmp_path, host="git.example", ssh_key="KEY", known_hosts="git.example ssh-ed25519 AAAA"
    )
    way = Access(f"ssh://git@git.example{tmp_path}/origin", FIELD, credentials, "robot")
    await fetch(tmp_path, way)
    told = fake_ssh.read_text().splitlines()
    assert f"-oIdentityFile={credentials}/ssh-privatekey" in told
    assert f"-oUserKnownHostsFile={credentials}/known_hosts" in told
    assert {"-oStrictHostKeyChecking=yes", "-oBatchMode=yes", "-oIdentitiesOnly=yes"} <= set(told)
    assert "KEY" not in told


@pytest.mark.parametrize("lacking", ["ssh-privatekey", "known_hosts"])
async def test_ssh_without_key_or_known_hosts_is_refused(
    tmp_path: Path, fake_ssh: Path, lacking: str
) -> None:
    credentials = secret(tmp_path, host="git.example", ssh_key="KEY", known_hosts="x")
    (credentials / lacking).unlink()
    with pytest.raises(RepositoryError, match=f"lacks the key `{lacking}`"):
        await fetch(tmp_path, Access("ssh://git@git.example/x", FIELD, credentials, "robot"))
    assert not fake_ssh.exists()


async def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, repository_that_hangs: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    runner = Git(tmp_path, scratch, Access(repository_that_hangs, FIELD), "https:file", timeout=0.3)
    with pytest.raises(RepositoryError, match="git ls-remote took longer"):
        await runner("ls-remote", "--upload-pack=sleep 1000.0123;", repository_that_hangs)
    assert (
        "sleep 1000.0123"
        not in subprocess.run(["ps", "ax"], capture_output=True, text=True, check=True).stdout
    )


@pytest.fixture
def repository_that_hangs(tmp_path: Path) -> str:
    commit(make(tmp_path / "slow"), one="1")
    return f"file://{tmp_path}/slow"
