"""What `axiom upload` does once its options are read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer

from axiom.cli.pruning import open_store
from axiom.cli.reading import readable
from axiom.evidence.segments import EvidenceError
from axiom.storage.encrypted import EncryptedStore
from axiom.storage.keys import input_key
from axiom.storage.store import ConflictError, PutResult, StorageError, digest_of


def put_input(file: Path, name: str, namespace: str, where: str) -> None:
    """Puts it, and says under which digest and key."""
    with readable():
        try:
            key = input_key(namespace, name)
            store = open_store(where)
            put = asyncio.run(store.put(key, file))
            by = store.key_of(key) if isinstance(store, EncryptedStore) else ""
            digest = digest_of(file)
        except ConflictError as error:
            raise EvidenceError(
                f"{key} is there already, with other content: an input is never changed; take another key, or delete that one"
            ) from error
        except (StorageError, OSError, ValueError) as error:
            raise EvidenceError(str(error)) from error
    said = "is there already" if put is PutResult.ALREADY_THERE else "is stored"
    how = f"encrypted with {by}" if by else f"not encrypted: there is no key for namespace {namespace} here"
    typer.echo(f"{key} {said}, {how}; sha256 {digest}")
