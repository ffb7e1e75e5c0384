"""Programs on a disk that fails at a call that the test chooses: `disk.c`, preloaded into a process that forks for each of them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("disk.c")
UNMEASURED = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


class Kind(IntEnum):
    """What goes wrong; the numbers are those of disk.c."""

    ANY = 1
    """A call fails."""
    SPACE = 2
    """A call that needs space fails."""
    SHORT = 3
    """A write takes half of what it was given, and no later one takes anything."""
    LOST = 4
    """An fsync fails, and what was written since the last one is gone."""


@dataclass(frozen=True)
class Fault:
    """A kind, and how it shows."""

    kind: Kind
    error: int
    forever: bool
    """All later calls fail, too."""

    @property
    def name(self) -> str:
        return f"{self.kind.name}-{errno.errorcode[self.error]}-{'on' if self.forever else 'once'}"


FAULTS = (
    Fault(Kind.ANY, errno.EIO, False),
    Fault(Kind.ANY, errno.EIO, True),
    Fault(Kind.SPACE, errno.ENOSPC, False),
    Fault(Kind.SPACE, errno.ENOSPC, True),
    Fault(Kind.SPACE, errno.EDQUOT, True),
    Fault(Kind.SHORT, errno.ENOSPC, True),
    Fault(Kind.LOST, errno.EIO, False),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a program."""

    told: list[Any]
    """What it was told is durable, in order."""
    error: str
    """The name of the error with which it ended; empty: none."""
    expected: bool
    """The error is one that its caller is told of in the documentation."""
    calls: int
    """To which the fault could have happened."""


class FailingDisk:
    """Runs programs of `programs`, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, program: str, folder: Path, fault: Fault, nth: int) -> Outcome:
        """`nth` 0: no call fails, and they are counted."""
        assert self._process.stdin
        assert self._process.stdout
        asked = [program, str(folder), nth, int(fault.kind), fault.error, int(fault.forever)]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Outcome(*json.loads(self._process.stdout.readline()))


@contextmanager
def failing_disk(folder: Path) -> Iterator[FailingDisk]:
    """Compiles the shim in `folder`. FileNotFoundError: there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("a C compiler")
    shim = folder / "disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, SOURCE, "-ldl"], check=True)
    environment = {**UNMEASURED, "LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.programs"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
    ) as process:  # fmt: skip
        yield FailingDisk(process)
        assert process.stdin
        process.stdin.close()
