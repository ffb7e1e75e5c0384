"""A git server over https with an authority of its own, as companies have them: `git http-backend` behind TLS."""

from __future__ import annotations

import ipaddress
import os
import shutil
import ssl
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM
_VALID = timedelta(days=1)


@dataclass(frozen=True)
class GitServer:
    """A server that listens."""

    url: str
    """https://ADDRESS:PORT; a repository in the folder has its name behind it."""
    port: int
    authority: str
    """The certificate (PEM) that a client has to trust."""


@contextmanager
def serve_git(
    repositories: Path, keys: Path, address: str = "127.0.0.1", password: str = "", port: int = 0
) -> Iterator[GitServer]:
    """Serves the repositories in a folder for as long as the context is open.

    Args:
        repositories: folder of repositories, readable for everyone who connects; with a password, only with that, and then
            writable, too.
        keys: an empty folder for certificate and key.
        address: IP address to listen at, which the certificate names.
        password: of everybody, whatever the user's name.
        port: to listen at; 0: any.
    """
    authority = _make_certificates(keys, address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "tls.crt", keys / "tls.key")
    server = ThreadingHTTPServer((address, port), _handler(repositories, password))
    # The handshake is made by the thread that answers, so that nobody else waits for it.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield GitServer(f"https://{address}:{server.server_port}", server.server_port, authority)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(repositories: Path, password: str) -> type[BaseHTTPRequestHandler]:
    git = shutil.which("git") or "git"

    class Handler(BaseHTTPRequestHandler):
        """Hands each request to git's own CGI program."""

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

        def _user(self) -> str | None:
            scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
            user, _, given = b64decode(encoded).decode().partition(":")
            return user if scheme == "Basic" and given == password else None

        def _answer(self, body: bytes) -> None:
            url = urlsplit(self.path)
            if password and self._user() is None:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            ended = subprocess.run(
                [git, "http-backend"],
                input=body,
                capture_output=True,
                check=True,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "GIT_CONFIG_GLOBAL": os.devnull,
                    "GIT_CONFIG_SYSTEM": os.devnull,
                    "GIT_PROJECT_ROOT": str(repositories),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": url.path,
                    "QUERY_STRING": url.query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    **({"REMOTE_USER": self._user() or ""} if password else {}),
                },
            )
            head, _, content = ended.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _make_certificates(folder: Path, address: str) -> str:
    key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = (
        _builder("Authority of a company", key)
        .issuer_name(_name("Authority of a company"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    server = (
        _builder(address, server_key)
        .issuer_name(root.subject)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(server.public_bytes(_PEM))
    (folder / "tls.key").write_bytes(
        server_key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return root.public_bytes(_PEM).decode()


def _builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _VALID)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
