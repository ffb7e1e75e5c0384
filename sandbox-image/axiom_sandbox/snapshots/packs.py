"""Chunks in packs: files of some 32 MiB, named by their digest, to which nothing is added once they are named.

Hashing, compressing and unpacking are done a batch at a time in threads beside the reading and writing: for small files, what is
done for each chunk in Python costs as much as what the libraries do.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import zstandard

from axiom_sandbox.snapshots.chunks import split
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.trees import MIB

PACK_BYTES = 32 * MIB
BATCH_BYTES = MIB
THREADS = max(2, min(4, len(os.sched_getaffinity(0))))
_READ_BYTES = 4 * MIB
_PENDING = 4 * THREADS
"""Batches that are read and not yet written."""
_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk lies."""

    pack: str
    """SHA-256 of the pack."""
    offset: int
    length: int
    """Bytes, compressed."""
    size: int


class Packer:
    """Appends what is new to packs in a folder, in order, and to `chunks` where it lies."""

    def __init__(self, folder: Path, chunks: dict[str, Place]) -> None:
        self._folder, self._chunks = folder, chunks
        self._pool = ThreadPoolExecutor(THREADS)
        self._batch: list[tuple[list[str], bytes]] = []
        self._batch_bytes = 0
        self._waiting: deque[tuple[list[list[str]], Future[list[_Packed]]]] = deque()
        self._open: dict[str, tuple[int, int, int]] = {}
        """Offset, length and size of each chunk in the pack that is being written."""
        self._file = self._new_file()
        self._hashed, self._size = hashlib.sha256(), 0
        self._written: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def add(self, descriptor: int, offset: int, length: int, digests: list[str]) -> None:
        """Reads one extent; `digests` will have its chunks' once this is closed. Raises SnapshotError when the file changes."""
        rest, end = b"", offset + length
        while offset < end:
            data = os.pread(descriptor, min(_READ_BYTES, end - offset), offset)
            if not data:
                raise SnapshotError("a file became shorter while it was read")
            offset += len(data)
            rest = rest + data if rest else data
            used = 0
            for chunk in split(rest, is_last=offset >= end):
                used += len(chunk)
                self._batch.append((digests, chunk))
                self._batch_bytes += len(chunk)
                if self._batch_bytes >= BATCH_BYTES:
                    self._submit()
            rest = rest[used:]

    def close(self) -> tuple[Path, ...]:
        """The packs that were written."""
        self._submit()
        while self._waiting:
            self._settle()
        self._end_pack()
        return tuple(self._written)

    def _submit(self) -> None:
        takers = [digests for digests, _ in self._batch]
        pieces = [chunk for _, chunk in self._batch]
        self._batch, self._batch_bytes = [], 0
        self._waiting.append((takers, self._pool.submit(_pack, pieces, self._knows)))
        if len(self._waiting) > _PENDING:
            self._settle()

    def _knows(self, digest: str) -> bool:
        return digest in self._open or digest in self._chunks

    def _settle(self) -> None:
        takers, future = self._waiting.popleft()
        new = []
        for digests, packed in zip(takers, future.result(), strict=True):
            digests.append(packed.digest)
            if packed.stored is None or self._knows(packed.digest):
                continue
            self._open[packed.digest] = (self._size, len(packed.stored), packed.size)
            self._size += len(packed.stored)
            new.append(packed.stored)
        if new:
            data = b"".join(new)
            self._file.write(data)
            self._hashed.update(data)
        if self._size >= PACK_BYTES:
            self._end_pack()

    def _end_pack(self) -> None:
        if not self._open:
            return
        name = self._hashed.hexdigest()
        self._file.close()
        target = self._folder / name
        self._partial.rename(target)
        self._written.append(target)
        for digest, (offset, length, size) in self._open.items():
            self._chunks[digest] = Place(name, offset, length, size)
        self._open = {}
        self._file = self._new_file()
        self._hashed, self._size = hashlib.sha256(), 0

    def _new_file(self) -> BinaryIO:
        self._partial = self._folder / ".pack"
        return self._partial.open("wb")


@dataclass(frozen=True, slots=True)
class _Packed:
    digest: str
    size: int
    stored: bytes | None
    """None: it was known already."""


def _pack(chunks: list[bytes], is_known: Callable[[str], bool]) -> list[_Packed]:
    compress = zstandard.ZstdCompressor(level=_LEVEL).compress
    found = []
    for chunk in chunks:
        digest = hashlib.sha256(chunk).hexdigest()
        found.append(_Packed(digest, len(chunk), None if is_known(digest) else compress(chunk)))
    return found


class Reader:
    """Chunks out of packs that lie in a folder under their digests."""

    def __init__(self, packs: Path, chunks: dict[str, Place]) -> None:
        self._chunks = chunks
        self._open = {
            pack: os.open(packs / pack, os.O_RDONLY | os.O_CLOEXEC)
            for pack in {one.pack for one in chunks.values()}
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def unpacking(self) -> Callable[[str], bytes]:
        """Digest → chunk, for one thread. It raises SnapshotError."""
        decompress = zstandard.ZstdDecompressor().decompress

        def chunk(digest: str) -> bytes:
            place = self._chunks[digest]
            stored = os.pread(self._open[place.pack], place.length, place.offset)
            try:
                data = decompress(stored, max_output_size=place.size)
            except zstandard.ZstdError as error:
                raise SnapshotError(f"chunk {digest} is damaged: {error}") from error
            if len(data) != place.size:
                raise SnapshotError(f"chunk {digest} has {len(data)} bytes, not {place.size}")
            return data

        return chunk
