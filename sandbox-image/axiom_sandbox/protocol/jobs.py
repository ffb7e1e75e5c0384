"""What a one-shot pod is made for: to bring a workspace here, or a result out. Part of its settings, never a secret.

A secret is a folder of files, one for each key of a Secret, which the pod alone mounts; a job only says that it is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from axiom_sandbox.protocol.model import Message

CREDENTIALS_FOLDER = Path("/axiom/credentials")
"""Secrets of a one-shot pod lie in folders below it."""
FETCH_CREDENTIALS = CREDENTIALS_FOLDER / "fetch"
PUSH_CREDENTIALS = CREDENTIALS_FOLDER / "push"
SOURCE_FOLDER = Path("/axiom/source")
"""Where a copier mounts the volume that it copies."""


class FetchGit(Message):
    """Fetch one revision of a git repository."""

    kind: Literal["FetchGit"] = "FetchGit"
    url: str
    revision: str
    """Commit, which may be abbreviated, tag or branch."""
    submodules: bool = False
    secret: str = ""
    """Name of the Secret that lies at FETCH_CREDENTIALS; empty: none."""
    authorities: str = ""
    """Certificates (PEM) of authorities that git servers may have besides the public ones."""


class CopyArchive(Message):
    """Make a base archive of one that somebody put into object storage; the gateway brings it."""

    kind: Literal["CopyArchive"] = "CopyArchive"
    key: str
    """Where it lies, for messages."""
    digest: str = ""
    """The SHA-256 that it must have; empty: any."""

    @property
    def shown(self) -> str:
        """The source, for a person."""
        return f"spec.workspace.archive {self.key}"


class CopyVolume(Message):
    """Make a base archive of a folder of the volume that is mounted at SOURCE_FOLDER, read-only."""

    kind: Literal["CopyVolume"] = "CopyVolume"
    claim: str
    """Name of the PersistentVolumeClaim, for messages."""
    path: str = ""

    @property
    def shown(self) -> str:
        """The source, for a person."""
        return f"spec.workspace.persistentVolumeClaim {self.claim}"


class CombineResult(Message):
    """Make a base archive of another task's base and changes; the gateway brings both."""

    kind: Literal["CombineResult"] = "CombineResult"
    task: str
    """Name of the other task, for messages."""

    @property
    def shown(self) -> str:
        """The source, for a person."""
        return f"spec.workspace.task {self.task}"


class PushBranch(Message):
    """Commit a task's changes on the revision that was fetched, and push them; the gateway brings the changes."""

    kind: Literal["PushBranch"] = "PushBranch"
    source: FetchGit
    """Where the revision is, as it was fetched; `revision` is the whole commit id."""
    base: str
    """Digest of the base archive."""
    url: str
    branch: str
    message: str
    time: int
    """Unix time in seconds of the commit."""
    secret: str = ""
    """Name of the Secret that lies at PUSH_CREDENTIALS; empty: none."""


Job = Annotated[FetchGit | CopyArchive | CopyVolume | CombineResult | PushBranch, Field(discriminator="kind")]
"""One of the jobs, by its kind."""
