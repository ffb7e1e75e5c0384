"""Takes checkpoints: reads workspace and home from outside, and keeps each part, and the manifest behind them, as blobs.

The caller sees to it that everything untrusted is frozen meanwhile. A manifest is announced after its parts, and what is
announced first is stored first: so a manifest in object storage has all its parts there.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from axiom_sandbox.protocol.changes import Entry, EntryKind
from axiom_sandbox.protocol.channel import Blob
from axiom_sandbox.protocol.checkpoints import (
    MOST_NAMES,
    Changed,
    CheckpointTaken,
    Keeping,
    LedgerPosition,
    Manifest,
    Part,
    PartName,
    Why,
    WorkspaceMoment,
)
from axiom_sandbox.snapshots.errors import StateTooLargeError
from axiom_sandbox.snapshots.ignoring import Ignoring
from axiom_sandbox.snapshots.paths import is_git, printable
from axiom_sandbox.snapshots.states import Memory, Node, State, StateLimits, take, write_state
from axiom_sandbox.snapshots.trees import MIB, Selection, Tree
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.moments import Moment
from axiom_sandbox.supervising.settings import SandboxSettings

HOME_LIMITS = StateLimits(max_files=50_000, max_bytes=1024 * MIB)
KEPT = 2
"""So many checkpoints stay here once they are stored: the next attempt takes them from object storage."""
_LISTED = 16
_PREFIX = "checkpoint-"
_CACHES = frozenset({".cache", ".npm"})


class Checkpointer:
    """Of one agent's sandbox."""

    def __init__(
        self,
        settings: SandboxSettings,
        folder: Path,
        read_base: Callable[[], Tree],
        board: Board,
        keep_blob: Callable[[str, Path], Awaitable[str]],
    ) -> None:
        self._settings, self._board, self._keep_blob = settings, board, keep_blob
        self._folder, self._read_base = folder, read_base
        self._base: Tree | None = None
        self._ignoring: Ignoring | None = None
        self._sizes: dict[str, int] = {}
        """Packs that are kept, here or in object storage, and their bytes."""
        self._forget_what_is_known()
        self.quiet_ns = 0
        """Until then nobody but the trusted side wrote to workspace and home."""
        self.selection = home_selection(())
        """What of the home is kept."""
        self.keeping = Keeping()
        """What of the workspace is kept."""
        self.based_ns = 0
        """When the base was put in place."""
        self.first = 1
        """Number of the first one that is taken here."""
        self.before = ""
        """Digest of the one that this sandbox began from."""

    @property
    def last(self) -> CheckpointTaken | None:
        """The last one that was taken here."""
        taken = self._board.state.checkpoints
        return taken[-1] if taken else None

    def go_on_from(self, manifest: Manifest, digest: str, states: Iterable[State]) -> None:
        """What a checkpoint holds that this sandbox began from is not stored again."""
        self.before, self.based_ns = digest, manifest.workspace.based_ns
        self._sizes = {part.digest: part.size for part in manifest.parts if part.name is PartName.PACK}
        for state in states:
            self._workspace.chunks.update(state.chunks)

    async def prepare(self) -> None:
        """Does what can be done before anything is frozen. Raises SnapshotError, OSError."""
        if self._base is None:
            self._base = await asyncio.to_thread(self._read_base)
        if self._ignoring is None:
            self._ignoring = Ignoring(self.keeping.ignore, self._base.entries)

    async def read_files(self) -> Files:
        """Workspace and home as they are now: while this runs, nobody else may write to them. Raises SnapshotError, OSError."""
        scratch = self._folder / "checkpoint"
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        scratch.mkdir()
        settings, packs = self._settings, scratch / "packs"
        self._workspace.quiet_ns = self._home.quiet_ns = self.quiet_ns
        try:
            workspace = await asyncio.to_thread(self._take_workspace, packs)
            home = await asyncio.to_thread(
                take, settings.home, packs, self._home, HOME_LIMITS, self.selection
            )
        except BaseException:
            self._forget_what_is_known()
            raise
        return Files(scratch, workspace, home)

    def _take_workspace(self, packs: Path) -> State:
        keeping = self.keeping
        limits = StateLimits(max_files=keeping.max_files, max_bytes=keeping.max_bytes)
        assert self._ignoring is not None
        try:
            return take(self._settings.workspace, packs, self._workspace, limits, self._ignoring.selection)
        except StateTooLargeError as error:
            raise StateTooLargeError(
                f"the workspace is not kept, as {error}; leave files out with checkpoints.ignore of the class, or raise"
                " checkpoints.maxFiles and maxSize"
            ) from error

    async def keep(self, files: Files, moment: Moment, why: Why) -> CheckpointTaken:
        """Keeps what was read, and announces the manifest last. Raises OSError."""
        last = self.last
        number = last.number + 1 if last else self.first
        try:
            parts = await self._parts(number, files, moment)
            manifest = self._manifest(number, files, moment, why, parts, last)
            path = files.scratch / "manifest.json"
            path.write_text(manifest.model_dump_json() + "\n")
            digest = await self._keep_blob(f"{_PREFIX}{number}", path)
        except BaseException:
            self._forget_what_is_known()
            raise
        await asyncio.to_thread(shutil.rmtree, files.scratch)
        return CheckpointTaken(
            number=number,
            digest=digest,
            why=why,
            round=moment.round,
            turn_over=moment.turn_over,
            taken_ms=manifest.taken_ms,
            size=sum(part.size for part in parts),
        )

    def _forget_what_is_known(self) -> None:
        """A pack that was not kept must not be referred to: the next one reads and keeps everything."""
        self._workspace = Memory()
        self._home = Memory(chunks=self._workspace.chunks)

    def announce(self, taken: CheckpointTaken) -> None:
        """Puts it into the state, and lets go of older ones that are stored. Raises OSError."""
        listed = (*self._board.state.checkpoints, taken)[-_LISTED:]
        self._board.update(checkpoints=listed, checkpoint_trouble="")
        self._forget(taken.number - KEPT)

    # --- parts ------------------------------------------------------------------------------------------------

    async def _parts(self, number: int, files: Files, moment: Moment) -> tuple[Part, ...]:
        for index, pack in enumerate((*files.workspace.new_packs, *files.home.new_packs)):
            part = await self._part(number, PartName.PACK, pack, f"-{index}")
            self._sizes[part.digest] = part.size
        needed = sorted({*files.workspace.packs, *files.home.packs})
        packs = [Part(name=PartName.PACK, digest=digest, size=self._sizes[digest]) for digest in needed]
        scratch = files.scratch
        await asyncio.to_thread(write_state, files.workspace, scratch / PartName.WORKSPACE)
        await asyncio.to_thread(write_state, files.home, scratch / PartName.HOME)
        (scratch / PartName.TERMINAL).write_bytes(moment.tail)
        lines = (f"{one.model_dump_json()}\n" for one in moment.interventions)
        (scratch / PartName.INTERVENTIONS).write_text("".join(lines))
        others = [PartName.WORKSPACE, PartName.HOME, PartName.TERMINAL, PartName.INTERVENTIONS]
        if moment.screen:
            (scratch / PartName.SCREEN).write_bytes(moment.screen)
            others.append(PartName.SCREEN)
        return (*packs, *[await self._part(number, name, scratch / name) for name in others])

    async def _part(self, number: int, name: PartName, path: Path, suffix: str = "") -> Part:
        size = path.stat().st_size
        digest = await self._keep_blob(f"{_PREFIX}{number}-{name.value}{suffix}", path)
        return Part(name=name, digest=digest, size=size)

    def _manifest(
        self,
        number: int,
        files: Files,
        moment: Moment,
        why: Why,
        parts: tuple[Part, ...],
        last: CheckpointTaken | None,
    ) -> Manifest:
        identity, found = self._settings.identity, files.workspace
        assert self._base is not None
        assert self._ignoring is not None
        return Manifest(
            identity=identity,
            number=number,
            before=last.digest if last else self.before,
            why=why,
            taken_ms=time.time_ns() // 1_000_000,
            round=moment.round,
            turn_over=moment.turn_over,
            last_prompt=moment.last_prompt,
            state=moment.state,
            driver=moment.driver,
            workspace=WorkspaceMoment(
                base=self._base.digest,
                based_ns=self.based_ns,
                fingerprint=found.digest,
                files=sum(node.kind in "fh" for node in found.nodes),
                size=sum(node.size for node in found.nodes),
                left_out=found.left_out[:MOST_NAMES],
                ignore=self.keeping.ignore,
                ignored=_named(self._ignoring.left_out),
                **_changed(self._base, found, self.based_ns),
                directory=self._settings.inside.workspace,
            ),
            terminal=moment.terminal,
            ledger=LedgerPosition(
                path=f"{identity.prefix}/ledger/", records=moment.ledger.records, head=moment.ledger.head
            ),
            interventions=moment.interventions_so_far,
            parts=parts,
        )

    def _forget(self, up_to: int) -> None:
        state = self._board.state
        gone = [
            blob for blob in state.blobs if (number := _number_of(blob)) and number <= up_to and blob.sealed
        ]
        if not gone:
            return
        kept = tuple(blob for blob in state.blobs if blob not in gone)
        self._board.update(blobs=kept)
        needed = {blob.digest for blob in kept}
        for blob in gone:
            if blob.digest not in needed:
                (self._folder / "blobs" / blob.digest).unlink(missing_ok=True)


