"""A tree exactly as it is, kept in packs of chunks: for going on from, not for judging.

What `trees` leaves out as unfit for a result is kept here: modes, times, hard links, holes, empty directories, links that lead
anywhere, names of any bytes. A chunk is stored once, however many files and snapshots hold it; packs are only ever added, so a
snapshot names those that it needs. What has not changed since the last snapshot is not read again: device, inode, size, mtime and
ctime are the same, and the ctime is older than the last reading by more than a tick of the clock. No program without rights over
the clock can set a ctime, but for writes through a memory map that was dirty already: files are therefore written back before
they are read, and on file systems in memory, which write nothing back, all are read.

Sockets, pipes and devices are not kept, and are named.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import zstandard

from axiom_sandbox.snapshots.errors import SnapshotError, StateTooLargeError
from axiom_sandbox.snapshots.packs import BATCH_BYTES, THREADS, Packer, Place, Reader
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.snapshots.trees import MIB, Selection

FORMAT = 1
_LEVEL = 1
_TICK_NS = 50_000_000
_COARSE_NS = 10_000_000
"""A ctime is at most so much older than the moment that it stands for."""
_MOST_PATH_BYTES = 3_000
"""So that it can be written below another root, too."""
_BATCH_FILES = 64
_MOST_TREE_BYTES = 512 * MIB
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_IN_MEMORY = frozenset({0x01021994, 0x858458F6})
"""Magic numbers of tmpfs and ramfs."""
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class StateLimits:
    """How much is kept."""

    max_files: int = 200_000
    max_bytes: int = 16 * 1024 * MIB
    """Of all files' content."""
    max_depth: int = 100


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of a tree. `path` is relative, "" the root; bytes that are no UTF-8 are surrogate escapes."""

    path: str
    kind: str
    """`d`, `f`, `l` (symlink) or `h` (a further name of the file at `target`)."""
    mode: int = 0
    mtime_ns: int = 0
    size: int = 0
    target: str = ""
    extents: tuple[tuple[int, int], ...] = ()
    """Offset and length of what is not a hole, in order."""
    chunks: tuple[str, ...] = ()
    """SHA-256 of the chunks of all extents, one behind the other."""


@dataclass
class Memory:
    """What is known from earlier snapshots of the same tree."""

    chunks: dict[str, Place] = field(default_factory=dict)
    seen: dict[str, tuple[tuple[int, ...], Node]] = field(default_factory=dict)
    """Path → what stat said, and what was found."""
    quiet_ns: int = 0
    """Unix time in ns until which nobody else wrote to the tree: what is older than that cannot be dirty by a memory map."""


_FIELDS = tuple(sorted(one.name for one in dataclass_fields(Node)))
_ENCODE = json.JSONEncoder().encode


@dataclass(frozen=True)
class State:
    """One snapshot."""

    nodes: tuple[Node, ...]
    chunks: dict[str, Place]
    """Of all its files."""
    left_out: tuple[str, ...] = ()
    """What was not kept, and why."""
    new_packs: tuple[Path, ...] = ()
    """Written by this snapshot; each is to be stored under its digest."""

    @property
    def packs(self) -> tuple[str, ...]:
        """All packs that it needs."""
        return tuple(sorted({place.pack for place in self.chunks.values()}))

    @property
    def digest(self) -> str:
        """Equal for equal trees, whatever the packs are."""
        hashed = hashlib.sha256()
        for node in self.nodes:
            fields = {name: getattr(node, name) for name in _FIELDS}
            hashed.update(f"{_ENCODE(fields)}\n".encode())
        return hashed.hexdigest()


def take(
    root: Path,
    folder: Path,
    memory: Memory,
    limits: StateLimits | None = None,
    selection: Selection | None = None,
) -> State:
    """The tree below `root` as it is now; nobody may be writing to it. New packs are written to `folder`.

    Raises:
        StateTooLargeError: it is larger than the limits allow.
        SnapshotError: it holds what cannot be put in place again.
        OSError: it cannot be read, or `folder` not written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Packer(folder, memory.chunks) as packer:
        walk = _Walk(root, packer, memory, limits or StateLimits(), selection or Selection())
        walk.run()
        new_packs = packer.close()
        nodes = walk.found()
    found = {digest: memory.chunks[digest] for node in nodes for digest in node.chunks}
    return State(tuple(nodes), found, tuple(walk.left_out), new_packs)


