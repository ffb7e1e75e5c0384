"""Which backend runs a task on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from axiom.api.agentclass import AgentClassSpec
from axiom.backends.bubblewrap import BubblewrapBackend, find_bubblewrap
from axiom.backends.contract import Backend, CannotRunError
from axiom.backends.host import system
from axiom.backends.names import BackendName
from axiom_sandbox.supervising.settings import Inside


def choose_backend(wanted: BackendName, agent_class: AgentClassSpec) -> Backend:
    """A backend that works here. Raises CannotRunError; the message says what each one lacks."""
    match wanted:
        case BackendName.BUBBLEWRAP:
            return _bubblewrap()
        case BackendName.DOCKER:
            return _docker()
        case BackendName.AUTO:
            return _first_that_works(agent_class)


def choose_clean_room(wanted: BackendName, image: str | None) -> Backend:
    """A backend for a verification alone. Raises CannotRunError."""
    match wanted:
        case BackendName.BUBBLEWRAP:
            return _bubblewrap()
        case BackendName.DOCKER:
            return _docker()
        case BackendName.AUTO if image:
            return _docker()
        case BackendName.AUTO:
            return _either(_bubblewrap, _docker)


def _first_that_works(agent_class: AgentClassSpec) -> Backend:
    in_image_only = bool(agent_class.image) and not is_installed(agent_class)
    if not in_image_only:
        return _either(_bubblewrap, _docker)
    try:
        return _docker()
    except CannotRunError as error:
        raise CannotRunError(
            f"the agent's command {agent_class.command[0]!r} is not on this machine, and its image"
            f" {agent_class.image} cannot be used: {error}"
        ) from error


def _either(first: Callable[[], Backend], second: Callable[[], Backend]) -> Backend:
    try:
        return first()
    except CannotRunError as error:
        why_not_first = str(error)
    try:
        return second()
    except CannotRunError as error:
        raise CannotRunError(f"no sandbox can be made: {why_not_first}. Or, with Docker: {error}") from error


def is_installed(agent_class: AgentClassSpec) -> bool:
    """Whether the agent's command is on this machine, where a sandbox of bubblewrap shows it.

    A command of the workspace, and one that is put together from variables, may be.
    """
    program = agent_class.command[0]
    inside = Inside()
    if "$(" in program or ("/" in program and not program.startswith("/")):
        return True
    if not program.startswith("/"):
        path = next((one.value for one in agent_class.env if one.name == "PATH"), inside.path)
        return "$(" in path or shutil.which(program, path=path) is not None
    if any(Path(program).is_relative_to(folder) for folder in (inside.workspace, inside.home)):
        return True
    shown = [*(bind.target for bind in system().binds), *system().links, *agent_class.local.read_only_paths]
    return any(Path(program).is_relative_to(folder) for folder in shown) and Path(program).exists()


def _bubblewrap() -> Backend:
    find_bubblewrap()
    return BubblewrapBackend()


def _docker() -> Backend:
    # Only here: its client takes a quarter of a second to load.
    from axiom.backends.docker import DockerBackend

    return DockerBackend()
