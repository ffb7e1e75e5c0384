"""The backends' names, for whoever only has to choose."""

from __future__ import annotations

from enum import StrEnum


class BackendName(StrEnum):
    """What `axiom run --backend` takes."""

    AUTO = "auto"
    """bubblewrap; Docker where bubblewrap does not work, or the agent is installed in its image alone."""
    BUBBLEWRAP = "bubblewrap"
    """Namespaces of this user's own, with this machine's system in them."""
    DOCKER = "docker"
    """Containers of the class's image."""
