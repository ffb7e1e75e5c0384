"""The copier's sandbox: makes a base archive of an archive, a volume or another task's result. Runs nothing untrusted.

What people hand in is read here, in a pod with no network and no credential, and not in the gateway.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_never

from axiom_sandbox.protocol.channel import FailureReason, Phase
from axiom_sandbox.protocol.events import Intervention
from axiom_sandbox.protocol.jobs import SOURCE_FOLDER, CombineResult, CopyArchive, CopyVolume
from axiom_sandbox.snapshots.archives import ArchiveInfo, digest_of, pack, unpack
from axiom_sandbox.snapshots.captures import apply_changes
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.importing import extract
from axiom_sandbox.snapshots.trees import Amount
from axiom_sandbox.snapshots.volumes import pack_volume
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox, SandboxFailedError

_CopyJob = CopyArchive | CopyVolume | CombineResult


class CopierSandbox(Sandbox):
    """Role `copier`."""

    source = SOURCE_FOLDER

    @property
    def _changes_archive(self) -> Path:
        return self.folder / "changes.tar.zst"

    async def live(self) -> None:
        """Source → blob `workspace`."""
        if self.board.state.phase is not Phase.FETCHED:
            job = self.settings.job
            assert isinstance(job, _CopyJob), "a copier is made with what to copy"
            await self._await_inputs(job)
            self.board.update(phase=Phase.RUNNING, trouble="")
            await self.record(Intervention(by="copier", action="copy", detail=job.shown))
            try:
                await self._copy(job)
            except (SnapshotError, OSError) as error:
                message = f"{job.shown}: {error}"
                raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error
        await asyncio.Event().wait()

    async def receive_changes(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes the changes of another task's result. Raises RefusedError."""
        if not isinstance(self.settings.job, CombineResult):
            raise RefusedError("this copier takes no changes")
        if not self._changes_archive.exists():
            await self._receive(chunks, self._changes_archive, digest)
            self.arrived.set()

    async def _await_inputs(self, job: _CopyJob) -> None:
        wanted = [self.base_archive] if isinstance(job, CopyArchive | CombineResult) else []
        if isinstance(job, CombineResult):
            wanted.append(self._changes_archive)
        if not all(file.exists() for file in wanted):
            self.board.update(phase=Phase.WAITING_FOR_WORKSPACE)
            await self.wait_until(lambda: all(file.exists() for file in wanted), "the source was awaited")

    async def _copy(self, job: _CopyJob) -> None:
        tree, archive, amount = self.folder / "tree", self.folder / "workspace.tar.zst", Amount()
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
        async with self.telling("copying", amount):
            info, revision, notes = await asyncio.to_thread(self._work, job, tree, archive, amount)
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
        await self.keep_blob("workspace", archive)
        self.board.update(
            phase=Phase.FETCHED,
            revision_id=revision,
            workspace_bytes=info.bytes,
            workspace_files=info.files,
            notes=notes,
            progress=None,
        )

    def _work(
        self, job: _CopyJob, tree: Path, archive: Path, amount: Amount
    ) -> tuple[ArchiveInfo, str, tuple[str, ...]]:
        match job:
            case CopyArchive():
                return copy_archive(job, self.base_archive, tree, archive, amount)
            case CopyVolume():
                info = pack_volume(self.source, job.path, archive, amount)
                return info, "", info.notes
            case CombineResult():
                return combine_result(self.base_archive, self._changes_archive, tree, archive, amount)
            case _:
                assert_never(job)


def copy_archive(
    job: CopyArchive, given: Path, tree: Path, archive: Path, amount: Amount
) -> tuple[ArchiveInfo, str, tuple[str, ...]]:
    """Somebody's archive → a base archive, what identifies the source, and notes. `tree` is for work.

    Raises SnapshotError.
    """
    found = digest_of(given)
    if job.digest and found != job.digest:
        raise SnapshotError(
            f"the archive has the SHA-256 {found}, and spec.workspace.archive.digest says {job.digest};"
            " correct one of them"
        )
    findings = extract(given, tree, amount=amount)
    info = pack(tree, archive)
    notes = info.notes
    if findings:
        first = findings[0]
        notes = (
            f"{len(findings)} entries are left out, such as {first.path!r}, which {first.reason}",
            *notes,
        )
    return info, f"sha256:{found}", notes


def combine_result(
    base: Path, changes: Path, tree: Path, archive: Path, amount: Amount
) -> tuple[ArchiveInfo, str, tuple[str, ...]]:
    """Base and captured changes of a task → the base archive of the next. Raises SnapshotError."""
    unpacked = unpack(base, tree)
    if apply_changes(changes, tree).base != unpacked.digest:
        raise SnapshotError("the changes were captured against another base")
    info = pack(tree, archive, amount=amount)
    return info, "", info.notes
