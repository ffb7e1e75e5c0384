"""`axiom-sandbox install`, a pod's init container: puts in place what the others need, and makes the channel's key.

The launcher and the tools go to a volume that the untrusted container mounts read-only. The key goes to a volume that the
supervisor alone mounts. The certificate goes to the termination message: the control plane reads it in the pod's status,
which no sandbox can write, and trusts exactly it.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

SUBJECT_VARIABLE = "AXIOM_SUBJECT"
"""Environment variable with the certificate's common name: at most 64 characters."""
CLIENT_CA_VARIABLE = "AXIOM_CLIENT_CA"
"""Environment variable with the certificates of the control plane's authority (PEM)."""

BIN_FOLDER, KEYS_FOLDER, FILES_FOLDER = "/axiom/bin", "/axiom/keys", "/axiom/files"
KEYS, FILES = Path(KEYS_FOLDER), Path(FILES_FOLDER)
CHANNEL_SOCKET = Path("/axiom/state/channel.sock")
LAUNCHER, TOOLS = "launcher", "tools"
CERTIFICATE, KEY, CLIENT_CA = "channel.crt", "channel.key", "clients.crt"
WORKSPACE, HOME = "workspace", "home"
LAUNCHER_IN_IMAGE = Path("/opt/axiom/launcher")
TERMINATION_LOG = Path("/dev/termination-log")

_VALID = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)
_INTERVAL_SECONDS = 0.01


def install(
    subject: str,
    client_ca: str,
    *,
    root: Path = Path("/"),
    launcher: Path = LAUNCHER_IN_IMAGE,
    termination_log: Path = TERMINATION_LOG,
) -> None:
    """Fills the pod's volumes, which lie under `root`; the authority's certificates come last. Raises OSError."""
    bin_folder, keys, files = (root / folder[1:] for folder in (BIN_FOLDER, KEYS_FOLDER, FILES_FOLDER))
    for folder in (files / WORKSPACE, files / HOME):
        folder.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(launcher, bin_folder / LAUNCHER)
    (bin_folder / LAUNCHER).chmod(0o555)
    tools = Path(__file__).parent / "verifying" / "tools"
    if tools.is_dir():
        shutil.copytree(tools, bin_folder / TOOLS, dirs_exist_ok=True)
    certificate, key = make_certificate(subject, datetime.now(UTC))
    _write(keys / KEY, key)
    _write(keys / CERTIFICATE, certificate)
    termination_log.write_bytes(certificate)
    _write(keys / CLIENT_CA, client_ca.encode())


def make_certificate(subject: str, now: datetime) -> tuple[bytes, bytes]:
    """A self-signed server certificate for an own P-256 key, valid for 30 days: (certificate, key), both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


def wait_until_installed(client_ca: Path) -> None:
    """Returns once `install` is through: it runs beside the supervisor's start."""
    while not client_ca.exists():
        time.sleep(_INTERVAL_SECONDS)


def install_in_pod() -> None:
    """`install`, as the pod's environment says."""
    install(os.environ[SUBJECT_VARIABLE], os.environ[CLIENT_CA_VARIABLE])


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    part.replace(path)
