"""A control group for a local sandbox, where we may make one: the only limit that also holds for root's processes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class ControlGroup:
    """The folders of one group: one for version 2, one for each controller for version 1."""

    folders: tuple[Path, ...]

    @classmethod
    def create(cls, name: str, processes: int, memory_bytes: int) -> ControlGroup | None:
        """Makes a group with these limits. None where this user or this kernel does not allow it."""
        if os.geteuid() != 0:
            return None
        if (_ROOT / "cgroup.controllers").exists():
            wanted = {_ROOT: {"pids.max": processes, "memory.max": memory_bytes}}
        else:
            wanted = {
                _ROOT / "pids": {"pids.max": processes},
                _ROOT / "memory": {"memory.limit_in_bytes": memory_bytes},
            }
        made = []
        for parent, limits in wanted.items():
            folder = parent / name
            try:
                folder.mkdir()
                for file, value in limits.items():
                    _set(folder / file, value)
            except OSError:
                _remove(folder)  # this controller is not to be had here; rlimits and the watchdog remain
                continue
            made.append(folder)
        return cls(tuple(made)) if made else None

    def enter(self) -> None:
        """Moves the calling process in. For use between fork and exec."""
        for folder in self.folders:
            _set(folder / "cgroup.procs", os.getpid())

    def remove(self) -> None:
        """Removes the group once its processes are gone; waits at most a second for them."""
        for folder in self.folders:
            _remove(folder)


def _remove(folder: Path) -> None:
    for _ in range(50):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return


def _set(file: Path, value: int) -> None:
    """Only a file that the kernel made: one that we created would limit nothing."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
