"""The repository as it was one commit ago: what an upgrade begins with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from e2e.cluster.shell import run
from e2e.support.images import ROOT

EARLIER = "HEAD~1"


def has_earlier_commit() -> bool:
    """Not so in a clone of one commit (`--depth 1`), nor in an exported tree."""
    command = ["git", "-C", str(ROOT), "cat-file", "-e", f"{EARLIER}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def earlier_tree(folder: Path) -> Path:
    """The tree of the commit before, in an empty folder; this very tree where there is no such commit. Raises ClusterError."""
    if not has_earlier_commit():
        return ROOT
    archive = folder / "tree.tar"
    run(["git", "-C", ROOT, "archive", "--output", archive, EARLIER])
    run(["tar", "--extract", "--file", archive, "--directory", folder])
    archive.unlink()
    return folder
