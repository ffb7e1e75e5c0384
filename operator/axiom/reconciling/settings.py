"""What a person can set about the operator, and how it is read from the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from axiom.reconciling.lease import LeaseSettings


class SettingsError(Exception):
    """The settings cannot be used; the message names the variable and the cure."""


@dataclass(frozen=True)
class OperatorSettings:
    """Settings of `python -m axiom.reconciling`, with the variable that each is read from."""

    namespace: str
    """AXIOM_NAMESPACE: where the installation lives, and its Lease."""
    lease: LeaseSettings
    """AXIOM_OPERATOR_LEASE (axiom-operator); AXIOM_OPERATOR_IDENTITY, by default the host's name, which is the pod's."""
    channel_tls: Path
    """AXIOM_CHANNEL_TLS: folder with tls.crt and tls.key, our client's certificate, and ca.crt, which sandboxes trust."""
    token_keys: Path
    """AXIOM_TOKEN_KEYS: file with the keys of attempts' tokens, the same that the egress proxy has."""
    supervisor_image: str
    """AXIOM_SUPERVISOR_IMAGE: the trusted side of every sandbox."""
    verifier_image: str
    """AXIOM_VERIFIER_IMAGE: the clean room's untrusted side, where a task names none."""
    egress: tuple[str, int] | None = None
    """AXIOM_EGRESS (host:port): the egress proxy's Service, by its cluster address or a name that leads to it."""
    listen_host: str = "127.0.0.1"
    listen_port: int = 9090
    """AXIOM_OPERATOR_METRICS (127.0.0.1:9090): /metrics, /healthz, /readyz."""
    concurrency: int = 32
    """AXIOM_OPERATOR_CONCURRENCY: tasks that are worked on at the same moment."""


def read_settings(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Raises SettingsError."""
    namespace = _needed(environment, "AXIOM_NAMESPACE", "the installation's namespace")
    host, port = address_of(environment, "AXIOM_OPERATOR_METRICS", "127.0.0.1:9090")
    return OperatorSettings(
        namespace=namespace,
        lease=LeaseSettings(
            namespace,
            environment.get("AXIOM_OPERATOR_LEASE", "axiom-operator"),
            environment.get("AXIOM_OPERATOR_IDENTITY") or socket.gethostname(),
        ),
        channel_tls=Path(_needed(environment, "AXIOM_CHANNEL_TLS", "a folder with tls.crt, tls.key, ca.crt")),
        token_keys=Path(_needed(environment, "AXIOM_TOKEN_KEYS", "the file with the keys of tokens")),
        supervisor_image=_needed(environment, "AXIOM_SUPERVISOR_IMAGE", "the image of the trusted side"),
        verifier_image=_needed(environment, "AXIOM_VERIFIER_IMAGE", "the image of the clean room"),
        egress=address_of(environment, "AXIOM_EGRESS", "") if environment.get("AXIOM_EGRESS") else None,
        listen_host=host,
        listen_port=port,
        concurrency=whole_number(environment, "AXIOM_OPERATOR_CONCURRENCY", 32),
    )


def address_of(environment: Mapping[str, str], name: str, default: str) -> tuple[str, int]:
    """`host:port` → both. Raises SettingsError."""
    text = environment.get(name) or default
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"{name} is {text!r}; write an address and a port such as {default}")
    return host.strip("[]"), int(port)


def whole_number(environment: Mapping[str, str], name: str, default: int) -> int:
    """A number above 0. Raises SettingsError."""
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"{name} is {text!r}; write a whole number such as {default}")
    return int(text)


def _needed(environment: Mapping[str, str], name: str, what: str) -> str:
    if not environment.get(name):
        raise SettingsError(f"{name} is not set; it names {what}")
    return environment[name]
