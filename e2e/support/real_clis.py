"""The real CLIs as `axiom run` starts them here: their classes with this machine's programs, and the scripts that they play."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.captures.clis import Cli
from tests.fakes.scripted_model import Script, load_script

from e2e.support.images import ROOT
from e2e.support.local_runs import INPUTS

EXAMPLES = ROOT / "examples" / "agents"
FIX = "+    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)"


def turns_of(name: str) -> list[list[dict[str, Any]]]:
    """The turns of a script of the inputs."""
    turns: list[list[dict[str, Any]]] = load_script(INPUTS / name).model_dump(exclude_none=True)["turns"]
    return turns


HONEST = turns_of("honest.json")[0]
NODE = 20
"""The oldest Node.js that runs Gemini CLI; Debian bookworm's own is older."""


def node_version() -> int:
    """0 where there is none."""
    node = shutil.which("node")
    return int(subprocess.check_output([node, "-p", "parseInt(process.versions.node)"])) if node else 0


needs_node = pytest.mark.skipif(node_version() < NODE, reason=f"Gemini CLI needs Node.js {NODE}")


def played(*turns: list[dict[str, Any]], **more: Any) -> Script:
    """These turns as a script, and what else stands in one."""
    return Script.model_validate({"turns": turns, **more})


def agent_class(cli: Cli) -> dict[str, Any]:
    """The very class of the examples, with this machine's program."""
    argv = cli.argv()
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{cli.name}.yaml").read_text())
    spec = document["spec"]
    spec["command"] = [*argv, *spec["command"][len(argv) :]]
    spec["local"]["readOnlyPaths"] = [str(cli.folder)]
    if cli.needs_node and not Path(argv[0]).is_relative_to("/usr"):
        spec["local"]["readOnlyPaths"].append(str(Path(shutil.which("node") or argv[0]).resolve().parents[1]))
    return document
