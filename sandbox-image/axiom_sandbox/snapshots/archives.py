"""A tree as one file: tar in zstd, the same bytes for the same tree.

Members are sorted, owned by 0:0, dated 1970; files are 0644 or 0755. An archive holds files, symlinks that stay
inside, and directories that would otherwise be lost because they are empty; nothing else is written or read.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, BinaryIO, Self, cast

import zstandard

from axiom_sandbox.protocol.changes import Entry, EntryKind
from axiom_sandbox.snapshots.errors import ArchiveError, SnapshotError
from axiom_sandbox.snapshots.paths import check_path, leaves_tree, printable
from axiom_sandbox.snapshots.trees import (
    BASE_LIMITS,
    CHUNK_BYTES,
    Amount,
    Limits,
    OpenFile,
    Selection,
    Tree,
    copy_hashed,
    walk,
)
from axiom_sandbox.snapshots.writing import Writer

_LEVEL = 3
_IN_MEMORY_BYTES = 4 * 1024 * 1024
_ROOT = frozenset({".", "./"})
_MAX_HEADER_BYTES = 256 * 1024
_EXTENSIONS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)


@dataclass(frozen=True)
class ArchiveInfo:
    """An archive that was just written."""

    digest: str
    """SHA-256 of the file, in hexadecimal."""
    size: int
    """Bytes of the file."""
    files: int
    """Files and symlinks in it."""
    bytes: int
    """Bytes of all files in it, before compression."""
    tree: Tree
    """What it holds, and what was left out of it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it."""
        findings = self.tree.findings
        if not findings:
            return ()
        first = findings[0]
        return (f"{len(findings)} entries are left out, such as {first.path!r}, which {first.reason}",)


def pack(
    root: Path | int,
    out: Path,
    limits: Limits = BASE_LIMITS,
    amount: Amount | None = None,
    selection: Selection | None = None,
) -> ArchiveInfo:
    """The tree below `root`, or what a selection wants of it → an archive at `out`. A number is an open directory.

    Every file is read once, and counted in `amount`.

    What cannot be archived is left out and listed in `ArchiveInfo.tree.findings`.

    Raises:
        SnapshotError: the tree is larger than `limits` allow.
        OSError: `root` cannot be read or `out` not written.
    """
    counted = amount or Amount()
    with writing_archive(out) as archive:

        def consume(file: OpenFile) -> tuple[int, str]:
            size, digest = archive.consume(file)
            counted.add(size)
            return size, digest

        tree = walk(root, limits, consume, selection)
        if not tree.complete:
            raise SnapshotError(f"the workspace cannot be packed: {tree.findings[-1].reason}")
        for entry in tree.entries.values():
            if entry.kind is EntryKind.SYMLINK:
                archive.symlink(entry.path, entry.target)
        for path in tree.empty_directories:
            archive.directory(path)
    digest = digest_of(out)
    total = sum(entry.size for entry in tree.entries.values())
    return ArchiveInfo(digest, out.stat().st_size, len(tree.entries), total, replace(tree, digest=digest))


def unpack(
    archive: Path,
    root: Path,
    limits: Limits = BASE_LIMITS,
    amount: Amount | None = None,
    most_bytes: int | None = None,
) -> Tree:
    """An archive → files below `root`, which is made if it is missing; nothing that exists is replaced.

    Args:
        archive: made by `pack`.
        root: where to.
        limits: of any archive.
        amount: counts what was written.
        most_bytes: of all files together; None: as the limits say.

    Raises:
        ArchiveError: it is damaged, too large, or holds something that leaves the root or is special.
        SnapshotError: something is already in the way below `root`, or the files have more than `most_bytes`.
    """
    with Writer(root) as writer:
        return _read(archive, limits, writer, amount or Amount(), most_bytes)


def read_tree(archive: Path, limits: Limits = BASE_LIMITS) -> Tree:
    """What `unpack` would write, without writing it. Raises ArchiveError."""
    return _read(archive, limits, None, Amount(), None)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


class ArchiveWriter:
    """Appends members to an archive, in the order in which they are given."""

    def __init__(self, tar: tarfile.TarFile, scratch: Path) -> None:
        self._tar = tar
        self._scratch = scratch

    def consume(self, file: OpenFile) -> tuple[int, str]:
        """Appends a file, with the digest of the very bytes appended. Raises TooLargeError."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(self._scratch)) as spooled:
            spool = cast(BinaryIO, spooled)
            size, digest = copy_hashed(file, spool)
            spool.seek(0)
            self.file(file.path, spool, size, executable=file.executable)
        return size, digest

    def file(self, path: str, source: IO[bytes], size: int, *, executable: bool = False) -> None:
        """Appends a file of exactly `size` bytes."""
        member = _member(path, tarfile.REGTYPE, 0o755 if executable else 0o644)
        member.size = size
        self._tar.addfile(member, source)
        forget_members(self._tar)

    def symlink(self, path: str, target: str) -> None:
        """Appends a symlink."""
        member = _member(path, tarfile.SYMTYPE, 0o777)
        member.linkname = target
        self._tar.addfile(member)
        forget_members(self._tar)

    def directory(self, path: str) -> None:
        """Appends a directory."""
        self._tar.addfile(_member(path, tarfile.DIRTYPE, 0o755))


@contextmanager
def writing_archive(out: Path) -> Iterator[ArchiveWriter]:
    """An archive that appears at `out`, whole and durable, when the block ends without an error."""
    partial = out.with_name(f"{out.name}.partial")
    try:
        with partial.open("wb") as target:
            compressor = zstandard.ZstdCompressor(level=_LEVEL)
            with (
                compressor.stream_writer(target, closefd=False) as stream,
                tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar,
            ):
                yield ArchiveWriter(tar, out.parent)
            target.flush()
            os.fsync(target.fileno())
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Member:
    """One member of an archive that is being read."""

    path: str
    kind: EntryKind | None
    """None: a directory."""
    executable: bool
    size: int
    target: str
    source: IO[bytes] | None

    def chunks(self) -> Iterator[bytes]:
        """The file's content, once."""
        while self.source and (chunk := self.source.read(CHUNK_BYTES)):
            yield chunk


