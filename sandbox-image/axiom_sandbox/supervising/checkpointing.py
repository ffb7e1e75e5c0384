"""Takes checkpoints: reads workspace and home from outside, and keeps each part, and the manifest behind them, as blobs.

The caller sees to it that everything untrusted is frozen meanwhile. A manifest is announced after its parts, and what is
announced first is stored first: so a manifest in object storage has all its parts there.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from axiom_sandbox.protocol.agents import AgentState
from axiom_sandbox.protocol.changes import Change, ChangeKind
from axiom_sandbox.protocol.channel import Blob, LedgerHead
from axiom_sandbox.protocol.checkpoints import (
    MOST_NAMES,
    Changed,
    CheckpointTaken,
    DriverMoment,
    LedgerPosition,
    Manifest,
    Part,
    PartName,
    TerminalMoment,
    Why,
    WorkspaceMoment,
)
from axiom_sandbox.protocol.events import Intervention
from axiom_sandbox.snapshots.archives import pack, read_tree
from axiom_sandbox.snapshots.captures import CaptureResult, capture
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.snapshots.trees import MIB, Limits, Selection, Tree
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.settings import SandboxSettings

HOME_LIMITS = Limits(max_files=50_000, max_file_bytes=512 * MIB, max_total_bytes=1024 * MIB)
KEPT = 2
"""So many checkpoints stay here once they are stored: the next attempt takes them from object storage."""
_LISTED = 16
_PREFIX = "checkpoint-"
_CACHES = frozenset({".cache", ".npm"})


@dataclass(frozen=True)
class Moment:
    """What is known of the agent, besides its files."""

    round: int
    turn_over: bool
    last_prompt: str
    state: AgentState | None
    driver: DriverMoment
    terminal: TerminalMoment | None
    tail: bytes
    """The last output of its terminal."""
    interventions: tuple[Intervention, ...]
    interventions_so_far: int
    ledger: LedgerHead


@dataclass(frozen=True)
class Captured:
    """The round's own capture of the workspace, which a checkpoint at its end shares."""

    result: CaptureResult
    digest: str
    size: int


class Checkpointer:
    """Of one agent's sandbox."""

    def __init__(
        self,
        settings: SandboxSettings,
        folder: Path,
        base_archive: Path,
        board: Board,
        keep_blob: Callable[[str, Path], Awaitable[str]],
    ) -> None:
        self._settings, self._board, self._keep_blob = settings, board, keep_blob
        self._folder, self._base_archive = folder, base_archive
        self._base: Tree | None = None
        self.selection = home_selection(())
        """What of the home is kept."""
        self.first = 1
        """Number of the first one that is taken here."""
        self.before = ""
        """Digest of the one that this sandbox began from."""

    @property
    def last(self) -> CheckpointTaken | None:
        """The last one that was taken here."""
        taken = self._board.state.checkpoints
        return taken[-1] if taken else None

    async def prepare(self) -> None:
        """Does what can be done before anything is frozen. Raises SnapshotError, OSError."""
        if self._base is None:
            self._base = await asyncio.to_thread(read_tree, self._base_archive)

    async def read_files(self, captured: Captured | None = None) -> Files:
        """Workspace and home as they are now: while this runs, nobody else may write to them. Raises SnapshotError, OSError."""
        scratch = self._folder / "checkpoint"
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        scratch.mkdir()
        await self.prepare()
        assert self._base is not None
        result = captured.result if captured else None
        if result is None:
            result = await asyncio.to_thread(
                capture, self._base, self._settings.workspace, scratch / "workspace"
            )
        if not result.complete:
            raise SnapshotError(f"the workspace is too large: {result.changes.findings[-1].reason}")
        home = scratch / "home.tar.zst"
        await asyncio.to_thread(pack, self._settings.home, home, HOME_LIMITS, None, self.selection)
        return Files(scratch, result, home)

    async def keep(
        self, files: Files, moment: Moment, why: Why, captured: Captured | None = None
    ) -> CheckpointTaken:
        """Keeps what was read, and announces the manifest last. Raises OSError."""
        last = self.last
        number = last.number + 1 if last else self.first
        parts = [await self._workspace(number, files, captured)]
        terminal, interventions = files.scratch / "terminal", files.scratch / "interventions"
        terminal.write_bytes(moment.tail)
        interventions.write_text("".join(f"{one.model_dump_json()}\n" for one in moment.interventions))
        for name, path in (
            (PartName.HOME, files.home),
            (PartName.TERMINAL, terminal),
            (PartName.INTERVENTIONS, interventions),
        ):
            parts.append(await self._part(number, name, path))
        manifest = self._manifest(number, files, moment, why, tuple(parts), last)
        path = files.scratch / "manifest.json"
        path.write_text(manifest.model_dump_json() + "\n")
        digest = await self._keep_blob(f"{_PREFIX}{number}", path)
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

    def announce(self, taken: CheckpointTaken) -> None:
        """Puts it into the state, and lets go of older ones that are stored. Raises OSError."""
        listed = (*self._board.state.checkpoints, taken)[-_LISTED:]
        self._board.update(checkpoints=listed, checkpoint_trouble="")
        self._forget(taken.number - KEPT)

    # --- parts ------------------------------------------------------------------------------------------------

    async def _part(self, number: int, name: PartName, path: Path) -> Part:
        size = path.stat().st_size
        return Part(name=name, digest=await self._keep_blob(_blob_name(number, name), path), size=size)

    async def _workspace(self, number: int, files: Files, captured: Captured | None) -> Part:
        name = PartName.WORKSPACE
        if captured is None:
            return await self._part(number, name, files.workspace.archive)
        blob = Blob(name=_blob_name(number, name), digest=captured.digest, size=captured.size)
        self._board.add_blobs(blob)
        return Part(name=name, digest=captured.digest, size=captured.size)

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
                base=found.changes.base,
                fingerprint=found.fingerprint,
                created=_changed(found.changes.changes, ChangeKind.ADDED),
                modified=_changed(found.changes.changes, ChangeKind.MODIFIED),
                deleted=_changed(found.changes.changes, ChangeKind.DELETED),
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
    workspace: CaptureResult
    home: Path


def _blob_name(number: int, name: PartName) -> str:
    return f"{_PREFIX}{number}-{name.value}"


def _number_of(blob: Blob) -> int:
    """0 for a blob that is no part of a checkpoint."""
    text = blob.name.removeprefix(_PREFIX).partition("-")[0]
    return int(text) if blob.name.startswith(_PREFIX) and text.isdecimal() else 0


def _changed(changes: tuple[Change, ...], kind: ChangeKind) -> Changed:
    paths = [printable(change.path) for change in changes if change.kind is kind]
    return Changed(count=len(paths), first=tuple(paths[:MOST_NAMES]))


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
