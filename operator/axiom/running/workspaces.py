"""The base of a local run, from the task's workspace."""

from __future__ import annotations

import asyncio
from pathlib import Path

from axiom.api.agenttask import InlineFile, Workspace
from axiom.gateway.carrying import Archive
from axiom_sandbox.snapshots.archives import digest_of, pack
from axiom_sandbox.supervising.fetcher import FetchError, fetch_git

_PROTOCOLS = "https:ssh:file"
"""A repository on this machine is the user's own: only here is file:// allowed."""


class WorkspaceError(Exception):
    """The workspace cannot be had; the message names the field and the cure."""


async def make_base(workspace: Workspace, scratch: Path) -> Archive:
    """Fetches or writes the workspace and packs it. Raises WorkspaceError."""
    archive = scratch / "base.tar.zst"
    if workspace.git:
        try:
            await fetch_git(
                workspace.git.url, workspace.git.revision, scratch / "checkout", archive, _PROTOCOLS
            )
        except FetchError as error:
            raise WorkspaceError(f"spec.workspace.git: {error}") from error
    else:
        await asyncio.to_thread(pack_files, workspace.files, scratch / "files", archive)
    return Archive(archive, await asyncio.to_thread(digest_of, archive))


def pack_files(files: list[InlineFile], folder: Path, archive: Path) -> None:
    """Writes inline files to a folder and packs it."""
    folder.mkdir(parents=True)
    for file in files:
        target = folder / file.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.content)
        except OSError as error:
            raise WorkspaceError(
                f"spec.workspace.files: {file.path!r} cannot be written: {error.strerror}"
            ) from error
        target.chmod(0o755 if file.executable else 0o644)
    pack(folder, archive)
