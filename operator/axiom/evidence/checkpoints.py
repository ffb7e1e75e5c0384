"""What became of a workspace between two checkpoints of a task, read out of object storage."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

from axiom.evidence.masking import mask_line, mask_text, scanner_of
from axiom.storage.blobs import parse_reference
from axiom.storage.keys import blob_key
from axiom.storage.store import ObjectStore
from axiom_sandbox.protocol.checkpoints import Manifest, PartName
from axiom_sandbox.snapshots.differences import Difference, compare, content_of, patch, shown
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.packs import Place, Reader
from axiom_sandbox.snapshots.states import Node, State, read_state
from axiom_sandbox.supervising.restoring import RestoreError, read_manifest


class Form(StrEnum):
    """How a difference is written."""

    TABLE = "table"
    """One JSON object for each path."""
    PATCH = "patch"
    """As `git apply` takes it."""


class NoCheckpointError(Exception):
    """There is none of this number, or it cannot be read. The message says so."""


async def manifests_of(
    store: ObjectStore, prefixes: Iterable[str], numbers: Sequence[int]
) -> tuple[Manifest, ...]:
    """A task's checkpoints by their numbers. `store` is as the task's namespace sees it. Raises NoCheckpointError, StorageError.

    Args:
        prefixes: what the keys of its agents' evidence begin with, attempt by attempt.
    """
    there: dict[str, str] = {}
    for prefix in prefixes:
        async for key in store.list(f"{prefix}/blobs/"):
            if reference := parse_reference(key):
                there[reference[2]] = reference[1]
    found = []
    for number in numbers:
        if (digest := there.get(f"checkpoint-{number}")) is None:
            raise NoCheckpointError(f"this task has no checkpoint {number}, or none any more")
        try:
            found.append(read_manifest(await store.get(blob_key(digest))))
        except RestoreError as error:
            raise NoCheckpointError(f"checkpoint {number}: {error}") from error
    return tuple(found)


async def write_difference(
    store: ObjectStore, one: Manifest, other: Manifest, form: Form, target: Path, *, masks: bool
) -> None:
    """From `one` to `other`, as a file; with `masks` without the secrets in names and content.

    Raises NoCheckpointError, StorageError, OSError.
    """
    with tempfile.TemporaryDirectory(prefix=".difference-", dir=target.parent) as name:
        folder = Path(name)
        try:
            before, after = [await _workspace(store, manifest, folder) for manifest in (one, other)]
            differences = await asyncio.to_thread(compare, before, after)
            if form is Form.TABLE:
                await asyncio.to_thread(_write_rows, differences, target, masks)
                return
            paths = await asyncio.to_thread(shown, differences)
            chosen = [difference for difference in differences if difference.path in paths]
            chunks = await _chunks(store, _needed(chosen, before, after), folder)
            await asyncio.to_thread(_write_patch, differences, paths, chunks, target, masks)
        except SnapshotError as error:
            raise NoCheckpointError(
                f"checkpoints {one.number} and {other.number} cannot be compared: {error}"
            ) from error


async def _workspace(store: ObjectStore, manifest: Manifest, folder: Path) -> State:
    part = manifest.part(PartName.WORKSPACE)
    if part is None:
        raise NoCheckpointError(f"checkpoint {manifest.number} has no workspace")
    file = folder / part.digest
    await store.fetch(blob_key(part.digest), file)
    return await asyncio.to_thread(read_state, file)


def _needed(chosen: Sequence[Difference], before: State, after: State) -> dict[str, dict[str, Place]]:
    """By pack: the chunks that are needed of it, and where they lie. Pure."""
    needed: dict[str, dict[str, Place]] = {}
    for difference in chosen:
        for side, state in ((difference.before, before), (difference.after, after)):
            for digest in side.node.chunks if side else ():
                place = state.chunks[digest]
                needed.setdefault(place.pack, {})[digest] = place
    return needed


async def _chunks(store: ObjectStore, needed: dict[str, dict[str, Place]], folder: Path) -> dict[str, bytes]:
    """One pack after the other, so that one alone takes room here."""
    found: dict[str, bytes] = {}
    for pack, places in needed.items():
        file = folder / pack
        await store.fetch(blob_key(pack), file)
        found |= await asyncio.to_thread(_unpacked, folder, places)
        file.unlink()
    return found


def _unpacked(folder: Path, places: dict[str, Place]) -> dict[str, bytes]:
    with Reader(folder, places) as reader:
        chunk = reader.unpacking()
        return {digest: chunk(digest) for digest in places}


class _Masks(NamedTuple):
    content: Callable[[bytes], bytes]
    name: Callable[[str], str]
    row: Callable[[bytes], bytes]


def _masks(wanted: bool) -> _Masks:
    if not wanted:
        return _Masks(bytes, str, bytes)
    scanner = scanner_of()

    def name(path: str) -> str:
        return mask_text(path.encode(errors="surrogateescape"), scanner).decode(errors="surrogateescape")

    return _Masks(partial(mask_text, scanner=scanner), name, lambda line: mask_line(line, scanner))


def _write_rows(differences: Sequence[Difference], target: Path, masks: bool) -> None:
    row = _masks(masks).row
    with target.open("wb") as out:
        out.writelines(row(json.dumps(one.row()).encode() + b"\n") for one in differences)


def _write_patch(
    differences: Sequence[Difference], paths: set[str], chunks: dict[str, bytes], target: Path, masks: bool
) -> None:
    mask = _masks(masks)

    def content(node: Node) -> bytes:
        return mask.content(content_of(node, chunks.__getitem__))

    with target.open("wb") as out:
        out.writelines(patch(differences, paths, content, mask.name))
