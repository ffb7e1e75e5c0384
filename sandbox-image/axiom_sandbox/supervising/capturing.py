"""What a round left behind: the workspace, captured from outside while everything in it is frozen, or the code of a message."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.channel import FailureReason, RoundOutcome, StartAgent
from axiom_sandbox.protocol.events import Captured, ClaimMade
from axiom_sandbox.snapshots.captures import CaptureResult, capture, capture_files
from axiom_sandbox.snapshots.comparing import changed_percent
from axiom_sandbox.snapshots.errors import PatchError, SnapshotError
from axiom_sandbox.snapshots.messages import Given, code_in, placed
from axiom_sandbox.snapshots.patches import make_patch
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.supervising.recalling import Account
from axiom_sandbox.supervising.sandbox import Sandbox, SandboxFailedError
from axiom_sandbox.supervising.terminal_pump import TAIL_BYTES
from axiom_sandbox.terminal.text import printable

PATCH = "diff.patch"
_MOST_FINDINGS = 200


@dataclass(frozen=True)
class Work:
    """What a round came to, kept as evidence."""

    result: CaptureResult
    changes: str
    """Digest of the changes archive."""
    diff: str
    """Digest of the patch."""
    conduct: str
    """Digest of what the agent did so far, where a criterion or a statement of its is held against that; else nothing."""
    changed_percent: int | None
    """How much of the result is new since the round before; None where that is not known or no patch shows it."""

    def event(self, number: int) -> Captured:
        """What the ledger is told of it."""
        found = self.result.changes
        return Captured(
            round=number,
            changes=self.changes,
            diff=self.diff,
            fingerprint=self.result.fingerprint,
            paths=len(found.changes),
            findings=found.findings[:_MOST_FINDINGS],
        )


def outcome_of(claim: ClaimMade, work: Work | None, assisted: Collection[int]) -> RoundOutcome:
    """How a round ended; without work it was broken off. Pure.

    Args:
        assisted: the rounds in which a person stepped in.
    """
    found = work.result.changes if work else None
    return RoundOutcome(
        round=claim.round,
        claim=claim.claim,
        changes=work.changes if work else "",
        changed_paths=len(found.changes) if found else 0,
        findings=len(found.findings) if found else 0,
        fingerprint=work.result.fingerprint if work else "",
        changed_percent=work.changed_percent if work else None,
        assisted=claim.round in assisted,
        conduct=work.conduct if work else "",
        rebuttal=claim.rebuttal,
    )


class Capturer:
    """Of one agent's sandbox. Safe to repeat while everything is frozen: what it gives is the same."""

    def __init__(
        self, sandbox: Sandbox, start: StartAgent, read_base: Callable[[], Tree], account: Account
    ) -> None:
        self._sandbox, self._start, self._read_base, self._account = sandbox, start, read_base, account

    async def capture(self, claim: ClaimMade, tail: bytes) -> Work:
        """Captures what a round left, and keeps it. Raises SandboxFailedError.

        Args:
            tail: the last that the agent's terminal showed.
        """
        number, folder = claim.round, self._sandbox.folder / f"capture-{claim.round}"
        try:
            result = await self._capture(claim, tail, folder)
        except (SnapshotError, OSError) as error:
            message = f"the workspace cannot be captured: {error}"
            raise SandboxFailedError(FailureReason.WORKSPACE_FAILED, message) from error
        changes = await self._sandbox.keep_blob(f"changes-{number}", result.archive)
        diff = await self._sandbox.keep_blob(f"diff-{number}", folder / PATCH)
        await asyncio.to_thread(shutil.rmtree, folder)
        return Work(
            result=result,
            changes=changes,
            diff=diff,
            conduct=await self._conduct(claim),
            changed_percent=await self._changed_percent(number, diff, result.fingerprint),
        )

    async def _capture(self, claim: ClaimMade, tail: bytes, folder: Path) -> CaptureResult:
        base, tree = self._sandbox.base_archive, await asyncio.to_thread(self._read_base)
        if self._start.envelope.candidate is CandidateSource.MESSAGE:
            given = await self._code_given(claim, tail)
            return await asyncio.to_thread(capture_given, base, tree, given, folder)
        root = self._sandbox.settings.workspace
        return await asyncio.to_thread(capture_workspace, base, tree, root, folder)

    async def _code_given(self, claim: ClaimMade, tail: bytes) -> Given:
        """The files of the agent's final message. One that is not spoken with says it on its terminal."""
        path, message = self._start.envelope.message_path, await self._account.final_message(claim.round)
        if message is not None:
            return await asyncio.to_thread(code_in, message, path)
        shown = printable(tail, len(tail)) or claim.claim.text
        return await asyncio.to_thread(code_in, shown, path, is_tail=len(tail) >= TAIL_BYTES)

    async def _conduct(self, claim: ClaimMade) -> str:
        if not claim.statements and not any(one.reads_conduct for one in self._start.envelope.criteria):
            return ""
        file = self._sandbox.folder / f"conduct-{claim.round}.json"
        await self._account.write_conduct(self._start.program.speaks, file)
        return await self._sandbox.keep_blob(f"conduct-{claim.round}", file)

    async def _changed_percent(self, number: int, diff: str, fingerprint: str) -> int | None:
        state = self._sandbox.board.state
        last = next((one for one in state.rounds if one.round == number - 1), None)
        kept = next((blob for blob in state.blobs if blob.name == f"diff-{number - 1}"), None)
        if last is None or kept is None:
            return None
        if kept.digest == diff:
            return 0 if last.fingerprint == fingerprint else None
        before, now = self._sandbox.blob_path(kept.digest), self._sandbox.blob_path(diff)
        try:
            return await asyncio.to_thread(changed_percent, before, now)
        except OSError:
            return None  # stored, and gone from here


def capture_workspace(base: Path, tree: Tree, workspace: Path, folder: Path) -> CaptureResult:
    """The changes archive, and a patch beside it, in `folder`. Raises SnapshotError, OSError. Blocks.

    Args:
        base: the base archive.
        tree: what is in it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    return _with_patch(base, capture(tree, workspace, folder), folder)


def capture_given(base: Path, tree: Tree, given: Given, folder: Path) -> CaptureResult:
    """The same of files that a message holds."""
    shutil.rmtree(folder, ignore_errors=True)
    found = placed(given, tree.entries)
    return _with_patch(base, capture_files(tree, found.files, found.findings, folder), folder)


def _with_patch(base: Path, result: CaptureResult, folder: Path) -> CaptureResult:
    patch = folder / PATCH
    try:
        make_patch(base, result.archive, patch)
    except PatchError as error:  # it is for people; what is verified is the archive
        patch.write_text(f"# There is no patch: {error}. The changes archive holds everything.\n")
    return result
