"""The fetcher's sandbox: gets one revision of a git repository and leaves it as a base archive. Runs nothing untrusted."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from axiom_sandbox.protocol.channel import Command, FailureReason, Phase
from axiom_sandbox.protocol.events import Intervention
from axiom_sandbox.snapshots.archives import pack
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox, SandboxFailedError
from axiom_sandbox.terminal.text import printable

FETCH_VARIABLE = "AXIOM_FETCH_GIT"
"""`<url> <revision>`."""
FETCH_CA_VARIABLE = "AXIOM_FETCH_CA"
"""Certificates (PEM) of authorities that git servers may have besides the public ones. May be missing."""
_PUBLIC_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_TIMEOUT = 600.0
_ALLOWED = "https:ssh"


class FetcherSandbox(Sandbox):
    """Role `fetcher`."""

    @property
    def uses_launcher(self) -> bool:
        """Nothing untrusted runs here."""
        return False

    async def live(self) -> None:
        """Repository → blob `workspace`."""
        if self.board.state.phase is not Phase.FETCHED:
            url, revision = os.environ[FETCH_VARIABLE].split(" ", 1)
            self.board.update(phase=Phase.RUNNING)
            await self.record(Intervention(by="fetcher", action="fetch", detail=f"{url} at {revision}"))
            archive = self.folder / "workspace.tar.zst"
            try:
                authorities = write_authorities(os.environ.get(FETCH_CA_VARIABLE, ""), self.folder / "ca.crt")
                await fetch_git(url, revision, self.folder / "checkout", archive, _ALLOWED, authorities)
            except FetchError as error:
                raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, str(error)) from error
            await self.keep_blob("workspace", archive)
            self.board.update(phase=Phase.FETCHED)
        await asyncio.Event().wait()

    def check(self, command: Command) -> None:
        """Takes nothing but Stop."""
        raise RefusedError(f"a fetcher takes no {command.kind}")


class FetchError(Exception):
    """The repository cannot be fetched; the message is git's last words and the cure."""


def write_authorities(extra: str, target: Path, public: Path = _PUBLIC_AUTHORITIES) -> Path | None:
    """Writes the public authorities and the extra ones (PEM) into one file; None when there are no extra ones.

    Raises FetchError.
    """
    if not extra:
        return None
    try:
        known = public.read_text() if public.exists() else ""
        target.write_text(f"{known.rstrip()}\n{extra.strip()}\n")
    except OSError as error:
        raise FetchError(f"the authorities of git servers cannot be written: {error}") from error
    return target


async def fetch_git(
    url: str, revision: str, folder: Path, archive: Path, protocols: str, authorities: Path | None = None
) -> None:
    """Fetches one revision, without history where the server allows it, and packs its tree.

    Args:
        url: the repository.
        revision: a commit, which may be abbreviated, a tag or a branch.
        folder: where to work; emptied before, gone afterwards.
        archive: what to write.
        protocols: what git may speak, separated by colons.
        authorities: file with the authorities (PEM) that an https server may have; without it, the machine's.

    Raises:
        FetchError: there is no archive.
    """
    environment = _environment(folder, protocols, authorities)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    await _git(folder, environment, "init", "--quiet", "--template=")
    try:
        await _git(folder, environment, "fetch", "--quiet", "--depth=1", "--no-tags", url, revision)
        await _git(folder, environment, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    except FetchError:
        # A server may refuse single commits, and knows no abbreviated ones: then everything, and look there.
        await _git(
            folder, environment, "fetch", "--quiet", "--tags", url, "+refs/heads/*:refs/remotes/origin/*"
        )
        await _git(
            folder,
            environment,
            "checkout",
            "--quiet",
            "--detach",
            await _resolve(folder, environment, revision),
        )
    await asyncio.to_thread(shutil.rmtree, folder / ".git")
    try:
        await asyncio.to_thread(pack, folder, archive)
    except (SnapshotError, OSError) as error:
        raise FetchError(f"the tree of {url} at {revision} cannot be taken: {error}") from error
    await asyncio.to_thread(shutil.rmtree, folder)


async def _resolve(folder: Path, environment: Mapping[str, str], revision: str) -> str:
    for candidate in (f"refs/remotes/origin/{revision}", f"refs/tags/{revision}", revision):
        try:
            return (
                await _git(folder, environment, "rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}")
            ).strip()
        except FetchError:
            continue
    raise FetchError(f"the repository has no revision {revision!r}; correct spec.workspace.git.revision")


async def _git(folder: Path, environment: Mapping[str, str], *arguments: str) -> str:
    settings = (
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "submodule.recurse=false",
        "core.symlinks=true",
    )
    command = ["git", *(part for setting in settings for part in ("-c", setting)), *arguments]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_TIMEOUT):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise FetchError(f"git {arguments[0]} took longer than {_TIMEOUT:.0f} s") from None
    if process.returncode:
        said = printable(errors, 500).strip()
        raise FetchError(f"git {arguments[0]} failed: {said}; check spec.workspace.git.url and revision")
    return output.decode(errors="replace")


def _environment(folder: Path, protocols: str, authorities: Path | None) -> dict[str, str]:
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(folder.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in ("SSL_CERT_FILE", "GIT_SSL_CAINFO") if name in os.environ},
    }
    if authorities is not None:
        environment["GIT_SSL_CAINFO"] = str(authorities)
    return environment
