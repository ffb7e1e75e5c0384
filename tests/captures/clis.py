"""The real CLIs: which versions, where they are, and how they get there.

The versions, with the digests of their packages, stand in `sandbox-image/agents/NAME/package.json` and
`package-lock.json`, where the images take them from, too; those of an older version of each in `older/NAME`, beside what that
one says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

AGENTS = Path(__file__).parents[2] / "sandbox-image" / "agents"
OLDER = Path(__file__).parent / "older"


@dataclass(frozen=True)
class Cli:
    """One of the command-line agents."""

    name: str
    package: str
    program: str
    """Where its own binary is among the installed packages (a pattern), or the program that Node runs."""
    needs_node: bool = False
    pins: Path = AGENTS
    """Where the folder of its name is that names its version."""

    @property
    def version(self) -> str:
        """The pinned version."""
        pins = json.loads((self.pins / self.name / "package.json").read_text())
        return str(pins["dependencies"][self.package])

    @property
    def captures(self) -> Path:
        """Where what it says is kept."""
        return (OLDER if self.pins == OLDER else OLDER.parent) / self.name

    @property
    def folder(self) -> Path:
        """Where it is installed, or would be.

        The cache is AXIOM_CACHE, else `axiom` in XDG_CACHE_HOME, else in ~/.cache.
        """
        own = os.environ.get("AXIOM_CACHE")
        cache = (
            Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axiom"
        )
        return cache / "agents" / f"{self.name}-{self.version}"

    def argv(self) -> tuple[str, ...]:
        """How to start it; it is installed from its npm package unless it is there already."""
        if not self.folder.exists():
            _install(self.pins / self.name, self.folder)
        [program] = self.folder.glob(self.program)
        node = shutil.which("node") or "node"
        return (node, str(program)) if self.needs_node else (str(program),)


CLAUDE = Cli(
    "claude", "@anthropic-ai/claude-code", "node_modules/@anthropic-ai/claude-code-linux-*[!l]/claude"
)
CODEX = Cli("codex", "@openai/codex", "node_modules/@openai/codex-linux-*/vendor/*/bin/codex")
GEMINI = Cli(
    "gemini", "@google/gemini-cli", "node_modules/@google/gemini-cli/bundle/gemini.js", needs_node=True
)
OPENCODE = Cli(
    "opencode", "opencode-linux-x64-baseline", "node_modules/opencode-linux-x64-baseline/bin/opencode"
)
CLIS = {cli.name: cli for cli in (CLAUDE, CODEX, GEMINI, OPENCODE)}
ON_SCREEN = ("claude", "codex", "gemini")
"""Those that have a driver for their interactive screen."""
OLDER_CLIS = {name: replace(cli, pins=OLDER) for name, cli in CLIS.items() if (OLDER / name).exists()}


def _install(pins: Path, folder: Path) -> None:
    """Whole or not at all: npm checks each package against the digest in the lock."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.copytree(
        pins, unfinished, ignore=lambda _, names: set(names) - {"package.json", "package-lock.json"}
    )
    try:
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=unfinished,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():  # another process may have been quicker
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
