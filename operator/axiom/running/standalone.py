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
from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.git import Git
from axiom_sandbox.snapshots import PatchError, SnapshotError, capture, make_patch, pack, read_tree
from axiom_sandbox.snapshots.captures import capture_files
from axiom_sandbox.snapshots.messages import code_in, placed
from axiom_sandbox.snapshots.paths import is_git
from axiom_sandbox.snapshots.trees import Selection
from axiom_sandbox.snapshots.untouched import untouched_controls

NAME = "verify"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_FIELD = "--base"
_ADDRESS = re.compile(r"(https|ssh|file)://")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_EXPRESSION = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._/@{}^~-]*")
"""What git can resolve in a repository that lies here: HEAD~1, main^, @{upstream}."""
_DEFAULT_REVISION = "HEAD"
_WITHOUT_GIT = Selection(wants=lambda path, _: not is_git(path))
"""History holds answers, and is no part of a result."""


@dataclass(frozen=True)
class Revision:
    """A revision of a repository."""

    url: str
    revision: str
    folder: Path | None = None
    """Where it lies, on this machine."""


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
    address (https://, ssh://, file://). In a repository that lies here, a revision is whatever git makes a commit of.
    """
    folder = Path(text)
    if folder.is_dir():
        return folder
    where, mark, revision = text.rpartition("#") if "#" in text else (text, "", "")
    revision = revision or _DEFAULT_REVISION
    is_address = _ADDRESS.match(where) is not None
    if not (_REVISION if is_address else _EXPRESSION).fullmatch(revision):
        raise _refused(_FIELD, f"{revision!r} is not a revision; write a commit, a tag or a branch after #")
    if is_address:
        return Revision(where, revision)
    if mark and Path(where or ".").is_dir():
        folder = Path(where or ".").resolve()
        return Revision(folder.as_uri(), revision, folder)
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
            repository = source.folder if isinstance(source, Revision) else source
            known = await asyncio.to_thread(untouched_controls, candidate, repository)
            captured = await asyncio.to_thread(capture, tree, candidate, scratch / "captured", git=known)
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
        revision = (
            await _commit(access, source.folder, source.revision, scratch)
            if source.folder
            else source.revision
        )
        return await fetched_base(access, revision, False, scratch, archive)
    try:
        info = await asyncio.to_thread(pack, source, archive, selection=_WITHOUT_GIT)
    except (SnapshotError, OSError) as error:
        raise WorkspaceError(f"{_FIELD} {source} cannot be packed: {error}") from error
    status = WorkspaceStatus(digest=info.digest, bytes=info.bytes, files=info.files)
    return Base(Archive(archive, info.digest), status, info.notes)


async def _commit(access: Access, folder: Path, revision: str, scratch: Path) -> str:
    """What a revision of a repository that lies here is now. Raises RefusedError."""
    try:
        git = Git(folder, scratch, access, "file")
        found = await git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    except RepositoryError as error:
        if "not a git repository" in str(error):
            text = f"{folder} is no git repository; name one before #, or leave # out to take the directory as it lies there"
            raise _refused(_FIELD, text) from error
        text = f"the repository {folder} has no revision {revision!r}; name a commit, a tag or a branch of it"
        raise _refused(_FIELD, f"{text} (a shallow clone holds its newest commits alone)") from error
    return found.decode().strip()


def _refused(field: str, message: str) -> RefusedError:
    return RefusedError("axiom verify", [Problem(field, message)])
