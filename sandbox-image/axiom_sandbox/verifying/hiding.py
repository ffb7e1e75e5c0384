"""Hidden tests and baselines on their way to the verifier: what a criterion's source holds, laid over the base."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

from axiom_sandbox.protocol.changes import Entry
from axiom_sandbox.protocol.criteria import Brought
from axiom_sandbox.snapshots.archives import digest_of
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.importing import extract
from axiom_sandbox.snapshots.trees import BASE_LIMITS, Tree, scan
from axiom_sandbox.verifying.filling import DirectoryFiles

MOUNT_FOLDER = Path("/axiom/hidden")
"""Where a verifier's pod mounts ConfigMaps and Secrets, each in a folder that is named like its criterion."""


def take_hidden(wanted: Brought, source: Path | None, folder: Path) -> DirectoryFiles:
    """The files of a source, at their places in the workspace; `folder` is for them, and is not there yet.

    Args:
        source: an archive, or a folder such as the kubelet mounts.

    Raises SnapshotError, OSError.
    """
    if source is None or not source.exists():
        raise SnapshotError("was not brought into the verifier's sandbox")
    target = folder / (wanted.folder or "")
    target.mkdir(parents=True)
    if source.is_dir():
        _copy(source, target)
    else:
        _check(wanted, source)
        extract(source, target)
    tree = scan(folder, BASE_LIMITS)
    if not tree.entries:
        raise SnapshotError("holds no file, or does not exist; put the files there, each under a key")
    return DirectoryFiles(replace(tree, digest=_digest(tree)), folder)


def overlaid(base: Tree, over: Tree) -> Tree:
    """The base with these files: what stands in the way of one is gone. Pure."""
    blocked = {path[:at] for path in over.entries for at, char in enumerate(path) if char == "/"}
    kept = {path: entry for path, entry in base.entries.items() if not _gives_way(path, over, blocked)}
    return replace(base, entries={**kept, **over.entries})


def _gives_way(path: str, over: Tree, blocked: set[str]) -> bool:
    parents = (path[:at] for at, char in enumerate(path) if char == "/")
    return path in blocked or any(parent in over.entries for parent in parents)


def _copy(source: Path, target: Path) -> None:
    """A mounted volume shows each key as a link into a folder of its own, whose name begins with two dots."""
    for entry in sorted(source.iterdir()):
        if entry.name.startswith(".."):
            continue
        if entry.is_dir():
            shutil.copytree(entry, target / entry.name)
        else:
            shutil.copyfile(entry, target / entry.name)


def _check(wanted: Brought, archive: Path) -> None:
    asked = wanted.archive.digest if wanted.archive else None
    if asked and (found := digest_of(archive)) != asked:
        raise SnapshotError(f"has the SHA-256 {found}, and digest says {asked}; correct one of them")


def _digest(tree: Tree) -> str:
    hashed = hashlib.sha256()
    for path, entry in sorted(tree.entries.items()):
        hashed.update(_line(path, entry))
    return hashed.hexdigest()


def _line(path: str, entry: Entry) -> bytes:
    return f"{path}\0{entry.kind.value}\0{entry.digest or entry.target}\n".encode("utf-8", "surrogateescape")
