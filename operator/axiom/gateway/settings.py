"""What a person can set about the gateway, and how it is read from the environment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from axiom.environment import SettingsError, host_and_port, needed
from axiom.storage.ciphers import Keyring
from axiom.storage.encrypted import EncryptedBucket
from axiom.storage.s3 import S3Settings, S3Store, ServerSide
from axiom.storage.store import PrunableStore


@dataclass(frozen=True)
class GatewaySettings:
    """Settings of `python -m axiom.gateway`, with the variable that each is read from."""

    channel_tls: Path
    """AXIOM_CHANNEL_TLS: folder with tls.crt and tls.key, our client's certificate."""
    storage: S3Settings
    """AXIOM_S3_ENDPOINT, AXIOM_S3_BUCKET, AXIOM_S3_CREDENTIALS (a folder with the files accessKey and secretKey, read anew
    when they change); AXIOM_S3_REGION (us-east-1), AXIOM_S3_CREATE_BUCKET (true or false), AXIOM_S3_CA (a PEM file),
    AXIOM_S3_ENCRYPTION (AES256 or aws:kms, asked of the server), AXIOM_S3_KMS_KEY (of aws:kms)."""
    keyring: Path | None
    """AXIOM_S3_KEYRING: a folder with keys of namespaces, by which evidence is encrypted before it is stored; unset: it is not."""
    scratch: Path
    """AXIOM_GATEWAY_SCRATCH: folder for what is on its way; emptied at the start. By default under /tmp."""
    listen: tuple[str, int]
    """AXIOM_GATEWAY_LISTEN (127.0.0.1:8080): what people see."""
    egress: str
    """AXIOM_EGRESS (host:port): the egress proxy, for errands of verifiers; unset: there are none."""
    token_keys: Path | None
    """AXIOM_TOKEN_KEYS: file with the keys of tokens, the same that the egress proxy has."""
    metrics: tuple[str, int]
    """AXIOM_GATEWAY_METRICS (127.0.0.1:9091): /metrics, /healthz, /readyz."""


def read_settings(environment: Mapping[str, str] = os.environ) -> GatewaySettings:
    """Raises SettingsError."""
    return GatewaySettings(
        channel_tls=Path(needed(environment, "AXIOM_CHANNEL_TLS", "a folder with tls.crt and tls.key")),
        storage=read_storage(environment),
        keyring=read_keyring(environment),
        scratch=Path(
            environment.get("AXIOM_GATEWAY_SCRATCH") or Path(tempfile.gettempdir()) / "axiom-gateway"
        ),
        listen=host_and_port(environment, "AXIOM_GATEWAY_LISTEN", "127.0.0.1:8080"),
        egress=environment.get("AXIOM_EGRESS", ""),
        token_keys=Path(keys) if (keys := environment.get("AXIOM_TOKEN_KEYS")) else None,
        metrics=host_and_port(environment, "AXIOM_GATEWAY_METRICS", "127.0.0.1:9091"),
    )


def read_keyring(environment: Mapping[str, str]) -> Path | None:
    """Where keys of namespaces lie."""
    folder = environment.get("AXIOM_S3_KEYRING")
    return Path(folder) if folder else None


def open_bucket(environment: Mapping[str, str]) -> PrunableStore:
    """The store that the environment names, for whoever reads or collects. Raises SettingsError, StorageError."""
    bucket, keyring = S3Store(read_storage(environment)), read_keyring(environment)
    return EncryptedBucket(bucket, Keyring(keyring)) if keyring else bucket


def read_storage(environment: Mapping[str, str]) -> S3Settings:
    """Where evidence is kept. Raises SettingsError."""
    authority = environment.get("AXIOM_S3_CA")
    return S3Settings(
        endpoint=needed(environment, "AXIOM_S3_ENDPOINT", "the S3 server, such as https://s3.example"),
        bucket=needed(environment, "AXIOM_S3_BUCKET", "the bucket for evidence"),
        credentials=Path(
            needed(
                environment, "AXIOM_S3_CREDENTIALS", "the folder with the bucket's accessKey and secretKey"
            )
        ),
        region=environment.get("AXIOM_S3_REGION") or "us-east-1",
        create_bucket=environment.get("AXIOM_S3_CREATE_BUCKET", "").lower() == "true",
        certificate_authority=Path(authority) if authority else None,
        server_side_encryption=_server_side(environment.get("AXIOM_S3_ENCRYPTION", "")),
        kms_key_id=environment.get("AXIOM_S3_KMS_KEY", ""),
    )


def _server_side(text: str) -> ServerSide | None:
    try:
        return ServerSide(text) if text else None
    except ValueError as error:
        raise SettingsError(f"AXIOM_S3_ENCRYPTION is {text!r}; write AES256, aws:kms, or nothing") from error
