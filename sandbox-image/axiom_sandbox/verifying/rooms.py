"""The port through which candidates run. Implemented over the launcher; nothing here knows how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from axiom_sandbox.protocol.launching import Exit
from axiom_sandbox.protocol.pages import Shown


class RoomError(Exception):
    """The clean room itself failed: nothing is known about the candidate. The message is for a person."""


@dataclass(frozen=True)
class Look:
    """A page to look at, of a server that a job runs."""

    port: int
    path: str
    width: int
    height: int
    seconds: float
    """How long it may take."""


@dataclass(frozen=True)
class Seen:
    """What a browser showed of a page."""

    shown: Shown
    packed: bytes = b""
    """Three bytes for each pixel, row by row, compressed with zlib; empty where there is no picture."""


READY, LOOKED = "ready", "looked"
"""Channel and feed of a job with `looks`."""


@dataclass(frozen=True)
class Job:
    """One program to run in the candidate's container."""

    purpose: str
    """Why, in a few words, for the ledger."""
    argv: tuple[str, ...]
    env: dict[str, str]
    """The whole environment."""
    cwd: str
    timeout: float
    """Seconds until everything is killed."""
    feeds: dict[str, bytes] = field(default_factory=dict)
    """Name → bytes that the program reads from a pipe of its own. Descriptors from 3 on, in this order."""
    loopback: bool = False
    """Whether it may listen on, and connect to, ports of the room from 1024 on; else it has no network at all."""
    channels: tuple[str, ...] = ()
    """Names of pipes that the program writes. Descriptors follow those of the feeds."""
    looks: tuple[Look, ...] = ()
    """Pages that a browser outside looks at while it runs. With any there are two more pipes behind all others: the program closes
    READY when its server may be looked at, and LOOKED, which it reads, ends when that is done."""
    max_output: int = 256 * 1024
    """Bytes of output that are kept, the last ones."""
    max_channel: int = 8 * 1024 * 1024
    """Bytes of each channel that are kept, the first ones."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended. Everything in it was made by code that may be hostile."""

    code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    duration: float = 0.0
    """Seconds."""
    output: bytes = b""
    """The end of standard output and standard error, merged."""
    dropped: int = 0
    """Bytes of output before that."""
    channels: dict[str, bytes] = field(default_factory=dict)
    seen: tuple[Seen, ...] = ()
    """Of the job's looks, the first so many."""
    resource: Exit | None = None
    start_error: str = ""
    """Why the program could not be executed; empty when it was."""


@dataclass(frozen=True)
class Place:
    """What a job needs to know of the room it runs in."""

    workspace: str
    python: str
    tools: str


class Room(Protocol):
    """A container that holds one candidate and no network."""

    @property
    def tree(self) -> Path:
        """The trusted side's path of the directory that the candidate sees as `workspace`."""
        ...

    @property
    def workspace(self) -> str:
        """Where the candidate sees the tree, such as `/workspace`."""
        ...

    @property
    def python(self) -> str:
        """Interpreter in the candidate's container, such as `/usr/bin/python3`."""
        ...

    @property
    def tools(self) -> str:
        """Folder that the candidate sees, cannot write, and that holds the files of `TOOLS`."""
        ...

    async def run(self, job: Job) -> Outcome:
        """Runs a job to its end or its timeout, then kills every process of the candidate before it returns.

        Empties what the candidate could write outside the tree (its home, `/tmp`) before the next job.

        Raises:
            RoomError: the room is unusable.
        """
        ...


TOOLS = Path(__file__).parent / "tools"
"""The programs of ours that run beside a candidate; a room shows a copy of this folder as `Room.tools`."""


def place_of(room: Room) -> Place:
    """What jobs are told of a room."""
    return Place(room.workspace, room.python, room.tools)
