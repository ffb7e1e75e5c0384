"""What an agent changed: the difference between a base and a workspace, as one archive that can be applied.

The *changes archive* is a tar.zst: first `changes.json` (protocol.Changes), then `files/<sha256>`, each content once.
A file's digest is that of the very bytes that are archived, taken in the same pass, so nobody gains by changing
files meanwhile.

Left out: `.git` (a finding where hooks or configuration changed), caches and bytecode (`paths.is_derived`), and
whatever `trees` calls a finding. A path of the base where a finding now lies counts as deleted: what is there
cannot be taken over, and what was there is gone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from axiom_sandbox.protocol.changes import Change, ChangeKind, Changes, Entry, EntryKind, Finding
from axiom_sandbox.snapshots import manifests
from axiom_sandbox.snapshots.archives import Hashed, Member, digest_of, members, writing_archive
from axiom_sandbox.snapshots.errors import ArchiveError, SnapshotError
from axiom_sandbox.snapshots.messages import is_program
from axiom_sandbox.snapshots.paths import (
    check_path,
    is_derived,
    is_git,
    is_git_control,
    is_git_store,
    leaves_tree,
    printable,
)
from axiom_sandbox.snapshots.trees import CAPTURE_LIMITS, Limits, OpenFile, Selection, Tree, copy_hashed, walk
from axiom_sandbox.snapshots.writing import Writer

_MANIFEST = "changes.json"
_FOLDER = "files/"
_MAX_MANIFEST_BYTES = 256 * 1024 * 1024
_MAX_ARCHIVE_BYTES = 16 * 1024 * 1024 * 1024


@dataclass(frozen=True)
class CaptureResult:
    """One capture."""

    changes: Changes
    archive: Path
    """The changes archive: `<out_dir>/<digest>.tar.zst`."""
    digest: str
    """SHA-256 of the changes archive, in hexadecimal."""
    size: int
    """Bytes of the changes archive."""
    fingerprint: str
    """SHA-256 over the changes: equal for two captures exactly when the candidates are equal."""
    complete: bool
    """False: a limit ended the reading; findings say which, and paths that were not reached count as unchanged."""


def capture(
    base: Tree,
    root: Path,
    out_dir: Path,
    limits: Limits = CAPTURE_LIMITS,
    git: Mapping[str, Entry] = MappingProxyType({}),
) -> CaptureResult:
    """The difference between `base` and the workspace at `root`, written to `out_dir`, which is ours alone.

    Args:
        limits: files and bytes are counted beyond those of the base, so that a large one leaves room for changes.
        git: hooks and configuration of git's that are no finding as long as they are so, besides those of the base.

    Raises:
        OSError: `root` cannot be read at all, or `out_dir` not written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".capture-", dir=out_dir) as staging:
        now = walk(root, _beyond(base, limits), _Stage(base, Path(staging)).consume, _selection(base))
        changes = compare(base, now, git)
        return _write(changes, Path(staging), out_dir, complete=now.complete)


