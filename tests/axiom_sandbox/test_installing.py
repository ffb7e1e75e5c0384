"""What the installer leaves in a pod's volumes, and how a pod's end is passed on."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from axiom_sandbox import VERSION, installing, stopping
from axiom_sandbox.installing import wait_until_installed

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "build" / "installer"
ENVIRONMENT = {installing.SUBJECT_VARIABLE: "uid/1/agent", installing.CLIENT_CA_VARIABLE: "the authority"}


def make_root(folder: Path) -> Path:
    """A pod's folders and what the image brings."""
    volumes = (installing.BIN_FOLDER, installing.KEYS_FOLDER, installing.FILES_FOLDER)
    for path in (*volumes, "/opt/axiom/tools", "/dev"):
        (folder / path[1:]).mkdir(parents=True)
    (folder / "opt/axiom/launcher").write_bytes(b"\x7fELF")
    (folder / "opt/axiom/tools/run_pytest.py").write_text("pass\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "pod")


def call(verb: str, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, verb, root],
        env={**os.environ, **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def install(root: Path) -> None:
    done = call("install", root)
    assert done.returncode == 0, done.stderr


def certificate(root: Path) -> bytes:
    return (root / "axiom/keys/channel.crt").read_bytes()


def test_the_launcher_can_be_executed_and_not_written(root: Path) -> None:
    install(root)
    assert (root / "axiom/bin/launcher").stat().st_mode & 0o777 == 0o555


def test_workspace_and_home_belong_to_the_user(root: Path) -> None:
    install(root)
    for name in ("workspace", "home"):
        assert (root / "axiom/files" / name).stat().st_mode & 0o777 == 0o700


def test_keys_are_for_the_owner_alone(root: Path) -> None:
    install(root)
    files = sorted((root / "axiom/keys").iterdir())
    assert [file.name for file in files] == ["channel.crt", "channel.key", "clients.crt"]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert files[2].read_text() == "the authority"


def test_the_certificate_is_the_tellers_last_word(root: Path) -> None:
    install(root)
    assert call("tell", root).returncode == 0
    told = (root / "dev/termination-log").read_bytes()
    assert told == certificate(root)
    assert len(told) < 4096


def test_a_teller_without_a_certificate_says_so(root: Path) -> None:
    told = call("tell", root)
    assert told.returncode == 1
    assert "channel.crt" in told.stderr
    assert not (root / "dev/termination-log").exists()


def test_the_runners_scripts_are_installed(root: Path) -> None:
    install(root)
    assert [file.name for file in (root / "axiom/bin/tools").iterdir()] == ["run_pytest.py"]


def test_a_supervisor_that_is_started_again_finds_the_key_that_is_known(root: Path) -> None:
    install(root)
    known = certificate(root)
    install(root)
    assert certificate(root) == known


def test_what_was_broken_off_is_done_again(root: Path) -> None:
    install(root)
    (root / "axiom/keys/clients.crt").unlink()
    install(root)
    assert (root / "axiom/keys/clients.crt").exists()


@pytest.mark.parametrize("missing", list(ENVIRONMENT))
def test_nothing_is_installed_for_nobody(root: Path, missing: str) -> None:
    done = call("install", root, **{missing: ""})
    assert done.returncode == 1
    assert "AXIOM_SUBJECT" in done.stderr
    assert not list((root / "axiom/keys").iterdir())


def test_whoever_waits_goes_on_once_all_is_in_place(root: Path) -> None:
    waiting = threading.Thread(target=wait_until_installed, args=(root / "axiom/keys/clients.crt",))
    waiting.start()
    install(root)
    waiting.join(60)
    assert not waiting.is_alive()


def test_a_certificate_is_valid_for_thirty_days_and_signs_no_other(root: Path) -> None:
    install(root)
    made = x509.load_pem_x509_certificate(certificate(root))
    left = made.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.subject.rfc4514_string() == "CN=uid/1/agent"


def test_a_strict_client_trusts_exactly_this_certificate(root: Path, tmp_path: Path) -> None:
    other = make_root(tmp_path / "other")
    install(root)
    install(other)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(root / "axiom/keys/channel.crt", root / "axiom/keys/channel.key")
    assert shakes_hands(server, certificate(root))
    with pytest.raises(ssl.SSLCertVerificationError):
        shakes_hands(server, certificate(other))


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
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
