"""Pictures that an agent's tools write into a folder: found, looked at from outside, and copied, each once.

The folder and all in it are the agent's: no link is followed, nothing but ordinary files is opened, and of each file only its
first bytes are interpreted. A file is taken once it has been the same for a while.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from axiom_sandbox.supervising.picture_headers import HEADER_BYTES, Header, read_header
from axiom_sandbox.supervising.settings import SandboxSettings

MOST_BYTES = 8 * 1024 * 1024
MOST_PIXELS = 50_000_000
"""Of one picture."""
_MOST_ENTRIES = 1000
"""Of the folder, so many are looked at."""
_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE = 256 * 1024

_Look = tuple[int, int, int]
"""By which a file is known to be the same: inode, time of its last change, size."""


@dataclass(frozen=True)
class Found:
    """A picture that is new, or has changed."""

    name: str
    header: Header | None
    fault: str = ""
    """Why it was not copied."""


class PictureFolder:
    """One folder. Every method blocks."""

    def __init__(self, base: Path, parts: tuple[str, ...]) -> None:
        """`base` is trusted, `parts` lead from there to the folder, which need not exist."""
        self._base, self._parts = base, parts
        self._known: dict[str, _Look] = {}
        self._seen: dict[str, _Look] = {}

    def take(self, target: Path, *, settled: bool = False) -> Found | None:
        """Copies one picture to `target`; None if there is none. With `settled` nothing is being written any more."""
        try:
            folder = self._open()
        except OSError:
            return None
        try:
            return self._take_from(folder, target, settled)
        finally:
            os.close(folder)

    def _open(self) -> int:
        descriptor = os.open(self._base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in self._parts:
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _take_from(self, folder: int, target: Path, settled: bool) -> Found | None:
        for name in self._pictures(folder):
            try:
                look = _look(os.stat(name, dir_fd=folder, follow_symlinks=False))
            except OSError:
                continue
            if look is None or self._known.get(name) == look:
                continue
            if not settled and self._seen.get(name) != look:
                self._seen[name] = look
                continue
            self._known[name] = look
            self._seen.pop(name, None)
            if found := _copied(folder, name, target):
                return found
        return None

    def _pictures(self, folder: int) -> list[str]:
        names = list[str]()
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= _MOST_ENTRIES:
                    break
                if entry.name.lower().endswith(_SUFFIXES):
                    names.append(entry.name)
        return sorted(names)


def picture_folder(settings: SandboxSettings, path: str) -> PictureFolder | None:
    """The folder that the agent sees at this path; None if it is in no place that both sides see."""
    places = (
        (settings.inside.workspace, settings.workspace),
        (settings.inside.home, settings.home),
        ("/tmp", settings.tmp),  # noqa: S108 - the sandbox's own
    )
    for inside, base in places:
        if base and f"{path}/".startswith(f"{inside}/"):
            return PictureFolder(base, tuple(part for part in path[len(inside) :].split("/") if part))
    return None


def _look(status: os.stat_result) -> _Look | None:
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _copied(folder: int, name: str, target: Path) -> Found | None:
    """None for what is no picture, whatever it is called."""
    shown = name.encode(errors="replace").decode()
    try:
        with os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                return None
            first = source.read(HEADER_BYTES)
            header = read_header(first)
            if header is None:
                return None
            if header.width * header.height > MOST_PIXELS:
                return Found(shown, header, f"it has {header.width}x{header.height} pixels")
            with target.open("wb") as copy:
                size = copy.write(first)
                while size <= MOST_BYTES and (piece := source.read(_PIECE)):
                    size += copy.write(piece)
    except OSError:
        return None
    if size > MOST_BYTES:
        target.unlink(missing_ok=True)
        return Found(shown, header, f"it has more than {MOST_BYTES // 2**20} MiB")
    return Found(shown, header)
