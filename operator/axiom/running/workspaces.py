"""The base of a local run, from the task's workspace."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from axiom.api.agenttask import GitSource, Workspace, WorkspaceStatus
from axiom.gateway.carrying import Archive
from axiom.gateway.packing import WorkspaceError, inline_files, pack_files
from axiom_sandbox.protocol.progress import Progress
from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.fetching import Fetch
from axiom_sandbox.snapshots.archives import ArchiveInfo
from axiom_sandbox.snapshots.trees import Amount
from axiom_sandbox.supervising.fetcher import FIELD

__all__ = ["Base", "WorkspaceError", "make_base", "secret_folder", "secret_variable"]

_PROTOCOLS = "https:ssh:file"
"""A repository on this machine is the user's own: only here is file:// allowed."""
_TELL_SECONDS = 5.0


@dataclass(frozen=True)
class Base:
    """The base archive, and what is known of it."""

    archive: Archive
    status: WorkspaceStatus
    notes: tuple[str, ...] = ()


async def make_base(
    workspace: Workspace, scratch: Path, tell: Callable[[Progress], None] = lambda _: None
) -> Base:
    """Fetches or writes the workspace and packs it. `tell` hears of what takes long. Raises WorkspaceError."""
    archive, amount = scratch / "base.tar.zst", Amount()
    with _telling("fetching" if workspace.git else "packing", amount, tell):
        if workspace.git:
            return await _fetched(workspace.git, scratch, archive, amount)
        info = await asyncio.to_thread(
            pack_files, inline_files(workspace.files), scratch / "files", archive, amount
        )
    return _base(archive, info)


def secret_variable(name: str) -> str:
    """The variable that names the folder which stands for a Secret in local runs."""
    return "AXIOM_SECRET_" + name.upper().replace("-", "_").replace(".", "_")


def secret_folder(name: str | None) -> Path | None:
    """The folder that stands for a Secret, if one is named."""
    folder = os.environ.get(secret_variable(name)) if name else None
    return Path(folder) if folder else None


async def _fetched(git: GitSource, scratch: Path, archive: Path, amount: Amount) -> Base:
    access = Access(
        git.url, FIELD, credentials=secret_folder(git.credentials_secret), secret=git.credentials_secret or ""
    )
    fetch = Fetch(access, git.revision, git.submodules, _PROTOCOLS)
    try:
        fetched = await fetch.to(archive, scratch / "checkout", amount)
    except RepositoryError as error:
        raise WorkspaceError(str(error)) from error
    return _base(archive, fetched.info, fetched.commit, fetched.notes)


def _base(archive: Path, info: ArchiveInfo, revision: str = "", notes: tuple[str, ...] = ()) -> Base:
    status = WorkspaceStatus(digest=info.digest, revision=revision, bytes=info.bytes, files=info.files)
    return Base(Archive(archive, info.digest), status, notes)


@contextmanager
def _telling(stage: str, amount: Amount, tell: Callable[[Progress], None]) -> Iterator[None]:
    async def keep_telling() -> None:
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            tell(Progress(stage=stage, bytes=amount.bytes, files=amount.files))

    telling = asyncio.ensure_future(keep_telling())
    try:
        yield
    finally:
        telling.cancel()
