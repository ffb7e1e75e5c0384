"""A person's way to a cluster: their kubeconfig, as kubectl reads it, programs that fetch tokens included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kopf
import yaml
from kubernetes.client import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.kube_config import list_kube_config_contexts, load_kube_config

from axiom.cluster.errors import LoginError

_UNSUPPORTED = {"tls_server_name": "tls-server-name", "proxy": "proxy-url"}


@dataclass(frozen=True)
class Login:
    """One context of a kubeconfig."""

    server: str
    """Address of the API server."""
    namespace: str
    """The context's own; `default` where it names none."""
    connect: Callable[[], kopf.ConnectionInfo]
    """Address and credentials, read anew: tokens run out."""


def log_in(kubeconfig: Path | None = None, context: str | None = None) -> Login:
    """A context by name, else the current one, of this file, else of KUBECONFIG, else of ~/.kube/config.

    Raises LoginError.
    """
    file = str(kubeconfig) if kubeconfig else None
    try:
        contexts, current = list_kube_config_contexts(file)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, yaml.YAMLError) as error:
        raise LoginError(
            f"no cluster is configured ({_one_line(error)}); name a file with --kubeconfig or KUBECONFIG"
        ) from error
    wanted = next((one for one in contexts if one["name"] == context), None) if context else current
    if wanted is None:
        known = ", ".join(one["name"] for one in contexts) or "none"
        raise LoginError(f"the kubeconfig has no context {context!r}; it has: {known}")

    def connect() -> kopf.ConnectionInfo:
        return _connection(file, wanted["name"])

    info = connect()
    namespace = wanted.get("context", {}).get("namespace") or "default"
    return Login(str(info.server), namespace, connect)


def _connection(file: str | None, context: str) -> kopf.ConnectionInfo:
    configuration: Any = Configuration()
    try:
        load_kube_config(file, context, configuration, persist_config=False)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, yaml.YAMLError) as error:
        raise LoginError(
            f"the kubeconfig's context {context!r} cannot be used: {_one_line(error)}; mend it, or log in anew"
        ) from error
    for field, name in _UNSUPPORTED.items():
        if getattr(configuration, field, None):
            raise LoginError(
                f"the kubeconfig's context {context!r} sets {name}, which axiom does not know; use kubectl"
            )
    scheme, _, token = str(configuration.api_key.get("BearerToken", "")).partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme or None,
        token=token or None,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
