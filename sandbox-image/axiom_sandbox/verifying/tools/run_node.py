"""Runs files of tests with Node.js's own runner, each in a process of its own beside `node_witness.mjs`, and reports.

Runs as `python -I -B relay.py run_node.py`. Files come in random order; a file's tests in their own, as node:test knows no other.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

PARTS = ("run_node.py", "relay.py", "run_pytest.py", "witness.cjs", "node_witness.mjs")
SEPARATOR = " > "
OLDEST = 20


def main(relay: Any) -> None:
    """Reads the plan, runs each file, reports."""
    plan, send = relay.begin(PARTS)
    if problem := unfit():
        send("unable", reason=problem)
        return
    suite = relay.Suite(plan, send, SEPARATOR)
    lines_of = {path: code_lines(f"{plan['workspace']}/{path}") for path in plan["measured"]}
    files = sorted(plan["files"])
    suite.shuffle.shuffle(files)
    status = 0
    for file in files:
        witness = Path(relay.FOLDER) / "node_witness.mjs"
        argv = ["node", "--no-warnings", f"--test-reporter={witness.as_uri()}", str(witness)]
        status = run_file(relay, plan, suite, file, argv, {}, dict(os.environ)) or status
    suite.finish(lines_of, status)


def run_file(
    relay: Any,
    plan: dict[str, Any],
    suite: Any,
    file: str,
    argv: list[str],
    more: dict[str, Any],
    env: dict[str, str],
) -> int:
    """Runs one file of tests in a process with a witness, and tells the suite of it.

    Args:
        more: what the witness is told besides what all are told.
    """
    left = suite.shuffle.getrandbits(32)
    sentinel = f"test {suite.shuffle.getrandbits(40):x}"
    suite.sentinel(f"{file}::{sentinel}")
    told = {
        "file": file, "workspace": plan["workspace"], "tools": str(relay.FOLDER), "measured": plan["measured"],
        "ours": plan["modules"], "sentinel": {"name": sentinel, "left": left, "right": left + 1}, **more,
    }  # fmt: skip
    begun: list[str] = []

    def on(message: dict[str, Any]) -> None:
        if message["kind"] == "start":
            begun.append(str(message["test"]))

    ended = relay.run(argv, env, plan["workspace"], told, on)
    suite.check(ended)
    broken, results = ended.said("broken"), ended.said("test")
    if broken:
        suite.error(file, f"it cannot be loaded: {broken[0]['message']}")
    elif not ended.said("loaded"):
        suite.error(file, f"{ended.ending}, before its tests were all known")
    elif not ended.said("end"):
        names = [str(result["test"]).rpartition(SEPARATOR)[2] for result in results]
        hanging = next((name for name in reversed(begun) if name not in names), "")
        suite.error(file, ended.ending + (f", in {hanging}" if hanging else ""))
    tampered = [part for message in ended.said("tampered") for part in message["parts"]]
    if tampered:
        suite.tampered(tampered)
    for message in ended.said("coverage"):
        suite.covered(message["files"])
    if ended.said("loaded"):
        for result in results:
            fields = {key: result[key] for key in ("outcome", "message", "ran", "genuine")}
            suite.take(f"{file}::{result['test']}", fields)
    return int(ended.code)


def unfit() -> str:
    """Why there is nothing to run tests with; empty: there is."""
    try:
        printed = subprocess.run(["node", "--version"], capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "there is no program node"
    major = printed.strip().removeprefix("v").partition(".")[0]
    return (
        ""
        if major.isdigit() and int(major) >= OLDEST
        else f"Node.js {OLDEST} or newer is needed, not {printed.strip()}"
    )


def code_lines(path: str) -> list[int]:
    """Lines of JavaScript that hold more than blanks, brackets and comments."""
    found, comment = [], False
    try:
        text = Path(path).read_text("utf-8", "replace")
    except OSError:
        return []
    for number, line in enumerate(text.split("\n"), 1):
        rest = line.strip()
        if comment or rest.startswith("/*"):
            _, closed, after = rest.partition("*/")
            comment, rest = not closed, after.strip() if closed else ""
        if rest.strip("{}()[];, ") and not rest.startswith("//"):
            found.append(number)
    return found
