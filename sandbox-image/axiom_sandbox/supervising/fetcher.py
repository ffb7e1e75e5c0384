"""The fetcher's sandbox: gets one revision of a git repository and leaves it as a base archive. Runs nothing untrusted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from axiom_sandbox.protocol.channel import FailureReason, Phase
from axiom_sandbox.protocol.events import Intervention
from axiom_sandbox.protocol.jobs import FETCH_CREDENTIALS, FetchGit
from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.fetching import Fetch
from axiom_sandbox.snapshots.trees import Amount
from axiom_sandbox.supervising.sandbox import Sandbox, SandboxFailedError
from axiom_sandbox.supervising.usage import folder_bytes

FIELD = "spec.workspace.git"
_PUBLIC_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_ALLOWED = "https:ssh"
_LOOK_SECONDS = 5.0


class FetcherSandbox(Sandbox):
    """Role `fetcher`."""

    async def live(self) -> None:
        """Repository → blob `workspace`."""
        if self.board.state.phase is not Phase.FETCHED:
            job = self.settings.job
            assert isinstance(job, FetchGit), "a fetcher is made with what to fetch"
            self.board.update(phase=Phase.RUNNING)
            await self.record(
                Intervention(by="fetcher", action="fetch", detail=f"{job.url} at {job.revision}")
            )
            try:
                await self._fetch(job)
            except RepositoryError as error:
                raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, str(error)) from error
        await asyncio.Event().wait()

    async def _fetch(self, job: FetchGit) -> None:
        archive, checkout, amount = self.folder / "workspace.tar.zst", self.folder / "checkout", Amount()
        access = Access(
            job.url,
            FIELD,
            credentials=FETCH_CREDENTIALS if job.secret else None,
            secret=job.secret,
            authorities=write_authorities(job.authorities, self.folder / "ca.crt"),
        )
        fetch = Fetch(access, job.revision, job.submodules, _ALLOWED)
        async with _growing(checkout, amount) as counted, self.telling("fetching", counted):
            fetched = await fetch.to(archive, checkout, amount)
        await self.record(Intervention(by="fetcher", action="fetched", detail=fetched.commit))
        await self.keep_blob("workspace", archive)
        self.board.update(
            phase=Phase.FETCHED,
            revision_id=fetched.commit,
            workspace_bytes=fetched.info.bytes,
            workspace_files=fetched.info.files,
            notes=fetched.notes,
            progress=None,
        )


@asynccontextmanager
async def _growing(folder: Path, packed: Amount) -> AsyncIterator[Amount]:
    """What is known so far: the size of the folder until files are packed, then these."""
    shown = Amount()

    async def look() -> None:
        while True:
            if packed.files:
                shown.files, shown.bytes = packed.files, packed.bytes
            else:
                shown.bytes = await asyncio.to_thread(folder_bytes, folder)
            await asyncio.sleep(_LOOK_SECONDS)

    looking = asyncio.ensure_future(look())
    try:
        yield shown
    finally:
        looking.cancel()


def write_authorities(extra: str, target: Path, public: Path = _PUBLIC_AUTHORITIES) -> Path | None:
    """Writes the public authorities and the extra ones (PEM) into one file; None when there are no extra ones.

    Raises RepositoryError.
    """
    if not extra:
        return None
    try:
        known = public.read_text() if public.exists() else ""
        target.write_text(f"{known.rstrip()}\n{extra.strip()}\n")
    except OSError as error:
        raise RepositoryError(f"the authorities of git servers cannot be written: {error}") from error
    return target
