"""How a git server is reached: its address, and the credentials that a Secret holds for exactly this server.

The Secret says by its key `host` for which server it may be used. Without that, whoever may write tasks could name any
Secret of a namespace beside a server of his own, and have it sent there.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

HOST, USERNAME, PASSWORD = "host", "username", "password"
SSH_KEY, KNOWN_HOSTS = "ssh-privatekey", "known_hosts"
SECRET_KEYS = (HOST, USERNAME, PASSWORD, SSH_KEY, KNOWN_HOSTS)
"""Keys of a Secret that are used; those of the types kubernetes.io/basic-auth and kubernetes.io/ssh-auth, and `host`."""

_DEFAULT_USERNAME = "git"
_HELPER = "git-credential"
_OF_ANYBODY = "[safe]\n\tdirectory = *\n"
"""A repository on this machine may belong to another user, as checkouts in CI's containers do. It was named; nothing of it runs."""


class RepositoryError(Exception):
    """A repository cannot be read or written; the message says why, and the cure."""

    may_pass = False
    """The server or the way to it failed: the same may succeed a little later."""


@dataclass(frozen=True)
class Access:
    """The way to one repository."""

    url: str
    field: str
    """The field of the task that names it, for messages: `spec.workspace.git`."""
    credentials: Path | None = None
    """Folder with a file for each key of the Secret."""
    secret: str = ""
    """The Secret's name, for messages."""
    authorities: Path | None = None
    """File with the authorities (PEM) that an https server may have; None: those of the machine."""

    def member(self, name: str) -> str:
        """One of the field's own fields, for messages; an option of a command line has none."""
        return self.field if self.field.startswith("-") else f"{self.field}.{name}"

    @property
    def address(self) -> SplitResult:
        """The address in its parts."""
        return urlsplit(self.url)

    def configuration(self, scratch: Path) -> tuple[str, dict[str, str]]:
        """What git has to be told for this server: lines of a configuration file, and variables.

        Secrets are in neither: git asks a program in `scratch`, which reads them where they lie. Raises RepositoryError.
        """
        if self.credentials is None:
            return (_OF_ANYBODY if self.address.scheme == "file" else ""), {}
        self._check_host()
        match self.address.scheme:
            case "https":
                return self._https(scratch), {}
            case "ssh":
                return "", {"GIT_SSH_COMMAND": self._ssh()}
            case scheme:
                raise RepositoryError(f"{self.field}: credentials are of no use for {scheme}:// addresses")

    def secrets(self) -> list[str]:
        """What must not be in any message."""
        found = [self._value(key) for key in (PASSWORD, SSH_KEY)]
        return [value for value in found if value]

    def _check_host(self) -> None:
        allowed, wanted = self._value(HOST).lower(), _host(self.address)
        if not allowed:
            raise RepositoryError(
                f"{self.field}.credentialsSecret: the Secret {self.secret!r} does not exist in the task's namespace, or"
                f" has no key `{HOST}`, which says for which server it may be used; add it with the value {wanted}"
            )
        if allowed != wanted:
            raise RepositoryError(
                f"{self.field}.credentialsSecret: the Secret {self.secret!r} may be used for {allowed!r} (its key `{HOST}`),"
                f" and {self.field}.url leads to {wanted!r}; name the Secret of that server"
            )

    def _https(self, scratch: Path) -> str:
        assert self.credentials is not None
        if not self._value(PASSWORD):
            raise self._lacks(PASSWORD, "a password or a token")
        helper = scratch / _HELPER
        username = self.credentials / USERNAME
        told = f'cat "{username}"' if username.is_file() else f"echo {_DEFAULT_USERNAME}"
        helper.write_text(
            f'#!/bin/sh\n[ "$1" = get ] || exit 0\n'
            f'echo "username=$({told})"\necho "password=$(cat "{self.credentials / PASSWORD}")"\n'
        )
        helper.chmod(0o700)
        return f'[credential "https://{_host(self.address)}"]\n\thelper = {helper}\n[http]\n\tfollowRedirects = false\n'

    def _ssh(self) -> str:
        assert self.credentials is not None
        for key, what in ((SSH_KEY, "a private key"), (KNOWN_HOSTS, "the server's public keys")):
            if not self._value(key):
                raise self._lacks(key, what)
        options = {
            "IdentityFile": self.credentials / SSH_KEY,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.credentials / KNOWN_HOSTS,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": 30,
            "ServerAliveInterval": 20,
            "ServerAliveCountMax": 3,
        }
        return shlex.join(["ssh", "-F", "none", *(f"-o{name}={value}" for name, value in options.items())])

    def _lacks(self, key: str, what: str) -> RepositoryError:
        return RepositoryError(
            f"{self.field}.credentialsSecret: the Secret {self.secret!r} lacks the key `{key}` ({what}),"
            f" which {self.address.scheme}:// addresses need"
        )

    def _value(self, key: str) -> str:
        file = self.credentials / key if self.credentials else None
        try:
            return file.read_text().strip() if file else ""
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise RepositoryError(
                f"the key `{key}` of the Secret {self.secret!r} cannot be read: {error}"
            ) from error


def _host(address: SplitResult) -> str:
    """Host and, where one is given, port: the form in which git itself compares them."""
    host = address.netloc.rpartition("@")[2].lower()
    if not re.fullmatch(r"[a-z0-9._:\[\]-]+", host):
        raise RepositoryError(f"{host!r} is not the name of a server")
    return host
