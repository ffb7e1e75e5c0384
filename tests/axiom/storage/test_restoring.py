"""A bucket that was copied is as good as the first: every ledger proves, and the history is made anew of it."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.axiom.evidence.runs import BEGAN, stored_run
from typer.testing import CliRunner

from axiom.cli.main import app
from axiom.storage.ciphers import Keyring
from axiom.storage.encrypted import EncryptedStore
from axiom.storage.folder import FolderStore
from axiom.storage.s3 import S3Settings, S3Store

CAST = b'{"version":3,"term":{"cols":80,"rows":24},"timestamp":1795255200}\n[0.5,"o","seen"]\n'


@pytest.fixture
def environment(tmp_path: Path, s3_settings: S3Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "accessKey").write_text(s3_settings.access_key)
    (keys / "secretKey").write_text(s3_settings.secret_key)
    monkeypatch.setenv("AXIOM_S3_ENDPOINT", s3_settings.endpoint)
    monkeypatch.setenv("AXIOM_S3_CREDENTIALS", str(keys))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.usefixtures("environment")
def test_a_copied_bucket_is_proven_and_its_history_is_made_anew(
    s3_settings: S3Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    names = [f"task-{number}" for number in range(3)]
    for number, name in enumerate(names):
        stored_run(
            tmp_path / "written",
            name=name,
            uid=f"u{number}",
            recording=CAST,
            completed=BEGAN + timedelta(hours=number),
        )
    keyring = tmp_path / "keyring"
    keyring.mkdir()
    if encrypted:
        (keyring / "ns.1").write_text(secrets.token_hex(32))
        monkeypatch.setenv("AXIOM_S3_KEYRING", str(keyring))

    first, second = s3_settings.bucket, f"{s3_settings.bucket}-copy"
    asyncio.run(carry(tmp_path / "written", s3_settings, keyring))
    asyncio.run(copy(s3_settings, replace(s3_settings, bucket=second)))

    told = {}
    for bucket in (first, second):
        proved = CliRunner().invoke(app, ["ledger", "verify", f"s3://{bucket}/", "--json"])
        assert proved.exit_code == 0, proved.output
        ledgers = json.loads(proved.stdout)["ledgers"]
        assert len(ledgers) == 2 * len(names)
        assert all(ledger["whole"] and ledger["witnessed"] for ledger in ledgers)
        listed = CliRunner().invoke(app, ["history", "--from", f"s3://{bucket}/", "--json"])
        assert listed.exit_code == 0, listed.output
        told[bucket] = listed.stdout
        shown = CliRunner().invoke(app, ["replay", f"s3://{bucket}/tasks/ns/u1/", "--print"])
        assert shown.stdout == "seen\n", shown.output
    assert told[first] == told[second]
    assert all(name in told[first] for name in names)


async def carry(written: Path, settings: S3Settings, keyring: Path) -> None:
    """Objects of a folder, as a gateway stores them."""
    source, bucket = FolderStore(written), await S3Store.connect(settings)
    store = EncryptedStore(bucket, Keyring(keyring)).of("ns")
    async for key in source.list(""):
        await store.put(key, await source.get(key))
    bucket.close()


async def copy(source: S3Settings, target: S3Settings) -> None:
    """Object by object, as any tool would."""
    one, other = await S3Store.connect(source), await S3Store.connect(target)
    async for key in one.list(""):
        if not key.startswith("axiom-probe/"):
            await other.put(key, await one.get(key))
    one.close()
    other.close()
