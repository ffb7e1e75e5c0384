"""Object storage whose operations somebody counts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from axiom.storage.store import ObjectStat, ObjectStore, PutResult, StorageError


class Meter(Protocol):
    """Who counts."""

    def note_storage(self, operation: str, error: Exception | None, seconds: float) -> None:
        """An operation ended."""

    def note_bytes(self, direction: str, number: int) -> None:
        """So many bytes went `up` or came `down`."""


class MeasuredStore:
    """An ObjectStore that hands everything on to another one."""

    def __init__(self, store: ObjectStore, meter: Meter) -> None:
        self._store, self._meter = store, meter

    async def put(
        self, key: str, source: Path | bytes, *, content_type: str = "application/octet-stream"
    ) -> PutResult:
        """As ObjectStore.put."""
        with self._measured("put"):
            result = await self._store.put(key, source, content_type=content_type)
        self._meter.note_bytes("up", len(source) if isinstance(source, bytes) else source.stat().st_size)
        return result

    async def get(self, key: str) -> bytes:
        """As ObjectStore.get."""
        with self._measured("get"):
            content = await self._store.get(key)
        self._meter.note_bytes("down", len(content))
        return content

    async def fetch(self, key: str, target: Path) -> ObjectStat:
        """As ObjectStore.fetch."""
        with self._measured("fetch"):
            found = await self._store.fetch(key, target)
        self._meter.note_bytes("down", found.size)
        return found

    async def stat(self, key: str) -> ObjectStat | None:
        """As ObjectStore.stat."""
        with self._measured("stat"):
            return await self._store.stat(key)

    async def size(self, key: str) -> int | None:
        """As ObjectStore.size."""
        with self._measured("stat"):
            return await self._store.size(key)

    async def exists(self, key: str) -> bool:
        """As ObjectStore.exists."""
        with self._measured("stat"):
            return await self._store.exists(key)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """As ObjectStore.list; counted when it ends, with the time that its reader took."""
        with self._measured("list"):
            async for key in self._store.list(prefix):
                yield key

    @contextmanager
    def _measured(self, operation: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except StorageError as error:
            self._meter.note_storage(operation, error, time.perf_counter() - began)
            raise
        self._meter.note_storage(operation, None, time.perf_counter() - began)
