"""What a killed run leaves on this machine, and how the next one finds it.

A run's scratch folder names the process that it belongs to, and each sandbox in it what it has made elsewhere. A run that
ends by itself removes all of it; after `kill -9` nobody does, and the next run looks whose process is gone.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from axiom.backends.owners import Owner
from axiom_sandbox.snapshots.writing import clear

PREFIX = "axiom-"
"""Of everything that we make outside the scratch folder."""
_OWNER = "owner"
_ELSEWHERE = "elsewhere"
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def claim(scratch: Path) -> None:
    """Notes in a run's scratch folder that this process uses it."""
    (scratch / _OWNER).write_text(str(Owner.current()))


def note_elsewhere(folder: Path, made: Path) -> None:
    """Notes in a sandbox's folder (or the scratch folder) a folder that was made somewhere else for it."""
    with (folder / _ELSEWHERE).open("a") as notes:
        notes.write(f"{made}\n")


def made_elsewhere(folder: Path) -> list[Path]:
    """What `note_elsewhere` noted in this folder."""
    try:
        return [Path(line) for line in (folder / _ELSEWHERE).read_text().splitlines()]
    except OSError:
        return []


def remove_leftovers(runs: Path) -> list[Path]:
    """Removes what killed runs left below `runs`, and what that names elsewhere; the runs' folders."""
    removed = []
    for scratch in sorted(runs.glob("*/scratch")):
        owner = _owner_of(scratch)
        if owner is None or not owner.is_gone():
            continue
        for folder in (scratch, *scratch.glob("*")):
            for made in made_elsewhere(folder):
                _remove(made)
        remove_scratch(scratch)
        removed.append(scratch.parent)
    return removed


def remove_scratch(scratch: Path) -> None:
    """Removes a run's scratch folder, and the run's folder if nothing was left there to keep."""
    clear(scratch)  # the agent may have closed folders to itself, and so to us
    shutil.rmtree(scratch, ignore_errors=True)
    with suppress(OSError):
        scratch.parent.rmdir()


def _owner_of(scratch: Path) -> Owner | None:
    try:
        return Owner.parse((scratch / _OWNER).read_text())
    except OSError:
        return None  # it is being made, or removed, at this moment


def _remove(path: Path) -> None:
    if not path.name.startswith(PREFIX):
        return
    if path.is_relative_to(_CONTROL_GROUPS):
        with suppress(OSError):
            path.rmdir()
    else:
        shutil.rmtree(path, ignore_errors=True)
