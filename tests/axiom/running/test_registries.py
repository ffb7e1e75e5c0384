"""pip and npm install from inside a sandbox, through the tunnel that their class opens, from registries on loopback."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import socket
import ssl
import subprocess
import tarfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.axiom.running.runs import Play, shell, task

from axiom_sandbox.protocol.verdicts import Verdict

HOST = "registry.example"
WHEEL, TARBALL = "leap_helper-1.0-py3-none-any.whl", "leap-helper-1.0.0.tgz"
INSTALL = """
python3 -m pip --isolated install --quiet --disable-pip-version-check --no-cache-dir --cert ca.pem \
  --index-url https://registry.example:$PORT/simple --target lib leap-helper &&
npm install --silent --no-audit --no-fund --no-update-notifier --cafile ca.pem --fetch-retries 0 --registry https://registry.example:$PORT/npm/ leap-helper &&
PYTHONPATH=lib python3 -c 'import leap_helper' &&
node -e 'require("leap-helper")' &&
! python3 -c 'import urllib.request as r; r.urlopen("https://pypi.example/")' 2>refused &&
grep -q 'Tunnel connection failed: 403' refused && echo done >out
"""


def certificate() -> tuple[str, str]:
    """A certificate of its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem, secret.decode()


def wheel() -> bytes:
    out, info = io.BytesIO(), "leap_helper-1.0.dist-info"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("leap_helper.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: leap-helper\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return out.getvalue()


def tarball() -> bytes:
    out = io.BytesIO()
    files = {"package.json": b'{"name": "leap-helper", "version": "1.0.0"}', "index.js": b""}
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


@asynccontextmanager
async def registries(folder: Path, seen: list[str]) -> AsyncIterator[tuple[int, str]]:
    """Both of them on one port, with TLS. Yields the port and the authority's certificate."""
    pem, key = certificate()
    (folder / "cert.pem").write_text(pem + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem")
    packed = tarball()

    async def serve(request: web.Request) -> web.Response:
        seen.append(request.path)
        match request.path:
            case "/simple/leap-helper/":
                return web.Response(text=f'<a href="/{WHEEL}">{WHEEL}</a>', content_type="text/html")
            case path if path.endswith(WHEEL):
                return web.Response(body=wheel())
            case path if path.endswith(TARBALL):
                return web.Response(body=packed)
            case "/npm/leap-helper":
                integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
                dist = {"tarball": f"https://{request.host}/{TARBALL}", "integrity": integrity}
                version = {"name": "leap-helper", "version": "1.0.0", "dist": dist}
                body = {
                    "name": "leap-helper",
                    "dist-tags": {"latest": "1.0.0"},
                    "versions": {"1.0.0": version},
                }
                return web.json_response(body)
            case _:
                return web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield runner.addresses[0][1], pem
    await runner.cleanup()


@pytest.mark.sandbox
@pytest.mark.thorough
async def test_packages_are_installed_through_the_tunnel_and_from_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (
        not shutil.which("npm", path="/usr/bin")
        or subprocess.run(
            ["/usr/bin/python3", "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("this machine's own system has no pip, or no npm")
    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **rest: Any) -> Any:
        return real("127.0.0.1" if host == HOST else host, *args, **rest)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("AXIOM_EGRESS_PRIVATE_UPSTREAMS", HOST)
    seen: list[str] = []
    async with registries(tmp_path, seen) as (port, pem):
        agent = shell(
            INSTALL.replace("$PORT", str(port)),
            network="Strict",
            egress={"destinations": [{"host": HOST, "ports": [port]}]},
        )
        play = Play(tmp_path, task(workspace={"files": [{"path": "ca.pem", "content": pem}]}), agent)
        status = await play.play()
    assert status.verdict is Verdict.PASS, json.dumps(status.model_dump(mode="json"), indent=1)
    assert f"/{WHEEL}" in seen
    assert f"/{TARBALL}" in seen
