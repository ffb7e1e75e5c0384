"""What every object store promises."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from axiom.storage.store import ConflictError, MissingError, ObjectStore, PrunableStore, PutResult

LARGE = bytes(range(256)) * (6 * 2**12)
"""6 MiB: more than one part."""


async def keys(store: ObjectStore, prefix: str) -> list[str]:
    return [key async for key in store.list(prefix)]


async def test_what_was_put_is_got(store: ObjectStore) -> None:
    assert await store.put("tasks/a/1.zst", b"evidence", content_type="application/zstd") is PutResult.CREATED
    assert await store.get("tasks/a/1.zst") == b"evidence"


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    assert await store.put("empty", b"") is PutResult.CREATED
    assert await store.get("empty") == b""
    assert await store.exists("empty")


async def test_the_same_bytes_again_are_already_there(store: ObjectStore) -> None:
    await store.put("a/b", b"same")
    assert await store.put("a/b", b"same") is PutResult.ALREADY_THERE


async def test_other_bytes_under_a_taken_key_are_a_conflict_and_change_nothing(store: ObjectStore) -> None:
    await store.put("a/b", b"first")
    with pytest.raises(ConflictError) as caught:
        await store.put("a/b", b"second")
    assert caught.value.stored == hashlib.sha256(b"first").hexdigest()
    assert caught.value.offered == hashlib.sha256(b"second").hexdigest()
    assert await store.get("a/b") == b"first"


async def test_of_many_writers_at_once_one_creates(store: ObjectStore) -> None:
    results = await asyncio.gather(*(store.put("race/same", b"same") for _ in range(16)))
    assert sorted(results) == [PutResult.ALREADY_THERE] * 15 + [PutResult.CREATED]


async def test_of_many_writers_who_disagree_one_wins(store: ObjectStore) -> None:
    offers = [b"offer %d" % number for number in range(16)]
    results = await asyncio.gather(
        *(store.put("race/other", offer) for offer in offers), return_exceptions=True
    )
    assert results.count(PutResult.CREATED) == 1
    assert sum(isinstance(result, ConflictError) for result in results) == 15
    assert await store.get("race/other") == offers[results.index(PutResult.CREATED)]


async def test_a_file_goes_in_and_out(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file")
    assert await store.put("file", tmp_path / "in") is PutResult.CREATED
    stat = await store.fetch("file", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"from a file"
    assert stat == await store.stat("file")
    assert stat.sha256 == hashlib.sha256(b"from a file").hexdigest()
    assert stat.size == 11


async def test_a_large_file_is_written_once_too(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(LARGE)
    assert await store.put("large", tmp_path / "in") is PutResult.CREATED
    assert await store.put("large", tmp_path / "in") is PutResult.ALREADY_THERE
    with pytest.raises(ConflictError):
        await store.put("large", LARGE[1:])
    await store.fetch("large", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == LARGE


async def test_a_source_that_is_no_file_is_named(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await store.put("a/b", tmp_path / "nowhere")
    assert not await store.exists("a/b")


async def test_what_is_missing_is_missing(store: ObjectStore, tmp_path: Path) -> None:
    assert await store.stat("no/such") is None
    assert not await store.exists("no/such")
    with pytest.raises(MissingError):
        await store.get("no/such")
    with pytest.raises(MissingError):
        await store.fetch("no/such", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


async def test_a_folder_of_objects_is_no_object(store: ObjectStore) -> None:
    await store.put("a/b/c", b"x")
    assert not await store.exists("a/b")
    assert await store.stat("a/b") is None
    with pytest.raises(MissingError):
        await store.get("a/b")


async def test_keys_are_listed_by_prefix_and_in_order(store: ObjectStore) -> None:
    for key in ("t/1/ledger/000002.zst", "t/1/ledger/000001.zst", "t/1/recording.cast", "t/10/x", "u/1"):
        await store.put(key, key.encode())
    assert await keys(store, "t/1/ledger/") == ["t/1/ledger/000001.zst", "t/1/ledger/000002.zst"]
    assert await keys(store, "t/1") == [
        "t/1/ledger/000001.zst", "t/1/ledger/000002.zst", "t/1/recording.cast", "t/10/x",
    ]  # fmt: skip
    assert await keys(store, "nothing") == []


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".hidden", "a/.b", "a b", "a\0b"]
)
async def test_a_key_that_is_no_plain_path_is_refused(store: ObjectStore, key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no key"):
        await store.put(key, b"x")
    with pytest.raises(ValueError, match="is no key"):
        await store.get(key)
    with pytest.raises(ValueError, match="is no key"):
        await store.fetch(key, tmp_path / "out")


async def test_what_was_deleted_is_gone_and_may_be_put_again(store: PrunableStore) -> None:
    await store.put("a/b", b"first")
    await store.put("a/c", b"stays")
    await store.delete("a/b")
    await store.delete("a/b")
    assert await keys(store, "a/") == ["a/c"]
    assert await store.put("a/b", b"second") is PutResult.CREATED