def members(archive: Path, most_bytes: int) -> Iterator[Member]:
    """The members of an archive, checked one by one; the content of each must be read before the next.

    Raises:
        ArchiveError: it is damaged, unpacks to more than `most_bytes`, or holds what no archive of ours holds.
    """
    try:
        with archive.open("rb") as source:
            stream = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
            bounded = cast(BinaryIO, Bounded(stream, most_bytes))
            with tarfile.open(fileobj=bounded, mode="r|", tarinfo=CheckedTarInfo, encoding="utf-8") as tar:
                for info in infos(tar):
                    if info.isdir() and info.name in _ROOT:
                        continue
                    yield _checked(tar, info)
    except (tarfile.TarError, zstandard.ZstdError, EOFError, UnicodeError) as error:
        raise ArchiveError(f"the archive is damaged: {error}") from error


def _checked(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    path = info.name.removeprefix("./").rstrip("/")
    try:
        check_path(path)
    except SnapshotError as error:
        raise ArchiveError(f"the archive is refused: {error}") from error
    if info.isdir():
        return Member(path, None, executable=True, size=0, target="", source=None)
    if info.issym():
        if leaves_tree(path, info.linkname):
            raise ArchiveError(
                f"the archive is refused: {printable(path)!r} is a symlink that leaves the workspace"
            )
        return Member(path, EntryKind.SYMLINK, executable=False, size=0, target=info.linkname, source=None)
    if not info.isreg() or info.issparse():
        raise ArchiveError(
            f"the archive is refused: {printable(path)!r} is neither file, symlink nor directory"
        )
    return Member(path, EntryKind.FILE, bool(info.mode & 0o100), info.size, "", tar.extractfile(info))


def _read(
    archive: Path, limits: Limits, writer: Writer | None, amount: Amount, most_bytes: int | None
) -> Tree:
    entries: dict[str, Entry] = {}
    directories: list[str] = []
    most = limits.max_total_bytes + limits.max_files * 4096
    for member in members(archive, most):
        if len(entries) + len(directories) >= limits.max_files:
            raise ArchiveError(f"the archive is refused: it holds more than {limits.max_files} files")
        if member.size > limits.max_file_bytes:
            raise ArchiveError(
                f"the archive is refused: {printable(member.path)!r} is larger than {limits.max_file_bytes} bytes"
            )
        if member.path in entries:
            raise ArchiveError(f"the archive is refused: {printable(member.path)!r} is in it twice")
        if member.kind is None:
            directories.append(member.path)
            if writer:
                writer.directory(member.path)
        else:
            if most_bytes is not None and amount.bytes + member.size > most_bytes:
                raise SnapshotError(f"its files have more than {most_bytes:,} bytes")
            entries[member.path] = _take(member, writer)
            amount.add(member.size)
    return Tree(entries, (), _only_empty(directories, entries), complete=True, digest=digest_of(archive))


def _take(member: Member, writer: Writer | None) -> Entry:
    if member.kind is EntryKind.SYMLINK:
        if writer:
            writer.symlink(member.path, member.target)
        return Entry(path=member.path, kind=EntryKind.SYMLINK, target=member.target)
    hashed = Hashed(member.chunks())
    if writer:
        writer.file(member.path, hashed, executable=member.executable)
    else:
        for _ in hashed:
            pass
    if hashed.size != member.size:
        raise ArchiveError(f"the archive is damaged: {printable(member.path)!r} ends early")
    return Entry(
        path=member.path,
        kind=EntryKind.FILE,
        executable=member.executable,
        size=hashed.size,
        digest=hashed.digest,
    )


@dataclass
class Hashed:
    """Chunks on their way through, counted and digested."""

    chunks: Iterable[bytes]
    size: int = 0
    _sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.size += len(chunk)
            self._sha256.update(chunk)
            yield chunk

    @property
    def digest(self) -> str:
        """SHA-256 of what went through so far, in hexadecimal."""
        return self._sha256.hexdigest()


def _only_empty(directories: list[str], entries: dict[str, Entry]) -> tuple[str, ...]:
    if not directories:
        return ()
    parents = {path[:i] for path in [*entries, *directories] for i, char in enumerate(path) if char == "/"}
    return tuple(path for path in directories if path not in parents)


def _member(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.mode = kind, mode
    return member


def infos(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members' headers, one after the other."""
    while (info := tar.next()) is not None:
        yield info
        forget_members(tar)


def forget_members(tar: tarfile.TarFile) -> None:
    """tarfile keeps the header of every member, read or written, until the end: with many files that is most of memory."""
    tar.members = []  # type: ignore[attr-defined] # public, and missing in the stubs


class Bounded:
    """A decompressed stream that ends with an error after so many bytes."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._left = most

    def read(self, size: int) -> bytes:
        """Raises ArchiveError."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError("the archive is refused: it unpacks to more than is allowed")
        return data


class CheckedTarInfo(tarfile.TarInfo):
    """Refuses extension headers that tarfile would read into memory whole, whatever their size."""

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        """Raises ArchiveError. Every header comes by here before anything of its content is read."""
        if self.type in _EXTENSIONS and self.size > _MAX_HEADER_BYTES:
            raise ArchiveError("the archive is refused: it has a header that is too long")
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return] # meant to be overridden, and missing in the stubs
