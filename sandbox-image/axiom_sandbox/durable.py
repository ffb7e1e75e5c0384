"""Writing so that a crash at any instruction leaves what was there before, or what was to be there, and never a part."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(descriptor: int, data: bytes) -> None:
    """Write all of it, and return when the disk has it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fdatasync(descriptor)


def replace_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put a file in place whole, or not at all; by itself for its owner alone."""
    unfinished = path.with_name(f"{path.name}.tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        write_durably(descriptor, data)
    finally:
        os.close(descriptor)
    unfinished.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
