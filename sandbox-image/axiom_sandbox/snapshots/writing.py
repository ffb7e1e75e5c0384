"""Writing below a root without ever following a symlink, whatever lies there already."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.paths import check_path, printable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Writer:
    """Puts files, symlinks and directories below a root. Directories are 0755, files 0644 or 0755.

    Keeps the directories of the path that was written last open, so that a sorted sequence costs one open each.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._names: list[str] = []
        self._descriptors = [os.open(root, _DIRECTORY)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_to(0)
        os.close(self._descriptors.pop())

    def file(self, path: str, chunks: Iterable[bytes], *, executable: bool = False) -> None:
        """A new file. Raises SnapshotError when something is at `path`, or a parent is no directory."""
        parent, name = self._parent(path)
        try:
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        except OSError as error:
            raise _refusal(path, error) from error
        with os.fdopen(descriptor, "wb", buffering=0) as target:
            for chunk in chunks:
                _write_all(target.fileno(), chunk)
            os.fchmod(target.fileno(), 0o755 if executable else 0o644)

    def symlink(self, path: str, target: str) -> None:
        """A new symlink. Where it points is the caller's to check."""
        parent, name = self._parent(path)
        try:
            os.symlink(target, name, dir_fd=parent)
        except OSError as error:
            raise _refusal(path, error) from error

    def directory(self, path: str) -> None:
        """A directory with its parents; it may exist."""
        self._enter(check_path(path).split("/"))

    def discard(self, path: str) -> None:
        """Removes a file or symlink if there is one. Raises SnapshotError when it is a directory."""
        parent, name = self._parent(path)
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refusal(path, error) from error

    def remove(self, path: str) -> None:
        """Removes a file or symlink, and the directories that this leaves empty.

        Raises:
            SnapshotError: it is not there.
        """
        *parents, name = check_path(path).split("/")
        try:
            os.unlink(name, dir_fd=self._enter(parents, create=False))
        except OSError as error:
            raise _refusal(path, error) from error
        while self._names:
            emptied = self._names[-1]
            self._close_to(len(self._names) - 1)
            try:
                os.rmdir(emptied, dir_fd=self._descriptors[-1])
            except OSError:
                return

    def _parent(self, path: str) -> tuple[int, str]:
        *parents, name = check_path(path).split("/")
        return self._enter(parents), name

    def _enter(self, names: list[str], *, create: bool = True) -> int:
        common = 0
        while common < min(len(names), len(self._names)) and names[common] == self._names[common]:
            common += 1
        self._close_to(common)
        for name in names[common:]:
            try:
                self._descriptors.append(_open_directory(name, self._descriptors[-1], create=create))
            except OSError as error:
                raise _refusal("/".join(names), error) from error
            self._names.append(name)
        return self._descriptors[-1]

    def _close_to(self, depth: int) -> None:
        while len(self._names) > depth:
            self._names.pop()
            os.close(self._descriptors.pop())


def clear(root: Path) -> None:
    """Removes everything below `root`, not `root` itself, whatever its depth, names and permissions.

    Nothing may be writing below `root` meanwhile.
    """
    top = os.open(root, _DIRECTORY)
    try:
        heap = f".axiom-cleared-{secrets.token_hex(8)}-"
        waiting, count = _empty_directory(top, top, heap, 0)
        while waiting:
            name = waiting.pop()
            descriptor = _open_for_clearing(name, top)
            try:
                more, count = _empty_directory(descriptor, top, heap, count)
            finally:
                os.close(descriptor)
            waiting += more
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _empty_directory(directory: int, top: int, heap: str, count: int) -> tuple[list[str], int]:
    """Unlinks what is no directory; moves directories up to `top`, so that no depth is ever walked."""
    moved = []
    with os.scandir(directory) as listing:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
    for name, is_directory in entries:
        if not is_directory:
            os.unlink(name, dir_fd=directory)
            continue
        count += 1
        moved.append(f"{heap}{count}")
        os.close(_open_for_clearing(name, directory))
        os.rename(name, moved[-1], src_dir_fd=directory, dst_dir_fd=top)
    return moved, count


def _open_for_clearing(name: str, parent: int) -> int:
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    try:
        if os.fstat(handle).st_mode & 0o700 != stat.S_IRWXU:
            Path(f"/proc/self/fd/{handle}").chmod(0o700)
        return os.open(name, _DIRECTORY, dir_fd=parent)
    finally:
        os.close(handle)


def _open_directory(name: str, parent: int, *, create: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    os.mkdir(name, 0o755, dir_fd=parent)
    descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    # a folder of a workspace, as every checkout has them
    os.fchmod(descriptor, 0o755)  # nosec B103
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _refusal(path: str, error: OSError) -> SnapshotError:
    return SnapshotError(f"{printable(path)[:300]!r} cannot be written or removed: {error.strerror}")
