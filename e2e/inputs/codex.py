"""The real Codex CLI: where its binary is, and how it gets there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

VERSION = "0.169.0"


def codex_binary() -> Path:
    """Path of Codex's own binary, installed from its npm package into the cache unless it is there already.

    The cache is AXIOM_CACHE, else `axiom` in XDG_CACHE_HOME, else in ~/.cache.
    """
    binary = _cache() / f"codex-{VERSION}" / "bin" / "codex"
    if not binary.exists():
        _install(binary)
    return binary


def _cache() -> Path:
    own = os.environ.get("AXIOM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axiom"


def _install(binary: Path) -> None:
    package = binary.parents[1] / "npm"
    subprocess.run(
        ["npm", "install", "--prefix", package, "--no-audit", "--no-fund", f"@openai/codex@{VERSION}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    [installed] = package.glob("node_modules/@openai/codex-linux-*/vendor/*/bin/codex")
    binary.parent.mkdir(exist_ok=True)
    unfinished = binary.with_name(f"codex.{os.getpid()}")
    shutil.copy2(installed, unfinished)
    unfinished.chmod(0o755)
    unfinished.replace(binary)
    shutil.rmtree(package)
