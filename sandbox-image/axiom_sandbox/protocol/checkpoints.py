"""A checkpoint: everything that an agent's sandbox needs in order to go on elsewhere, as a manifest that names its parts.

The manifest is a blob, and so is each part; their digests are checked before anything of them is used. A manifest of a
version that is not known here is refused, so the number rises with every change that an older reader would misread.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from axiom_sandbox.protocol.agents import AgentMode, AgentState, DriverName, Session, Tokens
from axiom_sandbox.protocol.identity import Identity
from axiom_sandbox.protocol.model import Message

VERSION = 1
MOST_NAMES = 200
"""Of each kind of changed path so many are named; all of them are counted."""


class Why(StrEnum):
    """What a checkpoint was taken for."""

    TURN = "Turn"
    """A round's turn had ended."""
    TIMER = "Timer"
    """The agent had worked for a while since the last one."""
    DEMAND = "Demand"
    """Somebody asked for one."""
    SUSPEND = "Suspend"
    """The task was suspended, or rolled back to another checkpoint."""
    LEAVING = "Leaving"
    """The sandbox was told to end: a node is drained, or a pod evicted."""


class PartName(StrEnum):
    """What a checkpoint is made of."""

    WORKSPACE = "workspace"
    """The tree of the workspace: `snapshots.states`."""
    HOME = "home"
    """That of the agent's home, its session files alone where these are known."""
    PACK = "pack"
    """Chunks of both; a manifest names each pack that its trees need."""
    SCREEN = "screen"
    """The bytes that make a fresh terminal of the same size show the same; missing where no emulator was there."""
    TERMINAL = "terminal"
    """The last output of its terminal."""
    INTERVENTIONS = "interventions"
    """Who did what to it so far, one JSON object a line."""


class Part(Message):
    """One part, as a blob."""

    name: PartName
    digest: str
    """SHA-256, hexadecimal."""
    size: int
    """Bytes."""


class Keeping(Message):
    """What checkpoints keep of a workspace."""

    ignore: tuple[str, ...] = ()
    """Patterns as in a .gitignore: what fits is left out, but for what the base has."""
    max_files: int = 200_000
    """With more files, directories and links there is no checkpoint …"""
    max_bytes: int = 16 * 1024**3
    """… nor with more bytes in its files."""


class Changed(Message):
    """Paths of the workspace that differ from the base."""

    count: int = 0
    first: tuple[str, ...] = ()
    """The first of them, by name."""


class WorkspaceMoment(Message):
    """The workspace, in words."""

    base: str
    """Digest of the base archive that the agent was given."""
    based_ns: int = 0
    """Unix time in ns at which that was put in place, before the agent's first start."""
    fingerprint: str
    """Equal fingerprints are equal workspaces: the tree must have this one."""
    files: int = 0
    size: int = 0
    """Bytes of its files."""
    left_out: tuple[str, ...] = ()
    """What cannot be kept: sockets, pipes, devices; the first of them."""
    ignore: tuple[str, ...] = ()
    """The patterns by which the rest was chosen."""
    ignored: Changed = Changed()
    """What they left out, a directory with all that is in it as one path."""
    created: Changed = Changed()
    modified: Changed = Changed()
    deleted: Changed = Changed()
    directory: str = ""
    """Where the agent works, as it sees it."""


class TerminalMoment(Message):
    """The terminal, but for what it shows."""

    columns: int
    rows: int
    raw: bool
    """It hands over each key at once, and shows none by itself."""
    termios: tuple[int, int, int, int, int, int] | None = None
    """Input, output, control and local modes, input and output speed, as tcgetattr gives them."""
    control_characters: tuple[int, ...] = ()
    output_bytes: int = 0
    """Bytes of output so far, in this attempt's recording."""
    cursor: tuple[int, int] | None = None
    """Column and row, from 0; None: no emulator was there."""
    alternate: bool = False
    """It uses the second screen."""
    modes: tuple[int, ...] = ()
    """Private modes that are on."""
    title: str = ""
    unfinished: str = ""
    """An escape sequence, or a character, that had come in part: hexadecimal."""


class DriverMoment(Message):
    """What the driver knows of its session."""

    name: DriverName
    mode: AgentMode
    session: Session | None = None
    """The agent's own name for it, and the tools that ran; None: there is none to go on with."""
    version: str = ""
    total: Tokens = Tokens()
    """Tokens of the session so far, in the agent's word."""
    total_micro_usd: int | None = None


class LedgerPosition(Message):
    """The last record before the checkpoint."""

    path: str
    """Key prefix of its ledger's segments."""
    records: int
    head: str
    """Hash of that record."""


class Manifest(Message):
    """One checkpoint."""

    version: Literal[1] = 1
    identity: Identity
    number: int
    """1, 2, … over the whole task."""
    before: str = ""
    """Digest of the checkpoint before this one that the same agent came from; empty: there is none."""
    why: Why
    taken_ms: int
    """Unix time in ms."""
    round: int
    turn_over: bool
    """The round's turn had ended; else the agent was in the middle of it."""
    last_prompt: str
    """What the agent was told last."""
    state: AgentState | None = None
    """What it was doing."""
    driver: DriverMoment
    workspace: WorkspaceMoment
    terminal: TerminalMoment | None = None
    """None: no process of it ran."""
    ledger: LedgerPosition
    interventions: int = 0
    """How many there were."""
    parts: tuple[Part, ...]

    def part(self, name: PartName) -> Part | None:
        """The part of this name."""
        return next((part for part in self.parts if part.name is name), None)


class CheckpointTaken(Message):
    """A checkpoint, as the sandbox's state tells it."""

    number: int
    digest: str
    """Of its manifest."""
    why: Why
    round: int
    turn_over: bool
    taken_ms: int
    size: int
    """Bytes of its parts."""


class Restored(Message):
    """What became of the checkpoint that a sandbox was to begin from."""

    digest: str
    number: int = 0
    ok: bool
    message: str = ""
    """Why it does not hold."""
