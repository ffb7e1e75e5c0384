"""How evidence is encrypted by keys of its namespace before it reaches object storage, and the keys themselves. No network.

An encrypted object begins with a head of 256 bytes: a magic word, and in JSON the id of the key and a salt. Its content follows in
pieces of 1 MiB, each sealed with AES-256-GCM; a piece's place, and whether it is the last, are part of its nonce, so pieces
cannot be moved, left out or cut off. The key of an object is derived of its namespace's key, the object's name and its content.
So the same content under the same name is the same bytes again, whoever writes it, and no two objects share a key; an object that
is moved to another name cannot be read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from axiom.storage.store import StorageError

MAGIC = b"axiom-encrypted-1\n"
HEAD_BYTES = 256
ANY_NAMESPACE = "_"
"""Of keys for namespaces that have none of their own."""
_PIECE_BYTES = 2**20
_TAG_BYTES = 16
_FILE = re.compile(r"(?P<namespace>[a-z0-9]([a-z0-9-]*[a-z0-9])?|_)\.(?P<id>[A-Za-z0-9_-]{1,64})")
_HEX_KEY = re.compile(r"[0-9a-f]{64}")


class KeyringError(StorageError):
    """The keys cannot be used as they lie there; the message names the file and the cure."""


class UnreadableError(StorageError):
    """An encrypted object is there, and cannot be read."""


class KeyMissingError(UnreadableError):
    """An object was encrypted with a key that is not here."""

    def __init__(self, key: str, wanted: str) -> None:
        super().__init__(
            f"{key} is encrypted with the key {wanted!r}, which is not among the keys of object storage here; put it back"
            " into the Secret objectStorage.encryption.keysSecretName (or the folder AXIOM_S3_KEYRING): without it the"
            " object cannot be read"
        )


class SealBrokenError(UnreadableError):
    """An encrypted object is not what was written under this name."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key} cannot be decrypted: it was changed, cut off or moved; do not trust what is left"
        )


@dataclass(frozen=True)
class Key:
    """One key of a namespace."""

    name: str
    """`<namespace>.<id>`, as its file is called."""
    secret: bytes


class Keyring:
    """The keys in a folder: files `<namespace>.<id>` of 64 hexadecimal digits each; of a namespace's keys, that whose id sorts last
    encrypts, and all of them decrypt. Read anew whenever it is asked for, as a mounted Secret changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def current(self, namespace: str) -> Key | None:
        """What encrypts for a namespace: its own key, else that of all; None: nothing does. Raises KeyringError."""
        keys = self._keys()
        for owner in (namespace, ANY_NAMESPACE):
            if own := sorted(name for name in keys if name.partition(".")[0] == owner):
                return Key(own[-1], keys[own[-1]])
        return None

    def find(self, name: str) -> Key | None:
        """A key by its name. Raises KeyringError."""
        secret = self._keys().get(name)
        return Key(name, secret) if secret else None

    def check(self) -> None:
        """Reads all of them. Raises KeyringError."""
        self._keys()

    def _keys(self) -> Mapping[str, bytes]:
        # of a mounted Secret all files come from one folder, behind a link that is replaced as a whole
        folder = self._folder / "..data"
        folder = folder.resolve() if folder.exists() else self._folder
        keys = {}
        try:
            for file in folder.iterdir():
                if file.name.startswith("."):
                    continue
                text = file.read_text().strip()
                if not _FILE.fullmatch(file.name) or not _HEX_KEY.fullmatch(text):
                    raise KeyringError(
                        f"{self._folder / file.name} is no key of object storage: its name must be NAMESPACE.ID (_.ID for"
                        " namespaces without a key of their own), and it must hold 64 hexadecimal digits, as `openssl rand"
                        " -hex 32` prints them"
                    )
                keys[file.name] = bytes.fromhex(text)
        except (OSError, UnicodeDecodeError) as error:
            raise KeyringError(
                f"the keys of object storage cannot be read from {self._folder}: {error}"
            ) from error
        return keys


def encrypt(key: Key, name: str, digest: str, source: BinaryIO, target: BinaryIO) -> None:
    """Writes what `source` holds, of this SHA-256, so that it can be stored under a name."""
    salt = hmac.digest(key.secret, f"{name}\0{digest}".encode(), "sha256")
    head = _head(key.name, salt)
    cipher = _cipher(key, salt, name)
    target.write(head)
    piece, number = source.read(_PIECE_BYTES), 0
    while True:
        following = source.read(_PIECE_BYTES)
        target.write(cipher.encrypt(_nonce(number, is_last=not following), piece, head))
        if not following:
            return
        piece, number = following, number + 1


def is_encrypted(beginning: bytes) -> bool:
    """Whether an object that begins like this is encrypted."""
    return beginning.startswith(MAGIC)


def decrypt(keyring: Keyring, name: str, source: BinaryIO, target: BinaryIO) -> str:
    """The other way round → SHA-256 of the content. Raises KeyMissingError, SealBrokenError, KeyringError."""
    head = source.read(HEAD_BYTES)
    wanted, salt = _parse_head(name, head)
    key = keyring.find(wanted)
    if key is None:
        raise KeyMissingError(name, wanted)
    cipher, digest = _cipher(key, salt, name), hashlib.sha256()
    for number, (sealed, is_last) in enumerate(_pieces(source)):
        try:
            piece = cipher.decrypt(_nonce(number, is_last=is_last), sealed, head)
        except InvalidTag as error:
            raise SealBrokenError(name) from error
        digest.update(piece)
        target.write(piece)
    return digest.hexdigest()


def _pieces(source: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    piece = source.read(_PIECE_BYTES + _TAG_BYTES)
    while True:
        following = source.read(_PIECE_BYTES + _TAG_BYTES)
        yield piece, not following
        if not following:
            return
        piece = following


def _head(key_name: str, salt: bytes) -> bytes:
    text = json.dumps({"key": key_name, "salt": salt.hex()}, separators=(",", ":")).encode()
    return (MAGIC + text).ljust(HEAD_BYTES - 1) + b"\n"


def _parse_head(name: str, head: bytes) -> tuple[str, bytes]:
    try:
        fields = json.loads(head.removeprefix(MAGIC))
        return str(fields["key"]), bytes.fromhex(fields["salt"])
    except (ValueError, KeyError, TypeError) as error:
        raise SealBrokenError(name) from error


def _cipher(key: Key, salt: bytes, name: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, f"axiom evidence\0{name}".encode()).derive(key.secret))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