def capture_files(
    base: Tree, files: Mapping[str, bytes], findings: Sequence[Finding], out_dir: Path
) -> CaptureResult:
    """The same of files that are given instead of a workspace: the base with these, and what was found of them.

    Raises:
        OSError: `out_dir` cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    entries = dict(base.entries)
    with tempfile.TemporaryDirectory(prefix=".capture-", dir=out_dir) as staging:
        for path, content in files.items():
            digest = hashlib.sha256(content).hexdigest()
            (Path(staging) / digest).write_bytes(content)
            executable = is_program(path, content, base.entries)
            entries[path] = Entry(path, EntryKind.FILE, executable, len(content), digest)
        changes = compare(base, Tree(entries, tuple(findings)))
        return _write(changes, Path(staging), out_dir, complete=True)


def _beyond(base: Tree, limits: Limits) -> Limits:
    return replace(
        limits,
        max_files=limits.max_files + len(base.entries),
        max_total_bytes=limits.max_total_bytes + sum(entry.size for entry in base.entries.values()),
    )


def compare(base: Tree, now: Tree, git: Mapping[str, Entry] = MappingProxyType({})) -> Changes:
    """The difference between two trees, `.git` and what tools make by themselves left out. Pure."""
    before, after = _compared(base.entries), _compared(now.entries)
    changes = [_change(before.get(path), entry) for path, entry in after.items() if before.get(path) != entry]
    if now.complete:
        changes += [Change(path=path, kind=ChangeKind.DELETED) for path in before.keys() - after.keys()]
    ordered = sorted(changes, key=lambda change: os.fsencode(change.path))
    findings = (*now.findings, *_git_findings({**git, **base.entries}, now.entries))
    return Changes(base=base.digest, changes=tuple(ordered), findings=findings)


def applied(base: Tree, changes: Changes) -> Tree:
    """The tree that `apply_changes` makes of `base`. Pure."""
    entries = dict(base.entries)
    for change in changes.changes:
        if change.entry is None:
            entries.pop(change.path, None)
        else:
            entries[change.path] = change.entry
    return Tree(dict(sorted(entries.items(), key=lambda item: os.fsencode(item[0]))))


def fingerprint(changes: Changes) -> str:
    """SHA-256 over the canonical form of the changes, in hexadecimal. Findings do not count."""
    digest = hashlib.sha256()
    for piece in manifests.written(Changes(base=changes.base, changes=changes.changes)):
        digest.update(piece)
    return digest.hexdigest()


def read_changes(archive: Path) -> Changes:
    """The list in a changes archive, without its files. Raises ArchiveError."""
    for member in members(archive, _MAX_ARCHIVE_BYTES):
        return _parse(member.path, member.size, member.chunks())
    raise ArchiveError("the changes archive is empty")


@contextmanager
def open_changes(archive: Path) -> Iterator[tuple[Changes, Iterator[tuple[str, int, Iterator[bytes]]]]]:
    """The list in a changes archive, and the contents that it names: digest, bytes, chunks; each to be read before the next.

    Raises ArchiveError, also while contents are read: damaged, one too many, one missing.
    """
    reader = members(archive, _MAX_ARCHIVE_BYTES)
    first = next(reader, None)
    if first is None:
        raise ArchiveError("the changes archive is empty")
    changes = _parse(first.path, first.size, first.chunks())
    yield changes, _contents(reader, set(_by_digest(changes)))


def _contents(reader: Iterator[Member], wanted: set[str]) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    for member in reader:
        digest = member.path.removeprefix(_FOLDER)
        if member.path != _FOLDER + digest or digest not in wanted:
            raise ArchiveError(f"the changes archive holds {printable(member.path)!r}, which no change names")
        wanted.remove(digest)
        yield digest, member.size, member.chunks()
    if wanted:
        raise ArchiveError(f"the changes archive lacks the content {min(wanted)}")


def apply_changes(archive: Path, root: Path) -> Changes:
    """Applies a changes archive to the unpacked base at `root`, which nobody else may be writing.

    Raises:
        ArchiveError: the archive is damaged, or a file's content does not have its digest.
        SnapshotError: it does not fit what lies at `root`.
        After an error `root` is half changed; throw it away.
    """
    with open_changes(archive) as (changes, contents), Writer(root) as writer:
        files = _by_digest(changes)
        for change in changes.changes:
            if change.kind is not ChangeKind.ADDED:
                writer.remove(change.path)
        for digest, _, chunks in contents:
            _place(writer, root, files[digest], digest, chunks)
        for change in changes.changes:
            if change.entry and change.entry.kind is EntryKind.SYMLINK:
                writer.symlink(change.path, change.entry.target)
    return changes


@dataclass
class _Stage:
    """Reads files, and keeps the content of those that differ from the base under its digest."""

    base: Tree
    folder: Path

    def consume(self, file: OpenFile) -> tuple[int, str]:
        before = self.base.entries.get(file.path)
        if is_git(file.path) or self._looks_unchanged(file, before):
            size, digest = copy_hashed(file)
            if is_git(file.path) or (before and before.digest == digest):
                return size, digest
            os.lseek(file.descriptor, 0, os.SEEK_SET)
        partial = self.folder / "partial"
        with partial.open("wb") as sink:
            size, digest = copy_hashed(file, sink)
        partial.rename(self.folder / digest)
        return size, digest

    def _looks_unchanged(self, file: OpenFile, before: Entry | None) -> bool:
        """Copying what turns out to be unchanged would cost more than reading the few that changed twice."""
        now = (file.executable, os.fstat(file.descriptor).st_size)
        return before is not None and (before.executable, before.size) == now


def _selection(base: Tree) -> Selection:
    def wants(path: str, is_directory: bool) -> bool:
        if is_git(path):
            return not is_git_store(path) if is_directory else is_git_control(path)
        return not is_derived(path)

    def allowance(path: str) -> int:
        entry = base.entries.get(path)
        return entry.size if entry else 0

    return Selection(wants, allowance)


def _compared(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    return {path: entry for path, entry in entries.items() if not is_git(path) and not is_derived(path)}


def _change(before: Entry | None, now: Entry) -> Change:
    return Change(path=now.path, kind=ChangeKind.MODIFIED if before else ChangeKind.ADDED, entry=now)


def _git_findings(before: Mapping[str, Entry], now: Mapping[str, Entry]) -> Iterator[Finding]:
    controls = {path for path in now if is_git_control(path)}
    for path in sorted(controls, key=os.fsencode):
        if before.get(path) != now[path]:
            yield Finding(path=printable(path), reason="is a git hook or git configuration that changed")


def _write(changes: Changes, staging: Path, out_dir: Path, *, complete: bool) -> CaptureResult:
    manifest, out = staging / "manifest", staging / "archive"
    with manifest.open("wb") as file:
        file.writelines(manifests.written(changes))
    with writing_archive(out) as archive:
        for name, path in [
            (_MANIFEST, manifest),
            *((_FOLDER + d, staging / d) for d in sorted(_by_digest(changes))),
        ]:
            with path.open("rb") as source:
                archive.file(name, source, path.stat().st_size)
    digest = digest_of(out)
    final = out.rename(out_dir / f"{digest}.tar.zst")
    return CaptureResult(changes, final, digest, final.stat().st_size, fingerprint(changes), complete)


def _parse(name: str, size: int, chunks: Iterable[bytes]) -> Changes:
    if name != _MANIFEST or size > _MAX_MANIFEST_BYTES:
        raise ArchiveError(f"the changes archive begins with {printable(name)!r}, not with its list")
    try:
        changes = manifests.read(chunks)
    except ValueError as error:
        raise ArchiveError("the changes archive's list cannot be read") from error
    for change in changes.changes:
        _check(change)
    return changes


def _check(change: Change) -> None:
    try:
        check_path(change.path)
    except SnapshotError as error:
        raise ArchiveError(f"the changes archive is refused: {error}") from error
    path, entry = printable(change.path), change.entry
    if is_git(change.path) or is_derived(change.path):
        raise ArchiveError(f"the changes archive is refused: {path!r} is never part of a change")
    if (entry is None) != (change.kind is ChangeKind.DELETED) or (entry and entry.path != change.path):
        raise ArchiveError(f"the changes archive is refused: the change of {path!r} contradicts itself")
    if entry and entry.kind is EntryKind.SYMLINK and leaves_tree(entry.path, entry.target):
        raise ArchiveError(f"the changes archive is refused: {path!r} is a symlink that leaves the workspace")


def _by_digest(changes: Changes) -> dict[str, list[Entry]]:
    files: dict[str, list[Entry]] = {}
    for change in changes.changes:
        if change.entry and change.entry.kind is EntryKind.FILE:
            files.setdefault(change.entry.digest, []).append(change.entry)
    return files


def _place(writer: Writer, root: Path, entries: list[Entry], digest: str, chunks: Iterable[bytes]) -> None:
    first, *others = entries
    hashed = Hashed(chunks)
    writer.file(first.path, hashed, executable=first.executable)
    if hashed.digest != digest:
        raise ArchiveError(
            f"the changes archive is damaged: {printable(first.path)!r} does not have its digest"
        )
    for entry in others:
        with (root / first.path).open("rb") as source:
            writer.file(entry.path, iter(lambda: source.read(1 << 18), b""), executable=entry.executable)
