"""The contract of object storage: a key is written once and never changes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

CHUNK_BYTES = 2**20


class PutResult(StrEnum):
    """What became of a put."""

    CREATED = "Created"
    ALREADY_THERE = "AlreadyThere"
    """The same bytes lay there already: a success, too."""


class ObjectStat(NamedTuple):
    """What is known of an object."""

    key: str
    size: int
    """Bytes."""
    sha256: str
    """Digest of the content in hexadecimal digits."""


class StorageError(Exception):
    """Root of everything that object storage raises on purpose."""


class ConflictError(StorageError):
    """The key holds other bytes than those offered. Nothing was written, and a retry will not help."""

    def __init__(self, key: str, stored: str, offered: str) -> None:
        self.key = key
        self.stored = stored
        self.offered = offered
        super().__init__(
            f"{key} holds other content (sha256 {stored}) than what was to be written ({offered});"
            " what is stored was kept, so two writers disagree about this object"
        )


class MissingError(StorageError):
    """There is no object with this key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key} is not in object storage")


class CorruptError(StorageError):
    """What was read is not what was written."""

    def __init__(self, key: str, wanted: str, got: str) -> None:
        self.key = key
        super().__init__(f"{key} was stored with sha256 {wanted}, and now reads as {got}; do not trust it")


class UnavailableError(StorageError):
    """The store did not answer as it should, also after retries. What was asked may or may not have been done."""


class UnsuitableError(StorageError):
    """The store cannot keep the contract. The message says what is missing and what to do."""


class ObjectStore(Protocol):
    """Objects by key. Keys are checked by `keys.check_key`: ValueError for a bad one."""

    async def put(
        self, key: str, source: Path | bytes, *, content_type: str = "application/octet-stream"
    ) -> PutResult:
        """Writes an object unless the key is taken. Of several writers at once, exactly one gets CREATED.

        Raises:
            ConflictError: the key is taken by other bytes.
            FileNotFoundError: the source is no file.
            UnavailableError: the store does not answer; putting again is safe.
        """
        ...

    async def get(self, key: str) -> bytes:
        """All bytes of an object, for small ones. Raises MissingError, CorruptError, UnavailableError."""
        ...

    async def fetch(self, key: str, target: Path) -> ObjectStat:
        """Copies an object to a file, which appears whole or not at all.

        Raises:
            MissingError: there is no such object.
            CorruptError: its bytes are not those that were written.
            UnavailableError: the store does not answer.
        """
        ...

    async def stat(self, key: str) -> ObjectStat | None:
        """Size and digest, or None when there is no such object. Raises UnavailableError."""
        ...

    async def size(self, key: str) -> int | None:
        """Bytes, or None when there is no such object. Reads nothing of it. Raises UnavailableError."""
        ...

    async def exists(self, key: str) -> bool:
        """Whether the key is taken. Raises UnavailableError."""
        ...

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Keys that begin with the prefix (any text, also part of a name), in order. Raises UnavailableError."""
        ...


class PrunableStore(ObjectStore, Protocol):
    """A store from which the collector may delete. Nobody else deletes."""

    async def delete(self, key: str) -> None:
        """Deletes an object; there need not be one. Raises UnavailableError."""
        ...


def digest_of(source: Path | bytes) -> str:
    """SHA-256 of a file's content or of bytes, in hexadecimal digits."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
