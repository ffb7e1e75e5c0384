"""What a one-shot pod is made for: to bring a workspace here, or a result out. Part of its settings, never a secret.

A secret is a folder of files, one for each key of a Secret, which the pod alone mounts; a job only says that it is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from axiom_sandbox.protocol.model import Message

CREDENTIALS_FOLDER = Path("/axiom/credentials")
"""Secrets of a one-shot pod lie in folders below it."""
FETCH_CREDENTIALS = CREDENTIALS_FOLDER / "fetch"


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


Job = FetchGit
"""One of the jobs, by its kind."""
