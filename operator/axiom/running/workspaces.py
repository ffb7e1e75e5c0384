"""The base of a local run, from the task's workspace."""

from __future__ import annotations

import asyncio
from pathlib import Path

from axiom.api.agenttask import Workspace
from axiom.gateway.carrying import Archive
from axiom.gateway.packing import WorkspaceError, inline_files, pack_files
from axiom_sandbox.snapshots.archives import digest_of
from axiom_sandbox.supervising.fetcher import FetchError, fetch_git

__all__ = ["WorkspaceError", "make_base"]

_PROTOCOLS = "https:ssh:file"
"""A repository on this machine is the user's own: only here is file:// allowed."""


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
        await asyncio.to_thread(pack_files, inline_files(workspace.files), scratch / "files", archive)
    return Archive(archive, await asyncio.to_thread(digest_of, archive))