@dataclass(frozen=True)
class Files:
    """What was read, and is not kept yet."""

    scratch: Path
    workspace: State
    home: State


def _number_of(blob: Blob) -> int:
    """0 for a blob that is no part of a checkpoint."""
    text = blob.name.removeprefix(_PREFIX).partition("-")[0]
    return int(text) if blob.name.startswith(_PREFIX) and text.isdecimal() else 0


def _changed(base: Tree, now: State, based_ns: int) -> dict[str, Changed]:
    """What was created, modified and deleted since the base was put in place. Nothing is read for it: a large file of the same
    size counts as modified if its time says so. Pure."""
    there = {node.path: node for node in now.nodes if node.kind != "d"}
    entries = {path: entry for path, entry in base.entries.items() if not is_git(path)}
    found = {
        "created": [path for path in there if path not in base.entries and not is_git(path)],
        "modified": [
            path
            for path, entry in entries.items()
            if path in there and _differs(entry, there[path], based_ns)
        ],
        "deleted": [path for path in entries if path not in there],
    }
    return {kind: _named(paths) for kind, paths in found.items()}


def _named(paths: Sequence[str]) -> Changed:
    return Changed(count=len(paths), first=tuple(map(printable, sorted(paths)[:MOST_NAMES])))


def _differs(entry: Entry, node: Node, based_ns: int) -> bool:
    if entry.kind is EntryKind.SYMLINK or node.kind != "f":
        return (entry.kind is EntryKind.SYMLINK, entry.target) != (node.kind == "l", node.target)
    if (entry.size, entry.executable) != (node.size, bool(node.mode & 0o100)):
        return True
    if len(node.chunks) == 1 and node.extents == ((0, node.size),):
        return node.chunks[0] != entry.digest
    return node.size > 0 and node.mtime_ns > based_ns


def home_selection(patterns: tuple[str, ...]) -> Selection:
    """These paths of a home, and what leads to them; without any, all but caches, which are made anew by whoever misses them."""
    wanted = [pattern.split("/") for pattern in patterns]

    def wants(path: str, is_directory: bool) -> bool:
        parts = path.split("/")
        for pattern in wanted:
            fits = all(fnmatchcase(part, one) for part, one in zip(parts, pattern, strict=False))
            if fits and (len(parts) >= len(pattern) or is_directory):
                return True
        return not wanted and path not in _CACHES

    return Selection(wants=wants)
