"""What a person can set about the egress proxy, and how it is read from the environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from axiom.egress.errors import SettingsError
from axiom.egress.tokens import MIN_KEY_LENGTH

log = logging.getLogger(__name__)


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int
    """0 is any free one."""


@dataclass(frozen=True)
class ProxySettings:
    """How the proxy behaves, wherever it runs."""

    connect_seconds: float = 10
    """Longest time to resolve the vendor's name, to connect and to agree on TLS."""
    patience_seconds: float = 60
    """An agent that gives up a call of a model after so long says that its vendor does not answer."""
    idle_seconds: float = 600
    """Longest silence of a vendor or of an agent in the middle of a request. Requests as such have no time limit."""
    recheck_seconds: float = 5
    """How long a tunnel may outlive its attempt, or its class's consent."""
    most_open: int = 256
    """Requests and tunnels that one attempt may have open at once."""
    budget_seconds: float = 60
    """How long a call of a model waits for others of its task to end, where their budget is too small for all of them."""
    allow_private_upstreams: frozenset[str] = frozenset()
    """Hosts, names or addresses, of upstreams that may lead to loopback, link-local or private addresses."""


@dataclass(frozen=True)
class ServerSettings:
    """How the proxy runs on a cluster."""

    listen: Address
    """Where agents reach it."""
    metrics: Address
    """Where /healthz and /metrics are."""
    token_keys: Path
    """File with the keys of tokens."""
    namespace: str
    """Where the Secrets with credentials are."""
    proxy: ProxySettings


def read_settings(environment: Mapping[str, str]) -> ServerSettings:
    """Settings of `python -m axiom.egress`. Raises SettingsError.

    AXIOM_EGRESS_LISTEN (127.0.0.1:8788), AXIOM_EGRESS_METRICS (127.0.0.1:8789), AXIOM_EGRESS_TOKEN_KEYS (a file),
    AXIOM_NAMESPACE, and AXIOM_EGRESS_PRIVATE_UPSTREAMS (host names, separated by commas).
    """
    return ServerSettings(
        listen=_address(environment, "AXIOM_EGRESS_LISTEN", "127.0.0.1:8788"),
        metrics=_address(environment, "AXIOM_EGRESS_METRICS", "127.0.0.1:8789"),
        token_keys=Path(_needed(environment, "AXIOM_EGRESS_TOKEN_KEYS", "the file with the keys of tokens")),
        namespace=_needed(
            environment, "AXIOM_NAMESPACE", "the namespace that holds the credentials' Secrets"
        ),
        proxy=ProxySettings(allow_private_upstreams=private_upstreams(environment)),
    )


def private_upstreams(environment: Mapping[str, str]) -> frozenset[str]:
    """Hosts of AXIOM_EGRESS_PRIVATE_UPSTREAMS."""
    hosts = environment.get("AXIOM_EGRESS_PRIVATE_UPSTREAMS", "").split(",")
    return frozenset(host.strip() for host in hosts if host.strip())


def read_token_keys(path: Path) -> tuple[bytes, ...]:
    """Keys of tokens, one on a line: the first makes tokens, all of them count. Raises SettingsError."""
    try:
        keys = tuple(line.strip() for line in path.read_bytes().splitlines() if line.strip())
    except OSError as error:
        raise SettingsError(f"the keys of tokens cannot be read from {path}: {error.strerror}") from error
    if not keys or any(len(key) < MIN_KEY_LENGTH for key in keys):
        raise SettingsError(f"{path} must hold one key of at least {MIN_KEY_LENGTH} characters on each line")
    return keys


class TokenKeys:
    """The keys of tokens in a file that may be replaced while the proxy runs."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError when the file cannot be used."""
        self._path = path
        self._keys = read_token_keys(path)
        self._version = _version(path)

    def current(self) -> tuple[bytes, ...]:
        """The file's keys as they are now; while it cannot be used, as they were."""
        if (version := _version(self._path)) != self._version:
            try:
                self._keys, self._version = read_token_keys(self._path), version
            except SettingsError as error:
                log.warning("the keys of tokens stay as they were: %s", error)
        return self._keys


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _address(environment: Mapping[str, str], name: str, default: str) -> Address:
    text = environment.get(name, default)
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"{name} is {text!r}; write an address and a port such as {default}")
    return Address(host.strip("[]"), int(port))


def _needed(environment: Mapping[str, str], name: str, what: str) -> str:
    if not environment.get(name):
        raise SettingsError(f"{name} is not set; it names {what}")
    return environment[name]