def write_state(state: State, path: Path) -> None:
    """A snapshot's tree as a file: JSON in zstd."""
    packs = state.packs
    pack_of = {digest: number for number, digest in enumerate(packs)}
    order = {digest: number for number, digest in enumerate(state.chunks)}
    body = {
        "format": FORMAT,
        "packs": packs,
        "chunks": [
            [digest, pack_of[place.pack], place.offset, place.length, place.size]
            for digest, place in state.chunks.items()
        ],
        "nodes": [
            [
                node.path, node.kind, node.mode, node.mtime_ns, node.size, node.target, node.extents,
                [order[digest] for digest in node.chunks],
            ]
            for node in state.nodes
        ],
        "leftOut": state.left_out,
    }  # fmt: skip
    path.write_bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(json.dumps(body).encode()))


def read_state(path: Path) -> State:
    """What `write_state` wrote. Raises SnapshotError."""
    try:
        body: dict[str, Any] = json.loads(
            zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=_MOST_TREE_BYTES)
        )
        if body["format"] != FORMAT:
            raise SnapshotError(f"the snapshot has format {body['format']}, and this version reads {FORMAT}")
        packs, rows = body["packs"], body["chunks"]
        names = [row[0] for row in rows]
        chunks = {row[0]: Place(packs[row[1]], row[2], row[3], row[4]) for row in rows}
        nodes = tuple(
            Node(
                path,
                kind,
                mode,
                mtime,
                size,
                target,
                tuple(map(tuple, extents)),
                tuple(names[i] for i in held),
            )
            for path, kind, mode, mtime, size, target, extents, held in body["nodes"]
        )
        return State(nodes, chunks, tuple(body["leftOut"]))
    except (ValueError, KeyError, IndexError, TypeError, zstandard.ZstdError) as error:
        raise SnapshotError(f"the snapshot's tree cannot be read: {error}") from error


def put_in_place(state: State, packs: Path, root: Path) -> None:
    """Writes a snapshot below `root`, which is empty; each pack lies in `packs` under its digest, which was checked.

    Raises SnapshotError, also where the result is not what the snapshot says; OSError.
    """
    _check_paths(state.nodes)
    base = os.fspath(root)

    def place(node: Node) -> str:
        return f"{base}/{node.path}" if node.path else base

    def write_files(nodes: list[Node]) -> None:
        chunk = reader.unpacking()
        for node in nodes:
            _write_file(node, chunk, place(node))

    directories = [node for node in state.nodes if node.kind == "d"]
    for node in directories[1:]:
        os.mkdir(place(node), 0o700)  # noqa: PTH102 - names of any bytes
    with Reader(packs, state.chunks) as reader, ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(write_files, _batches(state.nodes)):
            pass
    for node in state.nodes:
        _write_link(node, place(node), base)
    for node in reversed(directories):  # at last: what is in them must be reached until then
        os.chmod(place(node), node.mode)  # noqa: PTH101
        os.utime(place(node), ns=(node.mtime_ns, node.mtime_ns))


# --- reading ---------------------------------------------------------------------------------------------------


