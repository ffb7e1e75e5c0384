"""Running git: deaf to every configuration but ours, never asking a person, bounded in time, with no secret in what it says."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.terminal.text import printable

TIMEOUT = 1800.0
"""Seconds that one command may take: 2 GB at a little more than 1 MB/s."""
_SAID_CHARACTERS = 500
_PASSING = (
    "Could not resolve host",
    "Temporary failure in name resolution",
    "Failed to connect",
    "Couldn't connect",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Connection closed",
    "Operation timed out",
    "Operation too slow",
    "hung up",
    "early EOF",
    "unexpected disconnect",
    "RPC failed",
    "returned error: 429",
    "returned error: 5",
)
"""git's words, and curl's and ssh's, for a server or a network that fails."""
_CONFIGURATION = """\
[core]
	hooksPath = /dev/null
	attributesFile = /dev/null
	fsmonitor = false
	symlinks = true
	bigFileThreshold = 16m
	deltaBaseCacheLimit = 32m
	packedGitWindowSize = 16m
	packedGitLimit = 128m
[pack]
	threads = 1
	windowMemory = 32m
[index]
	threads = false
[submodule]
	recurse = false
[http]
	lowSpeedLimit = 1000
	lowSpeedTime = 60
[gc]
	auto = 0
[maintenance]
	auto = false
[advice]
	detachedHead = false
"""
"""Memory is bounded: git runs beside the supervisor, in its container."""


class Git:
    """git for one repository on this machine and one server."""

    def __init__(
        self, folder: Path, scratch: Path, access: Access, protocols: str, timeout: float = TIMEOUT
    ) -> None:
        """Writes git's configuration to `scratch`, a folder that nobody else may write.

        Args:
            folder: the working tree.
            scratch: for configuration.
            access: the server.
            protocols: what git may speak, separated by colons.
            timeout: seconds that one command may take.

        Raises:
            RepositoryError: the credentials cannot be used.
        """
        self.folder, self._access, self._timeout = folder, access, timeout
        lines, variables = access.configuration(scratch)
        configuration = scratch / "gitconfig"
        configuration.write_text(_CONFIGURATION + lines)
        self._environment = {**_environment(scratch, configuration, protocols), **variables}
        if access.authorities is not None:
            self._environment["GIT_SSL_CAINFO"] = str(access.authorities)
        self._secrets = access.secrets()

    async def __call__(self, *arguments: str, at: Path | None = None) -> bytes:
        """What a command prints. Raises RepositoryError."""
        async with self.running(*arguments, at=at) as process:
            output, errors = await process.communicate()
        if process.returncode:
            raise self.failure(arguments[0], errors)
        return output

    @asynccontextmanager
    async def running(
        self, *arguments: str, stdin: int = asyncio.subprocess.DEVNULL, at: Path | None = None
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A command that runs; whatever happens, it and its children are gone afterwards. Raises RepositoryError."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=at or self.folder,
            env=self._environment,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._timeout):
                yield process
        except TimeoutError:
            slow = RepositoryError(
                f"git {arguments[0]} took longer than {self._timeout:.0f} s; see whether {self._access.url} is slow"
            )
            slow.may_pass = True
            raise slow from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    def failure(self, command: str, errors: bytes) -> RepositoryError:
        """git's last words, without secrets, and where to look."""
        said = printable(errors, _SAID_CHARACTERS).strip()
        for secret in self._secrets:
            said = said.replace(secret, "***")
        error = RepositoryError(f"git {command} failed: {said}; {self._cure(said)}")
        error.may_pass = any(word in said for word in _PASSING)
        return error

    def _cure(self, said: str) -> str:
        field, secret = self._access.field, self._access.secret
        refused = ("could not read Username", "Authentication failed", "Permission denied", "403", "401")
        if any(word in said for word in refused):
            if secret:
                return f"the server does not accept what the Secret {secret!r} holds; correct it"
            return f"if the repository is not public, name a Secret in {field}.credentialsSecret"
        if "Host key verification failed" in said:
            return f"the server's key must be in `known_hosts` of the Secret in {field}.credentialsSecret"
        return f"check {self._access.member('url')} and what else is said there"


def _environment(scratch: Path, configuration: Path, protocols: str) -> Mapping[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(configuration),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_LFS_SKIP_SMUDGE": "1",
        **{name: os.environ[name] for name in ("SSL_CERT_FILE", "GIT_SSL_CAINFO") if name in os.environ},
    }
