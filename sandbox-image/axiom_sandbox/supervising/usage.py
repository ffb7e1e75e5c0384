"""How much a folder that the agent writes holds. Kubernetes has no quota that acts in time, so we look ourselves."""

from __future__ import annotations

import os
from pathlib import Path


def folder_bytes(root: Path, most_entries: int = 500_000) -> int:
    """Bytes on disk below `root`, links not followed, a file with several names counted once."""
    total, seen, entries = 0, set[tuple[int, int]](), 0
    stack = [os.fspath(root)]
    while stack:
        try:
            found = list(os.scandir(stack.pop()))
        except OSError:
            continue  # gone, or closed by the agent; its parent's count stands
        for entry in found:
            entries += 1
            if entries > most_entries:
                return total
            try:
                status = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
            except OSError:
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_blocks * 512
    return total
