"""What differs between two snapshots: as rows, and as a patch that `git apply` takes. Pure, but for content, which is asked for.

A patch holds files, their executable bit, and symlinks. What it cannot hold (other modes, empty directories, what lies in `.git`,
what is too large) is named in lines in front of it, which `git apply` passes over. The rows have all of it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.lines import Effort, hunks
from axiom_sandbox.snapshots.paths import is_git, printable
from axiom_sandbox.snapshots.states import Node, State
from axiom_sandbox.snapshots.trees import MIB

MOST_FILE_BYTES = 8 * MIB
MOST_BYTES = 32 * MIB
"""Of all files that a patch shows, both sides."""
_KINDS = {"f": "file", "d": "directory", "l": "symlink"}
_PLAIN = re.compile(rb"[!#-\[\]-~]+")
_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
_SYMLINK = 0o120000

Content = Callable[[Node], bytes]
"""A file's content, or where a symlink leads."""


@dataclass(frozen=True)
class Side:
    """A path as one of the snapshots has it."""

    node: Node
    """Of a further name of a file: the node of its first one."""
    link: str = ""
    """The first name of the same file; empty: this is it."""

    @property
    def kind(self) -> str:
        """In words."""
        return _KINDS[self.node.kind]

    @property
    def git_mode(self) -> int | None:
        """None: git knows no such thing."""
        if self.node.kind == "l":
            return _SYMLINK
        return (0o100755 if self.node.mode & 0o100 else 0o100644) if self.node.kind == "f" else None

    def row(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {"kind": self.kind}
        if self.node.kind == "l":
            return {**found, "target": printable(self.node.target)}
        found["mode"] = f"{self.node.mode:04o}"
        if self.node.kind == "f":
            found["size"] = self.node.size
        return {**found, "linkTo": printable(self.link)} if self.link else found


@dataclass(frozen=True)
class Difference:
    """One path that is not the same in both."""

    path: str
    before: Side | None
    after: Side | None
    what: tuple[str, ...] = ()
    """Of a path that both have: `kind`, `content`, `mode`, `target`, `links` (which names one file has), `time`."""

    @property
    def change(self) -> str:
        """`added`, `deleted`, `changed`, or `touched`: only its time differs."""
        if self.before is None or self.after is None:
            return "deleted" if self.before else "added"
        return "touched" if self.what == ("time",) else "changed"

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "path": printable(self.path),
            "change": self.change,
            "what": list(self.what),
            "before": self.before.row() if self.before else None,
            "after": self.after.row() if self.after else None,
        }


def compare(one: State, other: State) -> list[Difference]:
    """What differs, by path."""
    left, right = _sides(one), _sides(other)
    found = []
    for path in sorted({*left, *right}, key=os.fsencode):
        before, after = left.get(path), right.get(path)
        if before is None or after is None:
            found.append(Difference(path, before, after))
        elif what := _what(before, after):
            found.append(Difference(path, before, after, what))
    return found


def shown(differences: Iterable[Difference]) -> set[str]:
    """The paths that a patch shows; what is larger, or comes after so many bytes, it only names."""
    paths, left = set(), MOST_BYTES
    for one in differences:
        sizes = [side.node.size for side in (one.before, one.after) if side]
        if _is_for_git(one) and max(sizes) <= MOST_FILE_BYTES and sum(sizes) <= left:
            paths.add(one.path)
            left -= sum(sizes)
    return paths


def patch(
    differences: Sequence[Difference],
    paths: set[str],
    content: Content,
    named: Callable[[str], str] = str,
) -> Iterator[bytes]:
    """The patch, piece by piece.

    Args:
        paths: what of it is shown: `shown`.
        content: as it is to be written.
        named: a path as it is to be written.
    """
    for note in _notes(differences, paths, named):
        yield f"# {note}\n".encode()
    effort = Effort()
    for one in differences:
        if one.path not in paths:
            continue
        old, new = _blob(one.before, content), _blob(one.after, content)
        name = os.fsencode(named(one.path))
        if old and new and (old.mode == _SYMLINK) != (new.mode == _SYMLINK):
            yield from _section(name, old, None, effort)
            yield from _section(name, None, new, effort)
        elif old != new:
            yield from _section(name, old, new, effort)
        elif {"content", "target"} & {*one.what}:
            yield f"# no difference that is shown: {printable(named(one.path))!r}\n".encode()


