"""Evidence encrypted with keys of its namespace: who can read it, what a change of keys does, and what is noticed."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from axiom.retaining.collecting import SAFE_AGE, Collector
from axiom.storage.blobs import keep_blob, reference_key
from axiom.storage.ciphers import KeyMissingError, Keyring, KeyringError, SealBrokenError
from axiom.storage.encrypted import EncryptedBucket, EncryptedStore
from axiom.storage.folder import FolderStore
from axiom.storage.keys import blob_key, segment_key
from axiom.storage.store import ConflictError, MissingError, PutResult
from axiom_sandbox.protocol.identity import Identity, Role

MIB = 2**20
DAY = timedelta(days=1)
CONTENT = b"what nobody else may read " * 1000


def identity(namespace: str = "red", uid: str = "u") -> Identity:
    return Identity(namespace=namespace, task="t", task_id=uid, attempt=1, role=Role.AGENT)


SEGMENT = segment_key(identity(), 1)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keyring"
    folder.mkdir()
    add_key(folder, "red.2026-01")
    return folder


def add_key(folder: Path, name: str) -> None:
    (folder / name).write_text(secrets.token_hex(32) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def store(folder: FolderStore, keys: Path) -> EncryptedBucket:
    return EncryptedBucket(folder, Keyring(keys))


def stored_bytes(tmp_path: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
async def test_what_was_put_is_got_and_is_not_to_be_seen(
    store: EncryptedBucket, tmp_path: Path, size: int
) -> None:
    content = secrets.token_bytes(size)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    assert await store.put(SEGMENT, source) is PutResult.CREATED
    assert await store.put(SEGMENT, content) is PutResult.ALREADY_THERE
    assert await store.get(SEGMENT) == content
    found = await store.fetch(SEGMENT, target)
    assert (target.read_bytes(), found.sha256) == (content, hashlib.sha256(content).hexdigest())
    assert (found.key, found.size) == (SEGMENT, size)
    assert size < 100 or content[:100] not in stored_bytes(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"keyring", "store", "source", "target"}


async def test_other_content_is_a_conflict(store: EncryptedBucket) -> None:
    await store.put(SEGMENT, CONTENT)
    with pytest.raises(ConflictError) as caught:
        await store.put(SEGMENT, b"other")
    assert caught.value.stored == hashlib.sha256(CONTENT).hexdigest()


async def test_keys_are_changed_by_adding_one(
    store: EncryptedBucket, keys: Path, folder: FolderStore
) -> None:
    await store.put(SEGMENT, CONTENT)
    add_key(keys, "red.2026-02")
    assert await store.put(SEGMENT, CONTENT) is PutResult.ALREADY_THERE
    following = segment_key(identity(), 2)
    await store.put(following, CONTENT)
    assert b'"red.2026-01"' in (await folder.get(SEGMENT))[:256]
    assert b'"red.2026-02"' in (await folder.get(following))[:256]
    assert await store.get(SEGMENT) == await store.get(following) == CONTENT

    (keys / "red.2026-01").unlink()
    assert await store.get(following) == CONTENT
    with pytest.raises(
        KeyMissingError, match=r"encrypted with the key 'red\.2026-01', which is not among .* put it back"
    ):
        await store.get(SEGMENT)


async def test_a_change_of_what_is_stored_is_noticed(
    store: EncryptedBucket, tmp_path: Path, folder: FolderStore
) -> None:
    await store.put(SEGMENT, secrets.token_bytes(2 * MIB + 5))
    path = tmp_path / "store" / SEGMENT
    whole = path.read_bytes()
    path.chmod(0o600)
    piece = MIB + 16
    swapped = (
        whole[:256]
        + whole[256 + piece : 256 + 2 * piece]
        + whole[256 : 256 + piece]
        + whole[256 + 2 * piece :]
    )
    flipped = [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (256, len(whole) // 2, len(whole) - 1)
    ]
    cut = [whole[:size] for size in (100, 256, 256 + piece, len(whole) - 1)]
    for changed in (swapped, *flipped, *cut, whole + b"x"):
        path.write_bytes(changed)
        with pytest.raises(SealBrokenError):
            await store.fetch(SEGMENT, tmp_path / "target")
        assert not (tmp_path / "target").exists()
    moved = segment_key(identity(), 2)
    await folder.put(moved, whole)
    with pytest.raises(SealBrokenError, match="moved"):
        await store.get(moved)


async def test_a_namespace_reads_its_own_blobs_alone(store: EncryptedBucket, keys: Path) -> None:
    add_key(keys, "blue.1")
    digest = hashlib.sha256(CONTENT).hexdigest()
    await keep_blob(store, identity("red"), "diff-1", digest, CONTENT)
    assert await store.of("red").get(blob_key(digest)) == CONTENT
    prefix = f"{identity('red').prefix}/blobs/{digest}."
    assert len([key async for key in store.of("red").list(prefix)]) == 1
    for other in ("blue", "plain"):
        with pytest.raises(MissingError):
            await store.of(other).get(blob_key(digest))
    await keep_blob(store, identity("blue"), "diff-1", digest, CONTENT)
    (keys / "red.2026-01").unlink()
    assert await store.of("blue").get(blob_key(digest)) == CONTENT
    with pytest.raises(KeyMissingError):
        await store.of("red").get(blob_key(digest))


async def test_what_was_stored_before_there_were_keys_stays_readable(
    store: EncryptedBucket, folder: FolderStore
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    await folder.put(SEGMENT, CONTENT)
    await keep_blob(folder, identity(), "recording", digest, CONTENT)
    assert await store.get(SEGMENT) == CONTENT
    assert await store.of("red").get(blob_key(digest)) == CONTENT
    assert await store.put(SEGMENT, CONTENT) is PutResult.ALREADY_THERE
    with pytest.raises(ConflictError):
        await store.put(SEGMENT, b"other")


async def test_a_namespace_without_a_key_has_that_of_all_or_none(
    store: EncryptedBucket, keys: Path, folder: FolderStore
) -> None:
    before, after = (segment_key(identity("green"), number) for number in (1, 2))
    await store.put(before, CONTENT)
    add_key(keys, "_.all")
    await store.put(after, CONTENT)
    assert await folder.get(before) == CONTENT
    assert b'"_.all"' in (await folder.get(after))[:256]


async def test_an_input_that_is_put_is_encrypted_and_one_that_lies_there_plain_is_read(
    store: EncryptedBucket, folder: FolderStore, tmp_path: Path
) -> None:
    await store.put("inputs/red/base.tar", CONTENT)
    assert store.key_of("inputs/red/base.tar") == "red.2026-01"
    assert CONTENT[:100] not in stored_bytes(tmp_path)
    await folder.put("inputs/red/plain.tar", CONTENT)
    for reader in (store, store.of("red")):
        assert await reader.get("inputs/red/base.tar") == await reader.get("inputs/red/plain.tar") == CONTENT
    await folder.put("inputs/blue/base.tar", await folder.get("inputs/red/base.tar"))
    with pytest.raises(SealBrokenError):
        await store.get("inputs/blue/base.tar")


async def test_the_collector_needs_no_key_to_keep_what_is_referred_to(
    store: EncryptedBucket, keys: Path, folder: FolderStore
) -> None:
    digest, now = hashlib.sha256(CONTENT).hexdigest(), datetime(2026, 12, 1, tzinfo=UTC)
    await keep_blob(store, identity(), "diff-1", digest, CONTENT)
    await store.put(SEGMENT, CONTENT)
    await store.put("tasks/red/u/outcome.json", CONTENT)
    key = (keys / "red.2026-01").read_text()
    (keys / "red.2026-01").unlink()
    for days in (0, 2, 4):
        done = await Collector(store, {}, lambda days=days: now + days * DAY).run()  # type: ignore[misc]
        assert "encrypted with the key" in done.unreadable[0]
    (keys / "red.2026-01").write_text(key)
    assert await store.of("red").get(blob_key(digest)) == CONTENT
    [reference] = [name async for name in folder.list("tasks/red/u/attempts/1/agent/blobs/")]
    assert reference != reference_key(identity(), digest, "diff-1")
    await folder.delete(reference)
    for days in (6, 6 + SAFE_AGE / DAY):
        await Collector(store, {}, lambda days=days: now + days * DAY).run()  # type: ignore[misc]
    with pytest.raises(MissingError):
        await store.of("red").get(blob_key(digest))


@pytest.mark.parametrize(
    ("name", "content"),
    [("red", "0" * 64), ("Red.1", "0" * 64), ("red.1", "short"), ("red.1", "0" * 63 + "g")],
)
async def test_a_key_that_is_none_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(KeyringError, match=f"{name} is no key of object storage.*openssl rand"):
        Keyring(tmp_path).check()
    with pytest.raises(KeyringError, match="cannot be read"):
        Keyring(tmp_path / "nowhere").check()


async def test_one_content_is_the_same_bytes_whoever_encrypts_it(keys: Path, tmp_path: Path) -> None:
    """So several gateways can copy a segment, as they can without keys."""
    written = []
    for name in ("one", "two"):
        await EncryptedStore(FolderStore(tmp_path / name), Keyring(keys)).put(SEGMENT, CONTENT)
        written.append((tmp_path / name / SEGMENT).read_bytes())
    assert written[0] == written[1]
