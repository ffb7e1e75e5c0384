"""What a pod's init container leaves in the volumes, and how a pod's end is passed on."""

from __future__ import annotations

import socket
import ssl
import threading
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from axiom_sandbox import VERSION, installing, stopping
from axiom_sandbox.installing import install, make_certificate, wait_until_installed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in (installing.BIN_FOLDER, installing.KEYS_FOLDER, installing.FILES_FOLDER):
        (tmp_path / folder[1:]).mkdir(parents=True)
    (tmp_path / "launcher").write_bytes(b"\x7fELF")
    return tmp_path


def run(root: Path) -> None:
    install(
        "uid/1/agent", "the authority", root=root, launcher=root / "launcher", termination_log=root / "log"
    )


def test_the_launcher_can_be_executed_and_not_written(root: Path) -> None:
    run(root)
    assert (root / "axiom/bin/launcher").stat().st_mode & 0o777 == 0o555


def test_workspace_and_home_belong_to_the_user(root: Path) -> None:
    run(root)
    for name in ("workspace", "home"):
        assert (root / "axiom/files" / name).stat().st_mode & 0o777 == 0o700


def test_keys_are_for_the_owner_alone(root: Path) -> None:
    run(root)
    files = sorted((root / "axiom/keys").iterdir())
    assert [file.name for file in files] == ["channel.crt", "channel.key", "clients.crt"]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert files[2].read_text() == "the authority"


def test_the_certificate_is_the_containers_last_word(root: Path) -> None:
    run(root)
    assert (root / "log").read_bytes() == (root / "axiom/keys/channel.crt").read_bytes()
    assert len((root / "log").read_bytes()) < 4096


def test_the_runners_scripts_are_installed(root: Path) -> None:
    run(root)
    assert list((root / "axiom/bin/tools").glob("*.py"))


def test_installing_again_is_no_error(root: Path) -> None:
    run(root)
    (root / "axiom/bin/launcher").unlink()
    run(root)
    assert (root / "axiom/bin/launcher").exists()


def test_whoever_waits_goes_on_once_all_is_in_place(root: Path) -> None:
    waiting = threading.Thread(target=wait_until_installed, args=(root / "axiom/keys/clients.crt",))
    waiting.start()
    run(root)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_certificate_is_valid_for_thirty_days_and_signs_no_other() -> None:
    now = datetime.now(UTC)
    pem, key = make_certificate("uid/1/agent", now)
    certificate = x509.load_pem_x509_certificate(pem)
    left = certificate.not_valid_after_utc - now
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert b"BEGIN PRIVATE KEY" in key


def test_two_certificates_have_two_keys() -> None:
    now = datetime.now(UTC)
    assert make_certificate("a", now)[1] != make_certificate("a", now)[1]


def test_a_strict_client_trusts_exactly_this_certificate(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    pem, key = make_certificate("uid/1/agent", now)
    (tmp_path / "pem").write_bytes(pem + key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "pem")
    assert shakes_hands(server, pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        shakes_hands(server, make_certificate("uid/1/agent", now)[0])


def shakes_hands(server: ssl.SSLContext, trusted: bytes) -> bool:
    client = ssl.create_default_context(cadata=trusted.decode())
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = (ssl.MemoryBIO() for _ in range(2))
    ours = client.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    done = 0
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                continue
    return done > 0


def test_the_pods_end_is_passed_on_to_a_supervisor_that_listens(tmp_path: Path) -> None:
    ended: list[bool] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "channel.sock"))
        listener.listen()
        assert stopping.stop(tmp_path / "channel.sock", lambda: ended.append(True))
    assert ended == [True]


def test_the_pods_end_waits_for_a_supervisor_that_never_listens_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "_PATIENCE_SECONDS", 0.0)
    assert not stopping.stop(tmp_path / "channel.sock", lambda: pytest.fail("ended"))


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
