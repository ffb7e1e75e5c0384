"""A folder of a volume that others may be writing → a base archive; the volume is only read."""

from __future__ import annotations

import os
from pathlib import Path

from axiom_sandbox.snapshots.archives import ArchiveInfo, pack
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.snapshots.trees import Amount, Selection

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN = "lost+found"
"""What a file system keeps at a volume's root, for root alone."""


def pack_volume(volume: Path, path: str, archive: Path, amount: Amount | None = None) -> ArchiveInfo:
    """The folder at `path` inside the volume, "" for all of it, as an archive.

    Raises:
        SnapshotError: there is no such folder, or something in it cannot be read.
    """
    descriptor = _opened(volume, path)
    try:
        info = pack(descriptor, archive, amount=amount, selection=_selection(path))
    finally:
        os.close(descriptor)
    unreadable = [finding for finding in info.tree.findings if finding.reason.startswith("cannot be read")]
    if unreadable:
        first = unreadable[0]
        raise SnapshotError(
            f"{len(unreadable)} entries of the volume cannot be read by user {os.geteuid()}, such as {first.path!r}, which"
            f" {first.reason}; let everybody read them, or name a folder of the volume without them"
        )
    return info


def _opened(volume: Path, path: str) -> int:
    """The folder, opened part by part: a symlink in the volume would lead into this container."""
    descriptor = os.open(volume, _DIRECTORY)
    for part in path.split("/") if path else ():
        try:
            inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
        except OSError as error:
            raise SnapshotError(
                f"{printable(path)!r} is no folder of the volume ({error.strerror}); correct"
                " spec.workspace.persistentVolumeClaim.path; symlinks are not followed"
            ) from error
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _selection(path: str) -> Selection:
    return Selection(wants=lambda entry, is_directory: bool(path) or entry != _OWN)
