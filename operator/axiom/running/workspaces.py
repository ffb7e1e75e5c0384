"""The base of a local run, from the task's workspace."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from axiom.api.agenttask import ArchiveSource, GitSource, TaskSource, Workspace, WorkspaceStatus
from axiom.gateway.carrying import Archive
from axiom.gateway.packing import WorkspaceError, inline_files, pack_files
from axiom.running.results import last_run
from axiom_sandbox.protocol.jobs import CopyArchive
from axiom_sandbox.protocol.progress import Progress
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.fetching import Fetch
from axiom_sandbox.snapshots.archives import ArchiveInfo, pack
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.trees import Amount
from axiom_sandbox.supervising.copier import copy_archive
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
    workspace: Workspace, scratch: Path, runs: Path, tell: Callable[[Progress], None] = lambda _: None
) -> Base:
    """Fetches or writes the workspace and packs it.

    Args:
        workspace: of the task.
        scratch: for the archive, and for work.
        runs: where earlier runs left their results.
        tell: hears of what takes long.

    Raises WorkspaceError.
    """
    archive, amount = scratch / "base.tar.zst", Amount()
    with _telling("fetching" if workspace.git else "packing", amount, tell):
        if workspace.git:
            return await _fetched(workspace.git, scratch, archive, amount)
        if workspace.archive:
            return await _copied(workspace.archive, scratch, archive, amount)
        if workspace.task:
            return await _result(workspace.task, runs, archive, amount)
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
    return await fetched_base(access, git.revision, git.submodules, scratch, archive, amount)


async def fetched_base(
    access: Access,
    revision: str,
    submodules: bool,
    scratch: Path,
    archive: Path,
    amount: Amount | None = None,
) -> Base:
    """A revision of a repository; on this machine, too. Raises WorkspaceError."""
    try:
        fetched = await Fetch(access, revision, submodules, _PROTOCOLS).to(
            archive, scratch / "checkout", amount
        )
    except RepositoryError as error:
        raise WorkspaceError(str(error)) from error
    return _base(archive, fetched.info, fetched.commit, fetched.notes)


async def _copied(source: ArchiveSource, scratch: Path, archive: Path, amount: Amount) -> Base:
    given, tree = Path(source.key), scratch / "tree"
    job = CopyArchive(key=source.key, digest=source.digest or "")
    try:
        info, revision, notes = await asyncio.to_thread(copy_archive, job, given, tree, archive, amount)
    except FileNotFoundError as error:
        raise WorkspaceError(
            f"spec.workspace.archive.key: there is no file {source.key!r} below {Path.cwd()}; with `axiom run` the key is a"
            " file from the present folder on"
        ) from error
    except (SnapshotError, OSError) as error:
        raise WorkspaceError(f"spec.workspace.archive {source.key}: {error}") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
    return _base(archive, info, revision, notes)


async def _result(source: TaskSource, runs: Path, archive: Path, amount: Amount) -> Base:
    """The files that the last run of another task left."""
    field = "spec.workspace.task"
    last = last_run(runs, source.name)
    if last is None:
        raise WorkspaceError(f"{field}: no run of a task {source.name!r} is kept below {runs}; run it first")
    if source.round not in (None, last.rounds):
        raise WorkspaceError(
            f"{field}.round: `axiom run` keeps the last round's result alone; remove the field"
        )
    if last.verdict != Verdict.PASS and not source.allow_failed:
        raise WorkspaceError(
            f"{field}: the last run of {source.name!r} came to {last.verdict or 'no verdict'}; mend it, or set"
            " allowFailed if its result will do all the same"
        )
    try:
        info = await asyncio.to_thread(pack, last.workspace, archive, amount=amount)
    except (SnapshotError, OSError) as error:
        raise WorkspaceError(f"{field}: {last.workspace} cannot be packed: {error}") from error
    return _base(archive, info, f"{last.uid}/{last.rounds}", info.notes)


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
