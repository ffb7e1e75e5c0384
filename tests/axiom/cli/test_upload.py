"""`axiom upload`, as a person meets it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from axiom.cli import uploading
from axiom.cli.main import app
from axiom.storage.ciphers import MAGIC, Keyring
from axiom.storage.encrypted import EncryptedBucket
from axiom.storage.folder import FolderStore


def test_an_archive_is_put_once_and_its_digest_is_said(tmp_path: Path) -> None:
    (tmp_path / "store" / "tasks").mkdir(parents=True)
    file = tmp_path / "base.tar"
    file.write_bytes(b"a tar")
    words = ["upload", str(file), "team/base.tar", "-n", "team-a", "--to", str(tmp_path / "store")]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    digest = hashlib.sha256(b"a tar").hexdigest()
    assert first.stdout == (
        "inputs/team-a/team/base.tar is stored, not encrypted: there is no key for namespace team-a here;"
        f" sha256 {digest}\n"
    )
    assert (tmp_path / "store" / "inputs/team-a/team/base.tar").read_bytes() == b"a tar"
    assert "is there already" in CliRunner().invoke(app, words).stdout
    file.write_bytes(b"another")
    other = CliRunner().invoke(app, words)
    assert other.exit_code == 3
    assert "an input is never changed" in other.stderr
    bad = CliRunner().invoke(app, [*words[:2], "../x", *words[3:]])
    assert (bad.exit_code, "is no key" in bad.stderr) == (3, True)


def test_with_keys_it_is_encrypted_before_it_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "team-a.1").write_text(hashlib.sha256(b"key").hexdigest())
    bucket = EncryptedBucket(FolderStore(tmp_path / "store"), Keyring(tmp_path / "keys"))
    monkeypatch.setattr(uploading, "open_store", lambda where: bucket)
    file = tmp_path / "base.tar"
    file.write_bytes(b"a tar")
    done = CliRunner().invoke(app, ["upload", str(file), "base.tar", "-n", "team-a", "--to", "s3://b"])
    assert "is stored, encrypted with team-a.1" in done.stdout
    assert (tmp_path / "store" / "inputs/team-a/base.tar").read_bytes().startswith(MAGIC)
