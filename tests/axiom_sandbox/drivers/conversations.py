"""What each agent says to its driver: whole conversations, as bytes of its standard output. Nothing here is a driver's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Kind:
    """A driver: an agent, in one of its modes."""

    name: DriverName
    mode: AgentMode

    def __str__(self) -> str:
        return f"{self.name}-{self.mode}"


def structured(name: DriverName) -> Kind:
    """Its driver that speaks in messages."""
    return Kind(name, AgentMode.STRUCTURED)


def filed(name: DriverName) -> dict[str, bytes]:
    """What the real agent wrote into the file of its session in mode Terminal: of each recorded story."""
    found = sorted((CAPTURES / name.lower() / "screens").glob("*.jsonl"))
    return {
        path.stem: b"".join(line["file"].encode() for line in lines_of(path) if "file" in line)
        for path in found
    }


def lines_of(path: Path) -> list[dict[str, Any]]:
    """A capture's lines, without its head."""
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


CONVERSATIONS: dict[Kind, dict[str, bytes]] = {
    **{structured(name): captured(name) for name in (DriverName.CLAUDE, DriverName.CODEX, DriverName.GEMINI)},
    **{
        Kind(name, AgentMode.TERMINAL): filed(name)
        for name in (DriverName.CLAUDE, DriverName.CODEX, DriverName.GEMINI)
    },
    structured(DriverName.OPEN_CODE): captured(DriverName.OPEN_CODE),
    Kind(DriverName.GENERIC, AgentMode.TERMINAL): {"anything": b"what it prints is on its terminal\n"},
}
"""By driver and name. Recorded ones are read from tests/captures."""
PROGRAMS: dict[DriverName, AgentProgram] = {
    DriverName.GENERIC: AgentProgram(command=("agent", "$(AXIOM_PROMPT)")),
}
"""How each agent is started where a class says no more than it must."""


def new_driver(kind: Kind) -> Driver:
    """At the beginning of a session."""
    program = PROGRAMS.get(kind.name, AgentProgram(driver=kind.name, mode=kind.mode, command=("agent",)))
    return driver_class(kind.name, kind.mode)(program, PLACE)
