"""A verification without an agent: a base, a directory that somebody changed, and the criteria.

What an agent's sandbox would have left (the captured changes, the patch) is made here from the directory, with the same
capture; from there on it is a task whose agent has ended and whose round is still to be judged, and goes the way of every
task.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import (
    AgentTask,
    AgentTaskSpec,
    AgentTaskStatus,
    RoundStatus,
    VerificationSpec,
    WorkspaceStatus,
)
from axiom.api.agenttask import Limits as TaskLimits
from axiom.api.conditions import ConditionType, Reason
from axiom.api.explaining import Problem
from axiom.api.loading import CriteriaFile, RefusedError
from axiom.gateway.carrying import Archive
from axiom.planning.statuses import rfc3339, with_condition
from axiom.running.workspaces import Base, WorkspaceError, fetched_base
from axiom.storage.keys import blob_key
from axiom.storage.store import ObjectStore
from axiom_sandbox.protocol.changes import CandidateSource, Changes
from axiom_sandbox.repositories.access import Access
from axiom_sandbox.snapshots import PatchError, SnapshotError, capture, make_patch, pack, read_tree
from axiom_sandbox.snapshots.captures import capture_files
from axiom_sandbox.snapshots.messages import code_in, placed
from axiom_sandbox.snapshots.paths import is_git
from axiom_sandbox.snapshots.trees import Selection

NAME = "verify"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_FIELD = "--base"
_ADDRESS = re.compile(r"(https|ssh|file)://")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_DEFAULT_REVISION = "HEAD"
_WITHOUT_GIT = Selection(wants=lambda path, _: not is_git(path))
"""History holds answers, and is no part of a result."""


@dataclass(frozen=True)
class Revision:
    """A revision of a repository."""

    url: str
    revision: str


@dataclass(frozen=True)
class Change:
    """A base, and what was changed in it, in object storage."""

    base: Base
    changes: Changes
    digest: str
    """Of the changes archive."""
    fingerprint: str
    diff: str
    """Key of the patch."""
    complete: bool


def parse_base(text: str) -> Path | Revision:
    """`DIR`, `REPOSITORY#REVISION` or an address with or without `#REVISION`. Raises RefusedError.

    A directory is taken as it lies there, `.git` left out; a path with `#` is a repository at that revision, and so is an
    address (https://, ssh://, file://).
    """
    folder = Path(text)
    if folder.is_dir():
        return folder
    where, mark, revision = text.rpartition("#") if "#" in text else (text, "", "")
    revision = revision or _DEFAULT_REVISION
    if not _REVISION.fullmatch(revision):
        raise _refused(_FIELD, f"{revision!r} is not a revision; write a commit, a tag or a branch after #")
    if _ADDRESS.match(where):
        return Revision(where, revision)
    if mark and Path(where or ".").is_dir():
        return Revision(Path(where or ".").resolve().as_uri(), revision)
    raise _refused(
        _FIELD,
        f"there is no directory {where or '.'!r}; name one, or a repository with a revision, such as .#main or"
        " https://git.example/leap.git#v1.2",
    )


def check_candidate(candidate: Path, verification: VerificationSpec) -> None:
    """Raises RefusedError."""
    if verification.candidate is CandidateSource.WORKSPACE and not candidate.is_dir():
        cure = f"there is no directory {str(candidate)!r}; name the changed workspace"
        raise _refused("--candidate", cure)
    if verification.candidate is CandidateSource.MESSAGE:
        if not candidate.is_file():
            cure = f"there is no file {str(candidate)!r}; the criteria ask for a message (verification.candidate: Message), so"
            raise _refused("--candidate", f"{cure} name a file that holds it")
        if candidate.stat().st_size > MAX_MESSAGE_BYTES:
            raise _refused("--candidate", f"a message of more than {MAX_MESSAGE_BYTES:,} bytes is not read")


async def take_change(
    source: Path | Revision,
    candidate: Path,
    verification: VerificationSpec,
    store: ObjectStore,
    scratch: Path,
    say: Callable[[str], None],
) -> Change:
    """Packs or fetches the base, captures the candidate against it, and stores what an agent's sandbox would.

    The candidate may be hostile: no link in it is followed, no hook or filter of it runs. Raises WorkspaceError.
    """
    base = await _base(source, scratch)
    for note in base.notes:
        say(f"base: {note}")
    try:
        tree = await asyncio.to_thread(read_tree, base.archive.path)
        if verification.candidate is CandidateSource.MESSAGE:
            message = candidate.read_bytes().decode("utf-8", "replace")
            given = placed(code_in(message, verification.message_path or ""), tree.entries)
            folder = scratch / "captured"
            captured = await asyncio.to_thread(capture_files, tree, given.files, given.findings, folder)
        else:
            captured = await asyncio.to_thread(capture, tree, candidate, scratch / "captured")
        patch = scratch / "diff.patch"
        made = await asyncio.to_thread(make_patch, base.archive.path, captured.archive, patch)
    except (SnapshotError, PatchError, OSError) as error:
        raise WorkspaceError(f"--candidate {candidate} cannot be captured: {error}") from error
    await store.put(blob_key(captured.digest), captured.archive)
    await store.put(blob_key(made.digest), patch)
    for finding in captured.changes.findings:
        say(f"candidate: {finding.path} {finding.reason}; it is left out")
    say(f"candidate: {len(captured.changes.changes)} paths changed against {base.status.files} of the base")
    return Change(
        base,
        captured.changes,
        captured.digest,
        captured.fingerprint,
        blob_key(made.digest),
        captured.complete,
    )


def judged_alone(change: Change, criteria: CriteriaFile, uid: str, deadline: str, now: datetime) -> AgentTask:
    """A task whose agent has ended, captured, and gave its place to its verifier: what is left is the verdict. Pure."""
    spec = AgentTaskSpec(
        agent_class_name=NAME,
        prompt="no agent: a change is verified",
        criteria=criteria.criteria,
        verification=criteria.verification,
        limits=TaskLimits(max_rounds=1, deadline=deadline),
    )
    captured = RoundStatus(
        number=1, attempt=1, changes=change.digest, fingerprint=change.fingerprint, diff=change.diff
    )
    status = AgentTaskStatus(
        observed_generation=1, attempt=1, round=1, rounds=[captured], accepted_time=rfc3339(now)
    )
    status = with_condition(status, now, ConditionType.SANDBOX_READY, False, Reason.MADE_ROOM)
    return AgentTask(metadata={"name": NAME, "uid": uid}, spec=spec, status=status)


def no_agent() -> AgentClass:
    """The class of tasks that are only judged. Pure."""
    return AgentClass.model_validate({"metadata": {"name": NAME}, "spec": {"command": ["$(AXIOM_PROMPT)"]}})


def with_helpers(agent_class: AgentClass) -> AgentClass:
    """The same, with judges and destinations of a class whose agent does not run. Pure."""
    given, alone = agent_class.spec, no_agent()
    helpers = {"judges": given.judges, "agent_vendor": given.vendor, "egress": given.egress}
    return alone.model_copy(update={"spec": alone.spec.model_copy(update=helpers)})


async def _base(source: Path | Revision, scratch: Path) -> Base:
    archive = scratch / "base.tar.zst"
    if isinstance(source, Revision):
        access = Access(source.url, _FIELD)
        return await fetched_base(access, source.revision, False, scratch, archive)
    try:
        info = await asyncio.to_thread(pack, source, archive, selection=_WITHOUT_GIT)
    except (SnapshotError, OSError) as error:
        raise WorkspaceError(f"{_FIELD} {source} cannot be packed: {error}") from error
    status = WorkspaceStatus(digest=info.digest, bytes=info.bytes, files=info.files)
    return Base(Archive(archive, info.digest), status, info.notes)


def _refused(field: str, message: str) -> RefusedError:
    return RefusedError("axiom verify", [Problem(field, message)])
