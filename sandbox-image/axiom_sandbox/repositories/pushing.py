"""A task's result as a branch: one commit on the revision that was fetched, made of the captured changes, and pushed.

There is no working tree: the changes are data that `git fast-import` reads. So no filter, hook, attribute or configuration
of the workspace is looked at, and nothing is forced: a branch that holds other commits stays as it is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from axiom_sandbox.protocol.changes import Change, ChangeKind, Changes, EntryKind
from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.git import Git
from axiom_sandbox.snapshots.captures import open_changes
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.paths import printable

_REF = "refs/heads/result"
_IDENTITY = "Axiom <axiom@localhost>"
_GITLINK = b"160000"


@dataclass(frozen=True)
class Push:
    """A branch to be pushed."""

    source: Access
    """Where the revision was fetched from."""
    commit: str
    """The revision: a whole commit id."""
    base: str
    """Digest of the base archive that the changes must have been captured against."""
    target: Access
    """Where the branch goes."""
    branch: str
    message: str
    time: int
    """Unix time in seconds of the commit. The same each time, so that a push that is repeated changes nothing."""
    protocols: str
    """What git may speak, separated by colons."""

    async def of(self, changes: Path, folder: Path) -> str:
        """Commits and pushes the changes archive → the commit's id; "" when nothing was changed.

        Args:
            changes: the changes archive.
            folder: where to work; emptied before, gone afterwards.

        Raises:
            RepositoryError: nothing was pushed.
        """
        shutil.rmtree(folder, ignore_errors=True)
        repository, scratches = folder / "repository", (folder / "source", folder / "target")
        for made in (repository, *scratches):
            made.mkdir(parents=True)
        try:
            source = Git(repository, scratches[0], self.source, self.protocols)
            target = Git(repository, scratches[1], self.target, self.protocols)
            await self._fetch(source)
            commit = await self._commit(source, changes)
            if commit:
                await self._push(target, commit)
            return commit
        except (SnapshotError, OSError) as error:
            raise RepositoryError(f"the changes cannot be committed: {error}") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _fetch(self, git: Git) -> None:
        await git("init", "--quiet", "--template=")
        url = self.source.url
        try:
            await git("fetch", "--quiet", "--depth=1", "--no-tags", url, self.commit)
        except RepositoryError:  # a server may refuse single commits
            await git("fetch", "--quiet", "--tags", url, "+refs/heads/*:refs/remotes/origin/*")
        try:
            await git("rev-parse", "--verify", "--quiet", f"{self.commit}^{{commit}}")
        except RepositoryError as error:
            raise RepositoryError(
                f"{url} no longer holds the commit {self.commit} that was fetched"
            ) from error

    async def _commit(self, git: Git, archive: Path) -> str:
        links = _gitlinks(await git("ls-tree", "-r", "-z", self.commit))
        with open_changes(archive) as (changes, files):
            if changes.base != self.base:
                raise SnapshotError("they were captured against another base")
            if not changes.changes:
                return ""
            _refuse_submodules(changes, links)
            marks: dict[str, int] = {}
            async with git.running(
                "fast-import", "--quiet", "--done", stdin=asyncio.subprocess.PIPE
            ) as process:
                assert process.stdin is not None
                try:
                    for number, (digest, size, chunks) in enumerate(files, 1):
                        marks[digest] = number
                        process.stdin.write(b"blob\nmark :%d\ndata %d\n" % (number, size))
                        for chunk in chunks:
                            process.stdin.write(chunk)
                            await process.stdin.drain()
                        process.stdin.write(b"\n")
                    for line in self._lines(changes, marks):
                        process.stdin.write(line)
                        await process.stdin.drain()
                except (BrokenPipeError, ConnectionResetError):
                    pass  # git says why
                _, errors = await process.communicate()
            if process.returncode:
                raise git.failure("fast-import", errors)
        return (await git("rev-parse", _REF)).decode().strip()

    def _lines(self, changes: Changes, marks: dict[str, int]) -> Iterator[bytes]:
        message = self.message.encode()
        yield f"commit {_REF}\ncommitter {_IDENTITY} {self.time} +0000\n".encode()
        yield b"data %d\n%b\nfrom %b\n" % (len(message), message, self.commit.encode())
        for change in changes.changes:
            if change.kind is ChangeKind.DELETED:
                yield b"D %b\n" % quoted(change.path)
        for change in changes.changes:
            yield from _placed(change, marks)
        yield b"\ndone\n"

    async def _push(self, git: Git, commit: str) -> None:
        async with git.running(
            "push", "--porcelain", self.target.url, f"{commit}:refs/heads/{self.branch}"
        ) as process:
            output, errors = await process.communicate()
        if process.returncode:
            raise self._refused(
                refusal_in(output.decode(errors="replace")), git.failure("push", errors), commit
            )

    def _refused(self, refusal: Refusal | None, failure: RepositoryError, commit: str) -> RepositoryError:
        """Why the branch was not taken, and the cure; what else went wrong says git itself."""
        field, branch, said = self.target.field, self.branch, str(failure)
        if refusal and not refusal.by_server:
            return RepositoryError(
                f"the branch {branch!r} is there already and holds other commits, and nothing is forced; name another in"
                f" {field}.branch, or delete that one"
            )
        if "shallow" in said or (refusal and "shallow" in refusal.why):
            return RepositoryError(
                f"{self.target.url} does not hold the commit {commit} that the task began with; push to a repository that"
                " does"
            )
        if refusal:
            return RepositoryError(
                f"the server refuses the branch {branch!r}: {printable(refusal.why)}; {said}; where it is protected, or a hook"
                f" decides, allow it to whoever {field}.credentialsSecret is of, or name another in {field}.branch"
            )
        return failure


@dataclass(frozen=True)
class Refusal:
    """A branch that was not taken, by what `git push --porcelain` prints of it."""

    by_server: bool
    """The server decided; else git itself, as the branch would lose commits."""
    why: str


def refusal_in(output: str) -> Refusal | None:
    """The line of a reference that was refused: `!`, from and to, `[rejected] (why)`, with tabs between. Pure."""
    for line in output.splitlines():
        mark, _, rest = line.partition("\t")
        if mark != "!":
            continue
        said = rest.rpartition("\t")[2]
        why = said.partition("(")[2].removesuffix(")") or said
        by_git = said.startswith("[rejected]") or why in ("fetch first", "non-fast-forward")
        return Refusal(by_server=not by_git, why=why)
    return None


def quoted(path: str) -> bytes:
    """A path as fast-import reads it, whatever bytes it has."""
    escaped = b"".join(
        bytes([byte]) if 0x20 <= byte < 0x7F and byte not in b'"\\' else b"\\%03o" % byte
        for byte in os.fsencode(path)
    )
    return b'"%b"' % escaped


def _placed(change: Change, marks: dict[str, int]) -> Iterator[bytes]:
    entry = change.entry
    if entry is None:
        return
    if entry.kind is EntryKind.SYMLINK:
        target = os.fsencode(entry.target)
        yield b"M 120000 inline %b\ndata %d\n%b\n" % (quoted(change.path), len(target), target)
    else:
        mode = b"100755" if entry.executable else b"100644"
        yield b"M %b :%d %b\n" % (mode, marks[entry.digest], quoted(change.path))


def _gitlinks(tree: bytes) -> list[str]:
    """Paths of submodules, from `git ls-tree -r -z`."""
    lines = (line.partition(b"\t") for line in tree.split(b"\0") if line.startswith(_GITLINK))
    return [os.fsdecode(path) for _, _, path in lines]


def _refuse_submodules(changes: Changes, links: list[str]) -> None:
    for change in changes.changes:
        inside = next(
            (link for link in links if change.path == link or change.path.startswith(f"{link}/")), None
        )
        if inside is not None:
            raise RepositoryError(
                f"{printable(change.path)!r} lies in the submodule {printable(inside)!r}, which is a repository of its own:"
                " a branch of this one cannot hold it; take the patch"
            )
