"""Object storage in a folder: for `axiom run`, and for tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from axiom.storage.keys import check_key
from axiom.storage.store import (
    CHUNK_BYTES,
    ConflictError,
    MissingError,
    ObjectStat,
    PutResult,
    UnavailableError,
    digest_of,
)
from axiom_sandbox.durable import sync_folder

_UNFINISHED = ".unfinished"
"""Folder of what is being written; hidden from keys, which never begin with a dot."""

Keys = list[str]


class FolderStore:
    """An ObjectStore whose keys are paths inside a folder.

    An object is written beside, made durable, and then linked to its name, which fails when the name is taken: so
    also several processes can share a folder.
    """

    def __init__(self, root: Path) -> None:
        """`root` is created when it is missing."""
        self._root = root
        (root / _UNFINISHED).mkdir(parents=True, exist_ok=True)

    async def put(
        self, key: str, source: Path | bytes, *, content_type: str = "application/octet-stream"
    ) -> PutResult:
        """As ObjectStore.put; the content type is not kept."""
        return await asyncio.to_thread(self._put, check_key(key), source)

    async def get(self, key: str) -> bytes:
        """As ObjectStore.get."""
        return await asyncio.to_thread(self._get, check_key(key))

    async def fetch(self, key: str, target: Path) -> ObjectStat:
        """As ObjectStore.fetch."""
        return await asyncio.to_thread(self._fetch, check_key(key), target)

    async def stat(self, key: str) -> ObjectStat | None:
        """As ObjectStore.stat; reads the whole object to learn its digest."""
        return await asyncio.to_thread(self._stat, check_key(key))

    async def size(self, key: str) -> int | None:
        """As ObjectStore.size."""
        path = self._root / check_key(key)
        return path.stat().st_size if path.is_file() else None

    async def exists(self, key: str) -> bool:
        """As ObjectStore.exists."""
        return await asyncio.to_thread((self._root / check_key(key)).is_file)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """As ObjectStore.list."""
        for key in await asyncio.to_thread(self._list, prefix):
            yield key

    async def delete(self, key: str) -> None:
        """As PrunableStore.delete."""
        await asyncio.to_thread(self._delete, check_key(key))

    def _delete(self, key: str) -> None:
        path = self._root / key
        with suppress(MissingError), _explained(key):
            path.unlink()
            sync_folder(path.parent)

    def _put(self, key: str, source: Path | bytes) -> PutResult:
        path = self._root / key
        if isinstance(source, Path) and not source.is_file():
            raise FileNotFoundError(f"{source} is no file, so it cannot be stored as {key}")
        with _explained(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._unfinished(source) as unfinished:
                try:
                    path.hardlink_to(unfinished)
                except FileExistsError:
                    return self._compare(key, unfinished)
            self._make_name_durable(path)
        return PutResult.CREATED

    def _compare(self, key: str, offered: Path) -> PutResult:
        stored, wanted = digest_of(self._root / key), digest_of(offered)
        if stored != wanted:
            raise ConflictError(key, stored, wanted)
        return PutResult.ALREADY_THERE

    @contextmanager
    def _unfinished(self, source: Path | bytes) -> Iterator[Path]:
        path = self._root / _UNFINISHED / uuid.uuid4().hex
        try:
            with path.open("xb") as stream:
                if isinstance(source, bytes):
                    stream.write(source)
                else:
                    with source.open("rb") as original:
                        shutil.copyfileobj(original, stream, CHUNK_BYTES)
                stream.flush()
                os.fchmod(stream.fileno(), 0o444)
                os.fsync(stream.fileno())
            yield path
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    def _make_name_durable(self, path: Path) -> None:
        for folder in path.parents:
            sync_folder(folder)
            if folder == self._root:
                return

    def _get(self, key: str) -> bytes:
        with _explained(key):
            return (self._root / key).read_bytes()

    def _fetch(self, key: str, target: Path) -> ObjectStat:
        with _explained(key):
            unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                shutil.copyfile(self._root / key, unfinished)
                found = ObjectStat(key, unfinished.stat().st_size, digest_of(unfinished))
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
            return found

    def _stat(self, key: str) -> ObjectStat | None:
        path = self._root / key
        if not path.is_file():
            return None
        with _explained(key):
            return ObjectStat(key, path.stat().st_size, digest_of(path))

    def _list(self, prefix: str) -> Keys:
        files = (Path(folder) / name for folder, _, names in os.walk(self._root) for name in names)
        keys = (path.relative_to(self._root).as_posix() for path in files)
        return sorted(key for key in keys if key.startswith(prefix) and not key.startswith(_UNFINISHED))


@contextmanager
def _explained(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingError(key) from error
    except OSError as error:
        raise UnavailableError(f"{key}: the folder cannot be used: {error.strerror}") from error
