"""Where a run on this machine keeps its evidence, and where its sandboxes live meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from axiom.backends.contract import Backend, CannotRunError, Sandbox, SandboxFactory, SandboxSpec
from axiom.backends.leftovers import claim, remove_leftovers, remove_scratch
from axiom.storage.folder import FolderStore
from axiom.storage.store import StorageError


@dataclass(frozen=True)
class Place:
    """The folders of one run."""

    store: FolderStore
    store_folder: Path
    runs: Path
    """Where earlier runs left their results."""
    folder: Path
    """What this one leaves."""
    scratch: Path
    """Gone when it ends."""


def default_state() -> Path:
    """`$XDG_STATE_HOME/axiom`, usually ~/.local/state/axiom."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "axiom"


@contextmanager
def run_place(state: Path, name: str, say: Callable[[str], None]) -> Iterator[Place]:
    """Folders below `state` for a run of this name; what killed runs left is removed first.

    The run's folder goes at the end if nothing was left there to keep. Raises CannotRunError.
    """
    runs = state / "runs"
    try:
        store = FolderStore(state / "store")
        folder = runs / name
        folder.mkdir(parents=True, mode=0o700)
    except (OSError, StorageError) as error:
        raise CannotRunError(
            f"{state} cannot hold the evidence: {error}; name another folder with --state"
        ) from error
    for left in remove_leftovers(runs):
        say(f"removed what a killed run had left in {left}")
    scratch = folder / "scratch"
    try:
        scratch.mkdir()
        claim(scratch)
        yield Place(store, state / "store", runs, folder, scratch)
    finally:
        remove_scratch(scratch)


def sandboxes_in(backend: Backend, scratch: Path) -> SandboxFactory:
    """Makes sandboxes that live below `scratch`."""

    def make_sandbox(spec: SandboxSpec, changed: Callable[[], None]) -> Sandbox:
        own = scratch / f"{spec.identity.attempt}-{spec.identity.slot}"
        own.mkdir()
        return backend.sandbox(spec, own, changed)

    return make_sandbox
