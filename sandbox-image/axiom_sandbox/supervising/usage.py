"""How much a folder that the agent writes holds. Kubernetes has no quota that acts in time, so we look ourselves."""

from __future__ import annotations

import math
import os
from pathlib import Path

ENTRY_BYTES = 4096
"""What a file counts at least, as an empty file takes none of the disk's blocks, but one of its inodes, which are few."""


def folder_bytes(root: Path, most: float = math.inf) -> int:
    """Bytes on disk below `root`, links not followed, a file with several names counted once.

    Each file counts `ENTRY_BYTES` at least. Once there are more than `most`, the rest is not looked at.
    """
    total, seen = 0, set[tuple[int, int]]()
    stack = [os.fspath(root)]
    while stack:
        try:
            found = list(os.scandir(stack.pop()))
        except OSError:
            continue  # gone, or closed by the agent; its parent's count stands
        for entry in found:
            if total > most:
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
            total += max(status.st_blocks * 512, ENTRY_BYTES)
    return total
