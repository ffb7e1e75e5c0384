"""What each agent says to its driver: whole conversations, as bytes of its standard output. Nothing here is a driver's own."""

from __future__ import annotations

import json
from pathlib import Path

from axiom_sandbox.drivers.contract import Driver, Place
from axiom_sandbox.drivers.registry import driver_class
from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.channel import AgentProgram

PLACE = Place(
    workspace="/workspace",
    home="/home/agent",
    proxy_url="http://127.0.0.1:8788",
    path="/usr/bin",
    token="secret-token",
)
CAPTURES = Path(__file__).parents[2] / "captures"


def captured(name: DriverName) -> dict[str, bytes]:
    """What the real agent said, in both versions of it: the first process of each recorded story."""
    folders = {"": CAPTURES / name.lower(), "older-": CAPTURES / "older" / name.lower()}
    return {
        f"{which}{path.stem}": said_in(path)
        for which, folder in folders.items()
        for path in sorted(folder.glob("*.jsonl"))
    }


def said_in(path: Path, process: int = 1) -> bytes:
    """What a process of a capture said: the n-th one that was started."""
    lines, count = [], 0
    for entry in map(json.loads, path.read_text().splitlines()):
        count += str(entry.get("note", "")).startswith("start ")
        if "from" in entry and count == process:
            lines.append(entry["from"].encode() + b"\n")
    return b"".join(lines)


CONVERSATIONS: dict[DriverName, dict[str, bytes]] = {
    DriverName.CLAUDE: captured(DriverName.CLAUDE),
    DriverName.CODEX: captured(DriverName.CODEX),
    DriverName.GEMINI: captured(DriverName.GEMINI),
    DriverName.GENERIC: {"anything": b"what it prints is on its terminal\n"},
}
"""By driver and name. Recorded ones are read from tests/captures."""
PROGRAMS: dict[DriverName, AgentProgram] = {
    DriverName.GENERIC: AgentProgram(command=("agent", "$(AXIOM_PROMPT)")),
}
"""How each agent is started where a class says no more than it must."""


def new_driver(name: DriverName) -> Driver:
    """At the beginning of a session."""
    program = PROGRAMS.get(name, AgentProgram(driver=name, command=("agent",)))
    return driver_class(name, AgentMode.STRUCTURED)(program, PLACE)
