"""The real Codex CLI: where its binary is."""

from __future__ import annotations

from pathlib import Path

from tests.captures.clis import CODEX


def codex_binary() -> Path:
    """Path of Codex's own binary, in a folder of its own; installed from its npm package unless it is there already."""
    [binary] = CODEX.argv()
    return Path(binary)
