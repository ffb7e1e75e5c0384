"""What is special about a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from axiom.storage.folder import FolderStore
from axiom.storage.store import ConflictError, UnavailableError


async def test_objects_are_files_that_a_person_can_read(tmp_path: Path) -> None:
    await FolderStore(tmp_path).put("tasks/a/recording.cast", b"x")
    path = tmp_path / "tasks/a/recording.cast"
    assert path.read_bytes() == b"x"
    assert path.stat().st_mode & 0o777 == 0o444


async def test_nothing_unfinished_stays_behind(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await store.put("a", b"x")
    await store.put("a", b"x")
    with pytest.raises(ConflictError):
        await store.put("a", b"y")
    assert list((tmp_path / ".unfinished").iterdir()) == []
    assert [key async for key in store.list("")] == ["a"]


async def test_a_store_that_is_opened_again_holds_what_it_held(tmp_path: Path) -> None:
    await FolderStore(tmp_path).put("a", b"x")
    found = await FolderStore(tmp_path).stat("a")
    assert found is not None
    assert found.sha256 == hashlib.sha256(b"x").hexdigest()


async def test_a_key_below_an_object_is_unavailable(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await store.put("a", b"x")
    with pytest.raises(UnavailableError, match="a/b"):
        await store.put("a/b", b"y")
