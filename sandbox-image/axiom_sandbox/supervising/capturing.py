"""What a round left behind: the workspace, captured from outside while everything in it is frozen, or the code of a message."""

from __future__ import annotations

import shutil
from pathlib import Path

from axiom_sandbox.ledger.ledger import Ledger
from axiom_sandbox.protocol.events import AssistantMessage, TurnEnded, parse_event
from axiom_sandbox.snapshots.captures import CaptureResult, capture, capture_files
from axiom_sandbox.snapshots.errors import PatchError
from axiom_sandbox.snapshots.messages import Given, placed
from axiom_sandbox.snapshots.patches import make_patch
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.supervising.recalling import records_of

PATCH = "diff.patch"
_SAYINGS = (AssistantMessage, TurnEnded)


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


async def final_message(ledger: Ledger, round: int) -> str | None:
    """What an agent that is spoken with said last in a round; None: it said nothing, or is not spoken with."""
    found: str | None = None
    async for record in records_of(ledger, _SAYINGS):
        event = parse_event(record.event, record.payload)
        if isinstance(event, _SAYINGS) and event.round == round and event.text:
            found = event.text
    return found
