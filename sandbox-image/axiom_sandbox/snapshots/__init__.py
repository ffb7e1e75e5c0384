"""The workspace as data: trees, archives of them, captured differences, and patches for people.

`trees` reads a directory that an enemy wrote; `writing` writes one; `archives`, `captures` and `patches` are
made of these two. What a difference means for a verdict is decided in `axiom_sandbox.verifying`.
"""

from axiom_sandbox.snapshots.archives import ArchiveInfo, digest_of, pack, read_tree, unpack
from axiom_sandbox.snapshots.captures import CaptureResult, apply_changes, capture, read_changes
from axiom_sandbox.snapshots.errors import ArchiveError, PatchError, SnapshotError
from axiom_sandbox.snapshots.patches import PatchInfo, make_patch
from axiom_sandbox.snapshots.trees import Limits, Tree, scan
from axiom_sandbox.snapshots.writing import clear

__all__ = [
    "ArchiveError",
    "ArchiveInfo",
    "CaptureResult",
    "Limits",
    "PatchError",
    "PatchInfo",
    "SnapshotError",
    "Tree",
    "apply_changes",
    "capture",
    "clear",
    "digest_of",
    "make_patch",
    "pack",
    "read_changes",
    "read_tree",
    "scan",
    "unpack",
]
