"""Begins a sandbox from a checkpoint: what came is checked against its digests, and put in place.

Whatever does not fit is said, and then nothing of the checkpoint counts: which one is tried next is the planner's to decide.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from axiom_sandbox.protocol.checkpoints import VERSION, Manifest, PartName
from axiom_sandbox.protocol.events import Intervention
from axiom_sandbox.snapshots.archives import digest_of
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.packs import THREADS
from axiom_sandbox.snapshots.states import State, put_in_place, read_state
from axiom_sandbox.snapshots.writing import clear


class RestoreError(Exception):
    """The checkpoint does not hold. The message says why."""


def read_manifest(data: bytes) -> Manifest:
    """Raises RestoreError: damaged, or of a version that is not known here."""
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("version",):
            raise RestoreError(
                f"its manifest is of another version than {VERSION}; upgrade Axiom to one that reads it"
            ) from error
        where = ".".join(map(str, first["loc"]))
        raise RestoreError(f"its manifest cannot be read: {where}: {first['msg']}") from error


def parts_missing(folder: Path, digest: str) -> tuple[str, ...]:
    """Digests that have not arrived yet; the manifest's own while that has not. Raises RestoreError."""
    file = folder / digest
    if not file.exists():
        return (digest,)
    manifest = read_manifest(file.read_bytes())
    return tuple(part.digest for part in manifest.parts if not (folder / part.digest).exists())


def restore(folder: Path, digest: str, base: Path, workspace: Path, home: Path) -> Manifest:
    """Puts workspace and home in place of what lies there. Raises RestoreError. Blocks.

    Args:
        folder: holds the manifest and each part, by their digests.
        digest: of the manifest.
        base: the base archive.
    """
    try:
        manifest = read_manifest(_checked(folder, digest).read_bytes())
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(lambda part: _checked(folder, part.digest), manifest.parts):
                pass
        found = digest_of(base)
        if manifest.workspace.base != found:
            raise RestoreError(f"it is one of another base ({manifest.workspace.base}), not of {found}")
        tree, own = states_of(folder, manifest)
        if tree.digest != manifest.workspace.fingerprint:
            raise RestoreError("the workspace that it gives is another one than it was taken of")
        for state, root in ((tree, workspace), (own, home)):
            clear(root)
            put_in_place(state, folder, root)
    except (SnapshotError, OSError) as error:
        raise RestoreError(f"it cannot be put in place: {error}") from error
    return manifest


def states_of(folder: Path, manifest: Manifest) -> tuple[State, State]:
    """The trees of workspace and home. Raises RestoreError, SnapshotError."""
    workspace, home = manifest.part(PartName.WORKSPACE), manifest.part(PartName.HOME)
    if workspace is None or home is None:
        raise RestoreError(f"it has no part {(PartName.HOME if workspace else PartName.WORKSPACE).value!r}")
    return read_state(folder / workspace.digest), read_state(folder / home.digest)


def interventions_of(folder: Path, manifest: Manifest) -> list[Intervention]:
    """What had been done to the agent before. Raises RestoreError."""
    part = manifest.part(PartName.INTERVENTIONS)
    lines = (folder / part.digest).read_bytes().splitlines() if part else []
    try:
        return [Intervention.model_validate_json(line) for line in lines]
    except ValidationError as error:
        raise RestoreError("its list of interventions cannot be read") from error


def _checked(folder: Path, digest: str) -> Path:
    path = folder / digest
    if not path.exists():
        raise RestoreError(f"a part of it ({digest}) is missing")
    if digest_of(path) != digest:
        raise RestoreError(f"a part of it ({digest}) is damaged")
    return path
