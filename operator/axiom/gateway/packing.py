"""Files that a task or a ConfigMap gives, as a base archive: the same files always make the same bytes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from axiom.api.agenttask import InlineFile
from axiom.cluster.resources import Object
from axiom_sandbox.snapshots.archives import ArchiveInfo, pack
from axiom_sandbox.snapshots.trees import Amount


class WorkspaceError(Exception):
    """The workspace cannot be had (yet); the message names the field and the cure."""


@dataclass(frozen=True)
class PlainFile:
    """A file to be."""

    path: str
    """Inside the workspace."""
    content: bytes
    executable: bool = False


def inline_files(files: Iterable[InlineFile]) -> list[PlainFile]:
    """spec.workspace.files."""
    return [PlainFile(file.path, file.content.encode(), file.executable) for file in files]


def config_map_files(item: Object) -> list[PlainFile]:
    """A ConfigMap's keys, text and binary. Raises WorkspaceError."""
    files = [PlainFile(key, text.encode()) for key, text in (item.get("data") or {}).items()]
    for key, encoded in (item.get("binaryData") or {}).items():
        try:
            files.append(PlainFile(key, base64.b64decode(encoded, validate=True)))
        except binascii.Error as error:
            raise WorkspaceError(f"the ConfigMap's binaryData[{key!r}] is no base64: {error}") from error
    return sorted(files, key=lambda file: file.path)


def pack_files(
    files: Iterable[PlainFile], folder: Path, archive: Path, amount: Amount | None = None
) -> ArchiveInfo:
    """Writes files into a new folder and packs it, counting in `amount`. Raises WorkspaceError."""
    folder.mkdir(parents=True)
    for file in files:
        target = folder / file.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
        except OSError as error:
            raise WorkspaceError(
                f"spec.workspace.files: {file.path!r} cannot be written: {error.strerror}"
            ) from error
        target.chmod(0o755 if file.executable else 0o644)
    return pack(folder, archive, amount=amount)
