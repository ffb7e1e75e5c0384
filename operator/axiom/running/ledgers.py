"""Reading the segments of a ledger that lie on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class NoLedgerError(Exception):
    """There is no ledger at this path, or it cannot be read; the message says which."""


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a folder of segments, or of one file. Raises NoLedgerError."""
    files = sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise NoLedgerError(f"{path} holds no ledger: no file ends in .jsonl or .jsonl.zst")
    import zstandard

    for file in files:
        try:
            yield from _content(file).splitlines(keepends=True)
        except (OSError, zstandard.ZstdError) as error:
            raise NoLedgerError(f"{file} cannot be read: {error}") from error


def _content(file: Path) -> bytes:
    data = file.read_bytes()
    if file.suffix != ".zst":
        return data
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()
