"""The contract of every backend that starts sandboxes itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from axiom.channel import Channel
from axiom.planning.observed import Presence
from axiom_sandbox.protocol.identity import Identity
from axiom_sandbox.protocol.launching import Network


class CannotRunError(Exception):
    """This machine cannot run sandboxes; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class SandboxSpec:
    """What a backend needs to know to start one sandbox."""

    identity: Identity
    network: Network
    processes: int
    memory_bytes: int
    read_only_paths: tuple[Path, ...] = ()
    """Paths of this machine that the untrusted side may read, besides /usr."""
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
