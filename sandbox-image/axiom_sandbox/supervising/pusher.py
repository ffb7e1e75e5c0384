"""The pusher's sandbox: makes a branch of a task's result. Runs nothing untrusted; the agent's files are data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

from axiom_sandbox.protocol.channel import FailureReason, Phase, Pushed
from axiom_sandbox.protocol.events import Intervention
from axiom_sandbox.protocol.jobs import FETCH_CREDENTIALS, PUSH_CREDENTIALS, PushBranch
from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.pushing import Push
from axiom_sandbox.supervising.fetcher import FIELD as SOURCE_FIELD
from axiom_sandbox.supervising.fetcher import write_authorities
from axiom_sandbox.supervising.sandbox import Sandbox, SandboxFailedError

FIELD = "spec.result.push"
_ALLOWED = "https:ssh"


class PusherSandbox(Sandbox):
    """Role `pusher`."""

    pauses: ClassVar[tuple[float, ...]] = (10.0, 60.0)
    """Seconds between two tries."""

    @property
    def _changes_archive(self) -> Path:
        return self.folder / "changes.tar.zst"

    async def live(self) -> None:
        """Changes → branch."""
        if self.board.state.phase is not Phase.PUSHED:
            job = self.settings.job
            assert isinstance(job, PushBranch), "a pusher is made with what to push"
            self.board.update(phase=Phase.READY)
            await self.wait_until(self._changes_archive.exists, "the changes were awaited")
            self.board.update(phase=Phase.RUNNING, trouble="")
            await self.record(Intervention(by="pusher", action="push", detail=f"{job.branch} to {job.url}"))
            commit = await self._push_patiently(job)
            await self.record(Intervention(by="pusher", action="pushed", detail=commit or "nothing"))
            self.board.update(phase=Phase.PUSHED, pushed=Pushed(branch=job.branch, commit=commit))
        await asyncio.Event().wait()

    async def receive_changes(self, chunks: AsyncIterator[bytes], digest: str) -> None:
        """Takes the changes archive. Raises RefusedError."""
        if not self._changes_archive.exists():
            await self._receive(chunks, self._changes_archive, digest)
            self.arrived.set()

    async def _push_patiently(self, job: PushBranch) -> str:
        """Three tries where the server or the way to it fails. The commit is the same each time. Raises SandboxFailedError."""
        pauses = iter(self.pauses)
        while True:
            try:
                return await self._push(job)
            except RepositoryError as error:
                pause = next(pauses, None) if error.may_pass else None
                if pause is None:
                    raise SandboxFailedError(FailureReason.PUSH_FAILED, str(error)) from error
                detail = f"tried again in {pause:.0f} s: {error}"
            await self.record(Intervention(by="pusher", action="push failed", detail=detail))
            await asyncio.sleep(pause)

    async def _push(self, job: PushBranch) -> str:
        source, authorities = job.source, write_authorities(job.source.authorities, self.folder / "ca.crt")
        push = Push(
            source=Access(
                source.url,
                SOURCE_FIELD if source.secret != job.secret else FIELD,
                credentials=FETCH_CREDENTIALS if source.secret else None,
                secret=source.secret,
                authorities=authorities,
            ),
            commit=source.revision,
            base=job.base,
            target=Access(
                job.url,
                FIELD,
                credentials=PUSH_CREDENTIALS if job.secret else None,
                secret=job.secret,
                authorities=authorities,
            ),
            branch=job.branch,
            message=job.message,
            time=job.time,
            protocols=_ALLOWED,
        )
        return await push.of(self._changes_archive, self.folder / "push")
