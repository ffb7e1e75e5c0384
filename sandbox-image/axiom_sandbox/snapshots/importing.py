"""Archives that people made, by any tar: their files written below a folder, from where they are packed anew.

Such an archive is sorted by nothing, names owners and times, and may hold a path twice, hard links and special files.
What cannot be taken over is left out and listed.
"""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from axiom_sandbox.protocol.changes import Finding
from axiom_sandbox.snapshots.archives import Bounded, CheckedTarInfo, infos
from axiom_sandbox.snapshots.errors import ArchiveError, SnapshotError
from axiom_sandbox.snapshots.paths import check_path, leaves_tree, printable
from axiom_sandbox.snapshots.trees import BASE_LIMITS, CHUNK_BYTES, Amount, Limits
from axiom_sandbox.snapshots.writing import Writer

_ZSTD, _GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip"}
_MOST_FINDINGS = 1000


def extract(
    archive: Path, root: Path, limits: Limits = BASE_LIMITS, amount: Amount | None = None
) -> tuple[Finding, ...]:
    """tar, tar.gz or tar.zst → files below `root`, which nobody else writes, counted in `amount`; what was left out.

    Raises:
        ArchiveError: it is no such archive, damaged, or larger than `limits` allow.
        SnapshotError: two of its members contradict each other.
    """
    extraction = _Extraction(root, limits, amount or Amount())
    most = limits.max_total_bytes + limits.max_files * 4096
    try:
        with (
            archive.open("rb") as source,
            _decompressed(source) as stream,
            tarfile.open(
                fileobj=cast(BinaryIO, Bounded(stream, most)),
                mode="r|",
                tarinfo=CheckedTarInfo,
                encoding="utf-8",
            ) as tar,
            Writer(root) as writer,
        ):
            for info in infos(tar):
                extraction.take(tar, info, writer)
    except (tarfile.TarError, zstandard.ZstdError, gzip.BadGzipFile, EOFError, UnicodeError) as error:
        raise ArchiveError(f"it is damaged, or no tar, tar.gz or tar.zst: {error}") from error
    return tuple(extraction.findings[:_MOST_FINDINGS])


class _Extraction:
    """One archive on its way to disk."""

    def __init__(self, root: Path, limits: Limits, amount: Amount) -> None:
        self._root, self._limits, self._amount = root, limits, amount
        self.findings: list[Finding] = []

    def take(self, tar: tarfile.TarFile, info: tarfile.TarInfo, writer: Writer) -> None:
        path = info.name.removeprefix("./").rstrip("/")
        if path in {"", "."}:
            return
        check = check_path(path)  # one that leads out makes the whole archive suspicious
        if info.isdir():
            writer.directory(check)
            return
        executable = bool(info.mode & 0o100)
        if info.issym():
            if leaves_tree(path, info.linkname):
                self._leave_out(
                    path, f"is a symlink that leaves the workspace, to {printable(info.linkname)[:200]}"
                )
                return
            writer.discard(path)
            writer.symlink(path, info.linkname)
            self._count(path, 0)
        elif info.islnk():
            self._link(path, info.linkname, writer, executable=executable)
        elif info.isreg() and not info.issparse():
            writer.discard(path)
            writer.file(path, _chunks(tar.extractfile(info)), executable=executable)
            self._count(path, info.size)
        else:
            self._leave_out(path, "is a sparse file" if info.issparse() else "is a special file")

    def _link(self, path: str, target: str, writer: Writer, *, executable: bool) -> None:
        """A hard link becomes a file of its own: every symlink written so far stays inside, so following them is safe."""
        source = self._root / check_path(target.removeprefix("./"))
        if not source.is_file() or source.is_symlink():
            self._leave_out(path, f"is a hard link to {printable(target)[:200]}, which is no file before it")
            return
        if source == self._root / path:
            return
        writer.discard(path)
        with source.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            writer.file(path, _chunks(content), executable=executable)
        self._count(path, size)

    def _count(self, path: str, size: int) -> None:
        self._amount.add(size)
        if size > self._limits.max_file_bytes:
            raise ArchiveError(f"{printable(path)!r} is larger than {self._limits.max_file_bytes:,} bytes")
        if self._amount.files > self._limits.max_files:
            raise ArchiveError(f"it holds more than {self._limits.max_files:,} files")
        if self._amount.bytes > self._limits.max_total_bytes:
            raise ArchiveError(f"its files hold more than {self._limits.max_total_bytes:,} bytes")

    def _leave_out(self, path: str, reason: str) -> None:
        self.findings.append(Finding(path=printable(path), reason=reason))
        if len(self.findings) > self._limits.max_files:
            raise ArchiveError(
                f"it holds more than {self._limits.max_files:,} entries that cannot be taken over"
            )


@contextmanager
def _decompressed(source: BinaryIO) -> Iterator[IO[bytes]]:
    head = source.read(6)
    source.seek(0)
    if head.startswith(_ZSTD):
        yield zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
    elif head.startswith(_GZIP):
        with gzip.GzipFile(fileobj=source) as stream:
            yield cast(IO[bytes], stream)
    elif other := next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None):
        raise ArchiveError(f"it is compressed with {other}; make it a tar, tar.gz or tar.zst")
    else:
        yield source


def _chunks(source: IO[bytes] | None) -> Iterator[bytes]:
    if source is None:
        raise SnapshotError("a file of the archive has no content")
    while chunk := source.read(CHUNK_BYTES):
        yield chunk
