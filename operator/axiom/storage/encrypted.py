"""Object storage whose evidence is encrypted with keys of its namespaces (`ciphers`), where a namespace has any.

Segments, outcomes and blobs are encrypted, and inputs that were put by way of this; those that people put there by other means are
read as they are. Marks without content are not encrypted. Blobs of a namespace with keys lie under names of its own: nobody else's task refers to them, and whoever destroys the namespace's keys
destroys its evidence and no other. What was stored before there were keys stays readable as it is.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from axiom.storage.ciphers import Keyring, decrypt, encrypt, is_encrypted
from axiom.storage.keys import blob_key
from axiom.storage.store import (
    ConflictError,
    MissingError,
    ObjectStat,
    ObjectStore,
    PrunableStore,
    PutResult,
    UnsuitableError,
    digest_of,
)

_OWNED = re.compile(r"(?:tasks|inputs)/(?P<namespace>[^/]+)/")
_DIGEST = re.compile(
    r"(?P<before>blobs/sha256/[0-9a-f]{2}/|collecting/(?:claims|candidates)/|tasks/.*/blobs/)"
    r"(?P<digest>[0-9a-f]{64})(?P<after>(\.[^/]*)?)"
)

_Names = list[str]


def seen_by(store: ObjectStore, namespace: str) -> ObjectStore:
    """A store as the tasks of a namespace see it: whoever reads or writes a blob for one asks for it there."""
    return store.of(namespace) if isinstance(store, EncryptedStore) else store


class EncryptedStore:
    """An ObjectStore. Blobs are read and written by `of` alone."""

    def __init__(self, store: ObjectStore, keyring: Keyring, namespace: str = "") -> None:
        self._store, self._keyring, self._namespace = store, keyring, namespace

    def of(self, namespace: str) -> EncryptedStore:
        """The same store for one namespace."""
        return EncryptedStore(self._store, self._keyring, namespace)

    def key_of(self, key: str) -> str:
        """Name of the key by which an object is encrypted when it is put; empty: by none. Raises KeyringError."""
        owner = self._owner(key)
        current = self._keyring.current(owner) if owner else None
        return current.name if current else ""

    async def put(
        self, key: str, source: Path | bytes, *, content_type: str = "application/octet-stream"
    ) -> PutResult:
        """As ObjectStore.put; raises also KeyringError."""
        owner = self._owner(key)
        current = self._keyring.current(owner) if owner else None
        if current is None:
            return await self._store.put(key, source, content_type=content_type)
        stored = self._own(key)
        if _is_empty(source):
            return await self._store.put(stored, source, content_type=content_type)
        digest = digest_of(source)
        with _folder(source if isinstance(source, Path) else None) as folder:
            sealed = Path(folder) / "sealed"
            with sealed.open("wb") as target:
                if isinstance(source, bytes):
                    encrypt(current, stored, digest, io.BytesIO(source), target)
                else:
                    with source.open("rb") as plain:
                        encrypt(current, stored, digest, plain, target)
            try:
                return await self._store.put(stored, sealed, content_type=content_type)
            except ConflictError:
                # by another key, or from before there were any: what counts is what it says
                there = await self._fetch(stored, Path(folder) / "there")
                if there.sha256 != digest:
                    raise ConflictError(key, there.sha256, digest) from None
                return PutResult.ALREADY_THERE

    async def get(self, key: str) -> bytes:
        """As ObjectStore.get; raises also KeyMissingError, SealBrokenError."""
        for stored in self._places(key):
            try:
                content = await self._store.get(stored)
            except MissingError:
                continue
            if not is_encrypted(content):
                return content
            plain = io.BytesIO()
            decrypt(self._keyring, stored, io.BytesIO(content), plain)
            return plain.getvalue()
        raise MissingError(key)

    async def fetch(self, key: str, target: Path) -> ObjectStat:
        """As ObjectStore.fetch; raises also KeyMissingError, SealBrokenError."""
        for stored in self._places(key):
            try:
                return (await self._fetch(stored, target))._replace(key=key)
            except MissingError:
                continue
        raise MissingError(key)

    async def stat(self, key: str) -> ObjectStat | None:
        """As ObjectStore.stat, of the content; what is encrypted is read for that."""
        with tempfile.TemporaryDirectory(prefix="axiom-stat-") as folder:
            try:
                return await self.fetch(key, Path(folder) / "object")
            except MissingError:
                return None

    async def size(self, key: str) -> int | None:
        """As ObjectStore.size: of what is stored, which is a little more than the content where that is encrypted."""
        for stored in self._places(key):
            if (size := await self._store.size(stored)) is not None:
                return size
        return None

    async def exists(self, key: str) -> bool:
        """As ObjectStore.exists."""
        if self._encrypts:
            return await self._store.exists(self._own(key))
        return any([await self._store.exists(stored) for stored in self._places(key)])

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """As ObjectStore.list; names are as they are stored, a prefix with a digest in it is as this namespace has it."""
        for stored in self._places(prefix):
            async for key in self._store.list(stored):
                yield key

    async def _fetch(self, stored: str, target: Path) -> ObjectStat:
        found = await self._store.fetch(stored, target)
        with target.open("rb") as source:
            beginning = source.read(64)
        if not is_encrypted(beginning):
            return found
        with _folder(target) as folder:
            plain = Path(folder) / "plain"
            try:
                with target.open("rb") as source, plain.open("wb") as out:
                    digest = decrypt(self._keyring, stored, source, out)
            except BaseException:
                target.unlink()
                raise
            plain.replace(target)
        return ObjectStat(stored, target.stat().st_size, digest)

    def _owner(self, key: str) -> str:
        """The namespace by whose key an object is encrypted; empty: by none."""
        if owned := _OWNED.match(key):
            return owned["namespace"]
        if key.startswith("blobs/"):
            if not self._namespace:
                raise UnsuitableError(
                    f"{key} is written for no namespace, so it is not known whose key encrypts it"
                )
            return self._namespace
        return ""

    @property
    def _encrypts(self) -> bool:
        return bool(self._namespace) and self._keyring.current(self._namespace) is not None

    def _own(self, key: str) -> str:
        """A blob's name, and that of a reference to it, as they are in this namespace."""
        found = _DIGEST.fullmatch(key)
        if not found or not self._namespace:
            return key
        own = hashlib.sha256(f"{self._namespace}\0{found['digest']}".encode()).hexdigest()
        if key.startswith("blobs/"):
            return blob_key(own)
        return f"{found['before']}{own}{found['after']}"

    def _places(self, key: str) -> _Names:
        """Where an object may lie, the likelier first: keys may have come later, or gone."""
        own = self._own(key)
        if own == key:
            return [key]
        return [own, key] if self._encrypts else [key, own]


class EncryptedBucket(EncryptedStore):
    """A PrunableStore. The collector reads no blobs, so it needs no namespace: names are as they are stored."""

    def __init__(self, store: PrunableStore, keyring: Keyring) -> None:
        super().__init__(store, keyring)
        self._prunable = store

    async def delete(self, key: str) -> None:
        """As PrunableStore.delete."""
        await self._prunable.delete(key)


def _is_empty(source: Path | bytes) -> bool:
    return not (source if isinstance(source, bytes) else source.stat().st_size)


def _folder(beside: Path | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=".axiom-", dir=beside.parent if beside else None)
