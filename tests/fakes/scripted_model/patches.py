"""Patches in the format of Codex's `apply_patch`, read for agents whose tools write and replace instead. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .conversations import UnplayableError


@dataclass(frozen=True)
class Written:
    """A new file."""

    path: str
    content: str


@dataclass(frozen=True)
class Replaced:
    """One place of a file that was there."""

    path: str
    old: str
    new: str


def read_patch(patch: str) -> Written | Replaced:
    """The one change that a patch makes.

    Raises:
        UnplayableError: The patch makes several changes, or of another kind: one call of a tool cannot stand for it.
    """
    lines = patch.splitlines()
    if lines[:1] != ["*** Begin Patch"] or lines[-1:] != ["*** End Patch"]:
        raise UnplayableError("a patch begins with *** Begin Patch and ends with *** End Patch")
    head, body = lines[1], lines[2:-1]
    if any(line.startswith("*** ") for line in body) or sum(line.startswith("@@") for line in body) > 1:
        raise UnplayableError(
            "this agent changes one place of one file with a call: give each a patch of its own"
        )
    if head.startswith("*** Add File: "):
        return Written(head.removeprefix("*** Add File: "), "".join(f"{line[1:]}\n" for line in body))
    if head.startswith("*** Update File: "):
        changed = [line for line in body if not line.startswith("@@")]
        old, new = (
            "".join(f"{line[1:]}\n" for line in changed if line[:1] in signs) for signs in (" -", " +")
        )
        return Replaced(head.removeprefix("*** Update File: "), old, new)
    raise UnplayableError(f"only *** Add File and *** Update File can be played for this agent, not {head!r}")
