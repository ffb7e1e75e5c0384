"""Runs files of tests with Jest, each in a process of its own beside `jest_witness.cjs`, and reports.

Runs as `python -I -B relay.py run_jest.py`. Files come in random order; a file's tests in their own, as in Jest they may rest on one another.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

PARTS = ("run_jest.py", "run_node.py", "relay.py", "run_pytest.py", "witness.cjs", "jest_witness.cjs")
PACKAGES = (
    "/node_modules",
    "/usr/local/share/node_modules",
    "/usr/local/lib/node_modules",
    "/usr/lib/node_modules",
)
"""Where an image may keep packages; those of the base come first."""


def main(relay: Any) -> None:
    """Reads the plan, runs each file, reports."""
    node = relay.load("run_node.py")
    plan, send = relay.begin(PARTS)
    if problem := node.unfit():
        send("unable", reason=problem)
        return
    if not _has_jest(plan):
        send("unable", reason="there is no package jest, neither in the base's node_modules nor in the image")
        return
    suite = relay.Suite(plan, send, node.SEPARATOR)
    lines_of = {path: node.code_lines(f"{plan['workspace']}/{path}") for path in plan["measured"]}
    files = sorted(plan["files"])
    suite.shuffle.shuffle(files)
    status = 0
    for file in files:
        status = node.run_file(relay, plan, suite, file, argv(relay), _told(plan), _environment()) or status
    suite.finish(lines_of, status)


def argv(relay: Any) -> list[str]:
    """How Node.js is started; tests may be modules, which Jest loads with an option alone."""
    return [
        "node",
        "--no-warnings",
        "--experimental-vm-modules",
        str(Path(relay.FOLDER) / "jest_witness.cjs"),
    ]


def _told(plan: dict[str, Any]) -> dict[str, Any]:
    packages = [str(Path(folder).parent) for folder in PACKAGES]
    return {"packages": packages, "config": plan["config"], "root": plan["root"]}


def _environment() -> dict[str, str]:
    return {**os.environ, "NODE_PATH": ":".join(PACKAGES), "NODE_ENV": "test", "CI": "true"}


def _has_jest(plan: dict[str, Any]) -> bool:
    places = [*PACKAGES]
    for file in plan["files"]:
        folder = Path(plan["workspace"], file).parent
        while folder.is_relative_to(plan["workspace"]):
            places.append(str(folder / "node_modules"))
            folder = folder.parent
    return any(Path(place, "jest", "package.json").exists() for place in places)
