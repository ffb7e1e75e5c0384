"""What a round left behind: the workspace, captured from outside while everything in it is frozen."""

from __future__ import annotations

import shutil
from pathlib import Path

from axiom_sandbox.snapshots.archives import read_tree
from axiom_sandbox.snapshots.captures import CaptureResult, capture
from axiom_sandbox.snapshots.errors import PatchError
from axiom_sandbox.snapshots.patches import make_patch

PATCH = "diff.patch"


def capture_files(base: Path, workspace: Path, folder: Path) -> CaptureResult:
    """The changes archive, and a patch beside it, in `folder`. Raises SnapshotError, OSError. Blocks."""
    shutil.rmtree(folder, ignore_errors=True)
    result = capture(read_tree(base), workspace, folder)
    patch = folder / PATCH
    try:
        make_patch(base, result.archive, patch)
    except PatchError as error:  # it is for people; what is verified is the archive
        patch.write_text(f"# There is no patch: {error}. The changes archive holds everything.\n")
    return result