def content_of(node: Node, chunk: Callable[[str], bytes]) -> bytes:
    """A file's bytes, holes as zeros, out of its chunks; or where a symlink leads. Raises SnapshotError."""
    if node.kind == "l":
        return os.fsencode(node.target)
    data, chunks = bytearray(node.size), iter(node.chunks)
    for offset, length in node.extents:
        at, end = offset, offset + length
        while at < end:
            try:
                piece = chunk(next(chunks))
            except (StopIteration, KeyError):
                piece = b""
            if not piece or at + len(piece) > min(end, node.size):
                raise SnapshotError(f"{printable(node.path)!r} has chunks that do not fit")
            data[at : at + len(piece)] = piece
            at += len(piece)
    return bytes(data)


def _sides(state: State) -> dict[str, Side]:
    sides: dict[str, Side] = {}
    for node in state.nodes:
        sides[node.path] = Side(sides[node.target].node, node.target) if node.kind == "h" else Side(node)
    return sides


def _what(before: Side, after: Side) -> tuple[str, ...]:
    one, other = before.node, after.node
    if one.kind != other.kind:
        return ("kind",)
    differs = {
        "content": (one.size, one.extents, one.chunks) != (other.size, other.extents, other.chunks),
        "mode": one.mode != other.mode,
        "target": one.kind == "l" and one.target != other.target,
        "links": before.link != after.link,
    }
    what = tuple(name for name, is_so in differs.items() if is_so)
    return what or (("time",) if one.mtime_ns != other.mtime_ns else ())


# --- patches ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Blob:
    mode: int
    data: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data, usedforsecurity=False).hexdigest()


def _is_for_git(one: Difference) -> bool:
    """Whether it is something that a patch can hold."""
    sides = [side for side in (one.before, one.after) if side]
    return one.change != "touched" and not is_git(one.path) and any(side.git_mode for side in sides)


def _blob(side: Side | None, content: Content) -> _Blob | None:
    return _Blob(side.git_mode, content(side.node)) if side and side.git_mode else None


def _notes(differences: Sequence[Difference], paths: set[str], named: Callable[[str], str]) -> Iterator[str]:
    below = {parent for one in differences for parent in _parents(one.path)}
    in_git = sum(is_git(one.path) and one.change != "touched" for one in differences)
    if in_git:
        yield f"not shown: {in_git:,} paths of .git"
    for one in differences:
        name, before, after = repr(printable(named(one.path))), one.before, one.after
        if is_git(one.path):
            continue
        if _is_for_git(one) and one.path not in paths:
            yield f"not shown, as too large: {name}"
        elif before and after and before.node.mode != after.node.mode and before.kind == after.kind:
            if before.git_mode is None or before.git_mode == after.git_mode:
                yield f"mode of {name}: {before.node.mode:04o} → {after.node.mode:04o}"
        elif one.path not in below and "directory" in {side.kind for side in (before, after) if side}:
            said = {"added": "added", "deleted": "deleted"}.get(one.change)
            if said:
                yield f"{said} directory {name}"


def _parents(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _section(name: bytes, old: _Blob | None, new: _Blob | None, effort: Effort) -> Iterator[bytes]:
    a, b = _quoted(b"a/" + name), _quoted(b"b/" + name)
    yield b"diff --git %b %b\n" % (a, b)
    index = f"index {old.digest if old else '0' * 40}..{new.digest if new else '0' * 40}"
    if old is None and new:
        yield f"new file mode {new.mode:o}\n{index}\n".encode()
    elif new is None and old:
        yield f"deleted file mode {old.mode:o}\n{index}\n".encode()
    elif old and new:
        if old.mode != new.mode:
            yield f"old mode {old.mode:o}\nnew mode {new.mode:o}\n".encode()
        if old.data == new.data:
            return
        yield f"{index}{f' {new.mode:o}' if old.mode == new.mode else ''}\n".encode()
    before, after = old.data if old else b"", new.data if new else b""
    if before == after:
        return
    if b"\0" in before or b"\0" in after:
        yield b"GIT binary patch\n"
        yield from _literal(after)
        yield from _literal(before)
        return
    yield b"--- %b\n+++ %b\n" % (a if old else b"/dev/null", b if new else b"/dev/null")
    yield from hunks(before, after, effort)


def _literal(data: bytes) -> Iterator[bytes]:
    yield b"literal %d\n" % len(data)
    packed = zlib.compress(data)
    for at in range(0, len(packed), 52):
        piece = packed[at : at + 52]
        length = len(piece) + (64 if len(piece) <= 26 else 70)
        yield bytes([length]) + base64.b85encode(piece, pad=True) + b"\n"
    yield b"\n"


def _quoted(name: bytes) -> bytes:
    """As git writes names; with blanks in them, too, so that nobody has to guess where one ends."""
    if _PLAIN.fullmatch(name):
        return name
    escaped = "".join(
        f"\\{_ESCAPES[byte]}" if byte in _ESCAPES else chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
        for byte in name
    )
    return f'"{escaped}"'.encode()
