"""What a person can set about the operator, and how it is read from the environment."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from axiom.environment import SettingsError, host_and_port, needed, whole_number
from axiom.manifests.network_policies import Destination, parse_destinations
from axiom.reconciling.lease import LeaseSettings


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
    browser_image: str = ""
    """AXIOM_BROWSER_IMAGE: what photographs pages; without it none are."""
    egress: tuple[str, int] | None = None
    """AXIOM_EGRESS (host:port): the egress proxy's Service, by its cluster address or a name that leads to it."""
    listen_host: str = "127.0.0.1"
    listen_port: int = 9090
    """AXIOM_OPERATOR_METRICS (127.0.0.1:9090): /metrics, /healthz, /readyz."""
    network_policies: bool = True
    """AXIOM_NETWORK_POLICIES (true, false): whether the operator closes the network around sandboxes. It needs the operator,
    the gateway and the egress proxy to be pods of the installation's namespace, with the chart's labels."""
    fetch_also: tuple[Destination, ...] = ()
    """AXIOM_FETCH_ALSO (NETWORK:PORT, …): where git workspaces may be fetched from besides public addresses."""
    fetch_ca: str = ""
    """AXIOM_FETCH_CA: certificates (PEM) of authorities that git servers may have besides the public ones. Everyone who may
    read pods in a task's namespace sees them."""
    concurrency: int = 32
    """AXIOM_OPERATOR_CONCURRENCY: tasks that are worked on at the same moment."""


def read_settings(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Raises SettingsError."""
    namespace = needed(environment, "AXIOM_NAMESPACE", "the installation's namespace")
    host, port = host_and_port(environment, "AXIOM_OPERATOR_METRICS", "127.0.0.1:9090")
    return OperatorSettings(
        namespace=namespace,
        lease=LeaseSettings(
            namespace,
            environment.get("AXIOM_OPERATOR_LEASE", "axiom-operator"),
            environment.get("AXIOM_OPERATOR_IDENTITY") or socket.gethostname(),
        ),
        channel_tls=Path(needed(environment, "AXIOM_CHANNEL_TLS", "a folder with tls.crt, tls.key, ca.crt")),
        token_keys=Path(needed(environment, "AXIOM_TOKEN_KEYS", "the file with the keys of tokens")),
        supervisor_image=needed(environment, "AXIOM_SUPERVISOR_IMAGE", "the image of the trusted side"),
        verifier_image=needed(environment, "AXIOM_VERIFIER_IMAGE", "the image of the clean room"),
        browser_image=environment.get("AXIOM_BROWSER_IMAGE", ""),
        egress=host_and_port(environment, "AXIOM_EGRESS", "axiom-egress:8788")
        if environment.get("AXIOM_EGRESS")
        else None,
        listen_host=host,
        listen_port=port,
        network_policies=_flag(environment, "AXIOM_NETWORK_POLICIES", default=True),
        fetch_also=_destinations(environment, "AXIOM_FETCH_ALSO"),
        fetch_ca=_certificates(environment, "AXIOM_FETCH_CA"),
        concurrency=whole_number(environment, "AXIOM_OPERATOR_CONCURRENCY", 32),
    )


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name) or str(default).lower()
    if text not in ("true", "false"):
        raise SettingsError(f"{name} is {text!r}; write true or false")
    return text == "true"


def _destinations(environment: Mapping[str, str], name: str) -> tuple[Destination, ...]:
    try:
        return parse_destinations(environment.get(name, ""))
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


def _certificates(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "").strip()
    if not text:
        return ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError(f"{name} holds no certificates in PEM: {error}") from error
    if "PRIVATE KEY" in text:
        raise SettingsError(f"{name} holds a private key; give certificates only")
    return f"{text}\n"