class _Walk:
    def __init__(
        self, root: Path, packer: Packer, memory: Memory, limits: StateLimits, selection: Selection
    ) -> None:
        self._root, self._packer, self._memory = root, packer, memory
        self._limits, self._selection = limits, selection
        self._nodes: list[Node | _Pending] = []
        self._links: dict[tuple[int, int], str] = {}
        self._bytes = 0
        self._began_ns = time.time_ns()
        self._seen: dict[str, tuple[tuple[int, ...], Node | _Pending]] = {}
        self._trusts = False
        self.left_out: list[str] = []

    def run(self) -> None:
        """Reads all of it."""
        self._trusts = not _is_in_memory(self._root)
        descriptor = os.open(self._root, _DIRECTORY)
        try:
            self._directory(descriptor, os.fstat(descriptor), "", 0)
        finally:
            os.close(descriptor)

    def found(self) -> list[Node]:
        """What was read, once every chunk has its place."""
        nodes = [node.done() if isinstance(node, _Pending) else node for node in self._nodes]
        seen = {
            path: (key, node.done() if isinstance(node, _Pending) else node)
            for path, (key, node) in self._seen.items()
        }
        self._memory.seen = seen
        return nodes

    def _directory(self, descriptor: int, status: os.stat_result, path: str, depth: int) -> None:
        if depth > self._limits.max_depth:
            raise SnapshotError(f"{printable(path)!r} is more than {self._limits.max_depth} directories deep")
        self._nodes.append(Node(path, "d", stat.S_IMODE(status.st_mode), status.st_mtime_ns))
        with os.scandir(descriptor) as listing:
            names = sorted((entry.name for entry in listing), key=os.fsencode)
        for name in names:
            self._entry(descriptor, name, f"{path}/{name}" if path else name, depth)

    def _entry(self, parent: int, name: str, path: str, depth: int) -> None:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if not self._selection.wants(path, kind == stat.S_IFDIR):
            return
        if len(os.fsencode(path)) > _MOST_PATH_BYTES:
            raise SnapshotError(f"{printable(path)[:80]!r}… is a path of more than {_MOST_PATH_BYTES} bytes")
        if len(self._nodes) > self._limits.max_files:
            raise StateTooLargeError(f"there are more than {self._limits.max_files:,} files")
        if kind == stat.S_IFDIR:
            with _lent(parent, name, status, 0o500):
                descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
                try:
                    self._directory(descriptor, status, path, depth + 1)
                finally:
                    os.close(descriptor)
        elif kind == stat.S_IFLNK:
            target = os.readlink(name, dir_fd=parent)
            self._nodes.append(Node(path, "l", 0, status.st_mtime_ns, target=target))
        elif kind == stat.S_IFREG:
            self._file(parent, name, path, status)
        else:
            self.left_out.append(f"{printable(path)}: neither file, directory nor symlink")

    def _file(self, parent: int, name: str, path: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        if status.st_nlink > 1:
            if first := self._links.get(identity):
                self._nodes.append(Node(path, "h", target=first))
                return
            self._links[identity] = path
        self._bytes += min(status.st_size, status.st_blocks * 512)
        if self._bytes > self._limits.max_bytes:
            raise StateTooLargeError(f"its files hold more than {self._limits.max_bytes:,} bytes")
        key = (*identity, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
        known = self._memory.seen.get(path)
        if known and known[0] == key:
            self._nodes.append(known[1])
            self._seen[path] = known
            return
        with _lent(parent, name, status, 0o400):
            descriptor = os.open(name, _FILE, dir_fd=parent)
            try:
                node = self._content(descriptor, path, status)
            finally:
                os.close(descriptor)
        self._nodes.append(node)
        is_old = status.st_ctime_ns < self._began_ns - _TICK_NS
        if self._trusts and is_old and status.st_mode & 0o400:
            self._seen[path] = (key, node)

    def _content(self, descriptor: int, path: str, status: os.stat_result) -> _Pending:
        if status.st_ctime_ns >= self._memory.quiet_ns - _COARSE_NS:
            os.fsync(descriptor)  # few files: a memory map of one that is clean cannot change it unnoticed
        extents = tuple(_extents(descriptor, status.st_size))
        pending = _Pending(path, status, extents)
        for offset, length in extents:
            self._packer.add(descriptor, offset, length, pending.chunks)
        return pending


class _Pending:
    """A file whose chunks are still on their way."""

    def __init__(self, path: str, status: os.stat_result, extents: tuple[tuple[int, int], ...]) -> None:
        self._path, self._status, self._extents = path, status, extents
        self.chunks: list[str] = []
        self._node: Node | None = None

    def done(self) -> Node:
        if self._node is None:
            status = self._status
            self._node = Node(
                self._path,
                "f",
                stat.S_IMODE(status.st_mode),
                status.st_mtime_ns,
                status.st_size,
                extents=self._extents,
                chunks=tuple(self.chunks),
            )
        return self._node


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Offset and length of what is not a hole."""
    at = 0
    while at < size:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = min(os.lseek(descriptor, begin, os.SEEK_HOLE), size)
        if begin < at:
            yield begin, at - begin


class _lent:  # noqa: N801 - used like a function
    """Permissions that our own user lacks are lent for the time being."""

    def __init__(self, parent: int, name: str, status: os.stat_result, needs: int) -> None:
        lacks = status.st_uid == os.geteuid() and status.st_mode & needs != needs
        self._mode = stat.S_IMODE(status.st_mode) if lacks else None
        self._parent, self._name, self._needs = parent, name, needs

    def __enter__(self) -> None:
        if self._mode is not None:
            self._handle = os.open(self._name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._parent)
            Path(f"/proc/self/fd/{self._handle}").chmod(self._mode | self._needs)

    def __exit__(self, *_: object) -> None:
        if self._mode is not None:
            Path(f"/proc/self/fd/{self._handle}").chmod(self._mode)
            os.close(self._handle)


def _is_in_memory(root: Path) -> bool:
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(root), buffer) != 0:
        return True  # not known: then nothing is trusted
    return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], "little") & 0xFFFFFFFF in _IN_MEMORY


# --- writing ---------------------------------------------------------------------------------------------------


def _check_paths(nodes: Sequence[Node]) -> None:
    """Each entry lies in a directory of the snapshot's own, so that nothing is ever written through a link."""
    directories = set[str]()
    files = set[str]()
    if not nodes or nodes[0].path or nodes[0].kind != "d":
        raise SnapshotError("the snapshot does not begin with its root")
    directories.add("")
    for node in nodes[1:]:
        parent, _, name = node.path.rpartition("/")
        if (
            name in ("", ".", "..")
            or node.path.startswith("/")
            or "\0" in node.path
            or parent not in directories
        ):
            raise SnapshotError(f"the snapshot is refused: {printable(node.path)!r} is no path in it")
        if node.path in directories or node.path in files:
            raise SnapshotError(f"the snapshot is refused: {printable(node.path)!r} is in it twice")
        if node.kind not in "dflh":
            raise SnapshotError(f"the snapshot is refused: {printable(node.path)!r} is of no known kind")
        if node.kind == "h" and node.target not in files:
            raise SnapshotError(
                f"the snapshot is refused: {printable(node.path)!r} links to what is no file in it"
            )
        (directories if node.kind == "d" else files).add(node.path)


def _write_link(node: Node, path: str, base: str) -> None:
    match node.kind:
        case "l":
            os.symlink(node.target, path)  # noqa: PTH211 - names of any bytes
            os.utime(path, ns=(node.mtime_ns, node.mtime_ns), follow_symlinks=False)
        case "h":
            os.link(f"{base}/{node.target}", path, follow_symlinks=False)
        case _:
            pass


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _batches(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """The files, some at a time."""
    batch: list[Node] = []
    size = 0
    for node in nodes:
        if node.kind != "f":
            continue
        batch.append(node)
        size += node.size
        if size >= BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    yield batch


def _write_file(node: Node, chunk: Callable[[str], bytes], path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        chunks = iter(node.chunks)
        for offset, length in node.extents:
            end = offset + length
            while offset < end:
                data = chunk(next(chunks))
                if offset + len(data) > end:
                    raise SnapshotError(f"{printable(node.path)!r} has chunks that do not fit")
                _write_all(descriptor, data, offset)
                offset += len(data)
        os.ftruncate(descriptor, node.size)
        os.fchmod(descriptor, node.mode)
        os.utime(descriptor, ns=(node.mtime_ns, node.mtime_ns))
        found = os.fstat(descriptor)
        if (found.st_size, stat.S_IMODE(found.st_mode)) != (node.size, node.mode):
            raise SnapshotError(f"{printable(node.path)!r} is not what the snapshot says, once it is written")
    except StopIteration as error:
        raise SnapshotError(f"{printable(node.path)!r} lacks chunks") from error
    finally:
        os.close(descriptor)
