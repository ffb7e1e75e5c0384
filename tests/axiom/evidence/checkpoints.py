"""Two checkpoints of a task, in a store."""

from __future__ import annotations

from pathlib import Path

from tests.axiom_sandbox.supervising.keeper import MOMENT, checkpointer

from axiom.storage.blobs import keep_blob
from axiom.storage.store import ObjectStore
from axiom_sandbox.protocol.checkpoints import Why
from axiom_sandbox.protocol.identity import Identity

SECRET = "ghp_" + "aZ3bY4cX5dW6eV7fU8gT9hS0iR1jQ2kP3lO4"


async def keep_two(folder: Path, store: ObjectStore, identity: Identity) -> None:
    """`changed` gets a line with a secret, `gone` goes, `new` comes with bytes that are no text and a secret among them."""
    keeper, board = checkpointer(folder)
    root = folder / "workspace"
    (root / "changed").write_bytes(b"one\ntwo\n")
    (root / "gone").write_bytes(b"gone\n")
    await keeper.prepare()
    for why in (Why.TURN, Why.DEMAND):
        keeper.announce(await keeper.keep(await keeper.read_files(), MOMENT, why))
        (root / "changed").write_bytes(f"one\ntoken = {SECRET}\ntwo\n".encode())
        (root / "gone").unlink(missing_ok=True)
        (root / "new").write_bytes(b"\0" + SECRET.encode() + b"\0")
    for blob in board.state.blobs:
        file = folder / "state" / "blobs" / blob.digest
        await keep_blob(store, identity, blob.name, blob.digest, file)
