"""Which process a thing belongs to, in a way that still tells after that process is gone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_START_FIELD = 19
"""Of /proc/<pid>/stat, counted after the command's closing bracket: when the process started, in ticks since boot."""


@dataclass(frozen=True)
class Owner:
    """A process of one boot of one machine; pids alone come again."""

    boot: str
    namespace: str
    """The PID namespace that counts it: in another one its pid means somebody else."""
    pid: int
    started: int

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(_boot(), _namespace(), os.getpid(), _started(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From `str(owner)`; None for anything else."""
        parts = text.split("/")
        if len(parts) != 4 or not (parts[2].isdigit() and parts[3].isdigit()):
            return None
        return cls(parts[0], parts[1], int(parts[2]), int(parts[3]))

    def __str__(self) -> str:
        return f"{self.boot}/{self.namespace}/{self.pid}/{self.started}"

    def is_gone(self) -> bool:
        """It certainly lives no more. False also for what cannot be seen from here."""
        if self.boot != _boot():
            return True
        return self.namespace == _namespace() and _started(self.pid) != self.started


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[_START_FIELD])
