"""A patch that people read and `git apply` takes, of what a changes archive changes.

Git sees two directories that only we wrote, no repository and no configuration. It is a rendering: the changes
archive is what is verified. (`git apply` itself refuses some that put a directory where a symlink was.)
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from axiom_sandbox.protocol.changes import EntryKind
from axiom_sandbox.snapshots.archives import members
from axiom_sandbox.snapshots.captures import apply_changes, read_changes
from axiom_sandbox.snapshots.errors import PatchError
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.snapshots.trees import BASE_LIMITS
from axiom_sandbox.snapshots.writing import Writer

_COMMAND = (
    "git", "-c", "core.quotePath=true", "diff", "--no-index", "--binary", "--full-index", "--no-ext-diff",
    "--no-textconv", "--no-color", "--no-renames", "--no-prefix", "--", "a", "b",
)  # fmt: skip
_HEADER = b"diff --git "
MAX_FILE_BYTES = 8 * 1024 * 1024
"""Larger files are named, and not shown: git has both sides of a file in memory, several times over."""


@dataclass(frozen=True)
class PatchInfo:
    """A patch that was just written."""

    digest: str
    """SHA-256 of the file, in hexadecimal."""
    size: int
    """Bytes."""


def make_patch(base_archive: Path, changes_archive: Path, out: Path, timeout: float = 120) -> PatchInfo:
    """The changes as a git patch at `out`; empty when nothing changed.

    Args:
        timeout: seconds that git may take.

    Raises:
        ArchiveError: an archive is damaged, or the two do not belong together.
        PatchError: git is missing, failed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix=".patch-", dir=out.parent) as scratch:
        before, after = Path(scratch, "a"), Path(scratch, "b")
        changes = read_changes(changes_archive)
        touched = {change.path for change in changes.changes}
        large = {
            change.path for change in changes.changes if change.entry and change.entry.size > MAX_FILE_BYTES
        }
        large |= _unpack_some(base_archive, touched, before, after)
        apply_changes(changes_archive, after)
        for root in (before, after):
            for path in large:
                (root / path).unlink(missing_ok=True)
        raw = Path(scratch, "raw")
        _run_git(Path(scratch), raw, timeout)
        return _rewrite(raw, out, sorted(large))


def _unpack_some(archive: Path, paths: set[str], *roots: Path) -> set[str]:
    """Writes these paths of a base below each root; those that are too large for a patch."""
    large = set()
    with ExitStack() as stack:
        writers = [stack.enter_context(Writer(root)) for root in roots]
        for member in members(archive, BASE_LIMITS.max_total_bytes):
            if member.path not in paths:
                continue
            if member.kind is EntryKind.SYMLINK:
                for writer in writers:
                    writer.symlink(member.path, member.target)
            elif member.kind is EntryKind.FILE and member.size > MAX_FILE_BYTES:
                large.add(member.path)
                for writer in writers:
                    writer.file(member.path, (), executable=member.executable)
            elif member.kind is EntryKind.FILE:
                content = b"".join(member.chunks())
                for writer in writers:
                    writer.file(member.path, (content,), executable=member.executable)
    return large


def _run_git(scratch: Path, raw: Path, timeout: float) -> None:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(scratch.parent),
        "GIT_DIR": os.devnull,
    }
    try:
        with raw.open("wb") as sink:
            done = subprocess.run(
                _COMMAND, cwd=scratch, env=environment, stdin=subprocess.DEVNULL, stdout=sink,
                stderr=subprocess.PIPE, timeout=timeout, check=False,
            )  # fmt: skip
    except FileNotFoundError as error:
        raise PatchError("git is not installed, so no patch could be made") from error
    except subprocess.TimeoutExpired as error:
        raise PatchError(f"git took longer than {timeout:g} s, so no patch was made") from error
    if done.returncode not in {0, 1}:
        raise PatchError(f"git failed: {done.stderr.decode(errors='replace')[:500]}")


def _rewrite(raw: Path, out: Path, large: Sequence[str]) -> PatchInfo:
    digest, size = hashlib.sha256(), 0
    left_out = (
        f"# not shown, as larger than {MAX_FILE_BYTES:,} bytes: {printable(path)!r}\n" for path in large
    )
    with raw.open("rb") as source, out.open("wb") as target:
        for line in itertools.chain(map(str.encode, left_out), _lines(source)):
            digest.update(line)
            size += target.write(line)
    return PatchInfo(digest.hexdigest(), size)


def _lines(source: BinaryIO) -> Iterator[bytes]:
    for line in source:
        yield name_both_sides(line) if line.startswith(_HEADER) else line


def name_both_sides(header: bytes) -> bytes:
    """`diff --git b/new b/new` → `diff --git a/new b/new`: without prefixes git repeats the side that exists."""
    names = header.removeprefix(_HEADER).removesuffix(b"\n")
    half, odd = divmod(len(names), 2)
    name = names[:half]
    if not odd or name != names[half + 1 :]:
        return header
    quote = b'"' if name.startswith(b'"') else b""
    rest = name[len(quote) + 2 :]
    return _HEADER + quote + b"a/" + rest + b" " + quote + b"b/" + rest + b"\n"
