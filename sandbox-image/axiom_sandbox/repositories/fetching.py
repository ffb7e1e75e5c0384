"""One revision of a repository as a base archive: the very bytes that the repository holds, and no history."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.git import Git
from axiom_sandbox.snapshots.archives import ArchiveInfo, pack
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.snapshots.trees import Amount

_GITLINK = b"160000"
_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_POINTER_BYTES = 1024
_NAMED = 5
"""Submodules that a note names."""
_AS_STORED = "* -text -ident -filter !working-tree-encoding\n"
"""Whatever a repository's .gitattributes say: no filter runs, and no line end is rewritten, so that a diff against this
base is a diff against the repository."""


@dataclass(frozen=True)
class Fetched:
    """What was fetched."""

    commit: str
    """The whole commit id."""
    info: ArchiveInfo
    notes: tuple[str, ...]
    """What a person should know of it."""


@dataclass(frozen=True)
class Fetch:
    """A revision to be fetched."""

    access: Access
    revision: str
    """Commit, which may be abbreviated, tag or branch."""
    submodules: bool
    protocols: str
    """What git may speak, separated by colons."""

    async def to(self, archive: Path, folder: Path, amount: Amount | None = None) -> Fetched:
        """Fetches without history where the server allows it, and packs the tree.

        Args:
            archive: what to write.
            folder: where to work; emptied before, gone afterwards.
            amount: counts what was packed.

        Raises:
            RepositoryError: there is no archive.
        """
        shutil.rmtree(folder, ignore_errors=True)
        tree, scratch = folder / "tree", folder / "scratch"
        tree.mkdir(parents=True)
        scratch.mkdir()
        git = Git(tree, scratch, self.access, self.protocols)
        try:
            commit = await self._checked_out(git)
            notes = await self._submodules(git)
            await asyncio.to_thread(_forget_git, tree)
            info = await asyncio.to_thread(pack, tree, archive, amount=amount)
        except (SnapshotError, OSError) as error:
            raise RepositoryError(
                f"the tree of {self.access.url} at {self.revision} cannot be taken: {error}"
            ) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return Fetched(commit, info, (*notes, *info.notes))

    async def _checked_out(self, git: Git) -> str:
        url = self.access.url
        await git("init", "--quiet", "--template=")
        await git("config", "remote.origin.url", url)  # submodules may be named relative to it
        try:
            await git("fetch", "--quiet", "--depth=1", "--no-tags", url, self.revision)
            commit = await self._resolved(git, "FETCH_HEAD")
        except RepositoryError:
            # A server may refuse single commits, and knows no abbreviated ones: then everything, and look there.
            await git("fetch", "--quiet", "--tags", url, "+refs/heads/*:refs/remotes/origin/*")
            commit = await self._resolved(
                git, f"refs/remotes/origin/{self.revision}", f"refs/tags/{self.revision}", self.revision
            )
        await git("read-tree", commit)
        large = await git("ls-files", "-z", "--", ":(attr:filter=lfs)")
        (git.folder / ".git" / "info").mkdir(exist_ok=True)
        (git.folder / ".git" / "info" / "attributes").write_text(_AS_STORED)
        await git("checkout", "--quiet", "--force", "--detach", commit)
        self._refuse_pointers(git.folder, large)
        return commit

    async def _resolved(self, git: Git, *candidates: str) -> str:
        for candidate in candidates:
            try:
                return (
                    (await git("rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}"))
                    .decode()
                    .strip()
                )
            except RepositoryError:
                continue
        raise RepositoryError(
            f"the repository has no revision {self.revision!r}; correct {self.access.member('revision')}"
        )

    async def _submodules(self, git: Git) -> tuple[str, ...]:
        names = _submodules_of(await git("ls-files", "-z", "--stage"))
        if not names:
            return ()
        if not self.submodules:
            shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if names[_NAMED:] else "")
            return (
                f"submodules are left empty: {shown}; {self.access.member('submodules')}: true fetches them",
            )
        await git("submodule", "--quiet", "update", "--init", "--recursive", "--checkout", "--depth=1")
        for folder in await asyncio.to_thread(_repositories_below, git.folder):
            self._refuse_pointers(folder, await git("ls-files", "-z", "--", ":(attr:filter=lfs)", at=folder))
        return (f"{len(names)} submodules are in it",)

    def _refuse_pointers(self, folder: Path, listed: bytes) -> None:
        """Raises RepositoryError for files whose content lies in Git LFS. `listed` is NUL-separated."""
        pointers = [
            path for path in listed.split(b"\0") if path and _is_pointer(os.fsencode(folder) + b"/" + path)
        ]
        if pointers:
            raise RepositoryError(
                f"{printable(os.fsdecode(pointers[0]))!r} lies in Git LFS, and so do {len(pointers) - 1} other files of"
                f" {self.access.url} at {self.revision}: the repository holds only pointers, and LFS is not fetched."
                f" Name a revision without LFS, or give the files with their content as spec.workspace.archive"
            )


def _submodules_of(stages: bytes) -> list[str]:
    """From `git ls-files --stage -z`."""
    lines = (line.partition(b"\t") for line in stages.split(b"\0") if line.startswith(_GITLINK))
    return [printable(os.fsdecode(path)) for _, _, path in lines]


def _is_pointer(path: bytes) -> bool:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:  # noqa: PTH123 - a name of bytes
            head = file.read(_MAX_POINTER_BYTES + 1)
    except OSError:
        return False  # a symlink, or not checked out
    return len(head) <= _MAX_POINTER_BYTES and head.startswith(_POINTER)


def _repositories_below(root: Path) -> list[Path]:
    """Folders of submodules, at any depth."""
    return [Path(folder) for folder, _, names in os.walk(root) if ".git" in names]


def _forget_git(root: Path) -> None:
    """Removes `.git` and, in submodules, the files of this name that would lead to it."""
    for folder in _repositories_below(root):
        (folder / ".git").unlink()
    shutil.rmtree(root / ".git")
