"""The contract of every backend that starts sandboxes itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from axiom.channel import Channel
from axiom.planning.observed import Presence
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Layer, Network
from axiom_sandbox.supervising.settings import Inside


class CannotRunError(Exception):
    """This machine cannot run sandboxes; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class SandboxSpec:
    """What a backend needs to know to start one sandbox."""

    identity: Identity
    network: Network
    processes: int
    memory_bytes: int
    cpu_millis: int = 0
    """Thousandths of a core; 0: no limit."""
    tmp_bytes: int = 0
    """Most that the agent's /tmp holds, where it lies in memory; 0: the backend's own default."""
    image: str | None = None
    """The untrusted side's image, where the backend knows images; None: this machine's own system, read-only."""
    read_only_paths: tuple[Path, ...] = ()
    """Paths of this machine that the untrusted side may read, besides /usr."""
    write_paths: tuple[str, ...] = Inside().write_paths
    """Where the agent may write, as it sees it."""
    may_miss: tuple[Layer, ...] = ()
    """Layers of isolation that may be missing."""
    checkpoint: str = ""
    """Digest of the checkpoint to begin from; empty: from the base."""
    egress_socket: Path | None = None
    """Unix socket of the egress proxy; None: no way out at all."""


class Sandbox(Protocol):
    """One sandbox: an untrusted side under the launcher, and a trusted side with a channel."""

    async def start(self) -> None:
        """Starts both sides. Raises CannotRunError."""

    def attach(self) -> Channel:
        """A channel to the trusted side."""

    @property
    def presence(self) -> Presence:
        """Whether it is there."""

    def diagnosis(self) -> str:
        """Why it is gone, as far as its programs said; empty if they said nothing."""

    async def stop(self) -> None:
        """Ends both sides and removes what they left. Safe to call again."""


SandboxFactory = Callable[[SandboxSpec, Callable[[], None]], Sandbox]
"""Makes a sandbox; the callback is called whenever its presence changes."""


class Backend(Protocol):
    """A way to make sandboxes on this machine."""

    name: str

    async def prepare(self, images: Collection[str], say: Callable[[str], None]) -> None:
        """Before a run: removes what killed runs left, gets images that are missing. `say` is told what takes time.

        Raises CannotRunError.
        """

    def sandbox(self, spec: SandboxSpec, folder: Path, changed: Callable[[], None]) -> Sandbox:
        """A sandbox that is not started yet, and lives in `folder`."""

    def get_ready(self, role: Role) -> None:
        """A sandbox of this role will be wanted before long. Waits for nothing."""

    async def close(self) -> None:
        """After a run."""
