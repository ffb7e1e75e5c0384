"""What each agent says to its driver: whole conversations, as bytes of its standard output. Nothing here is a driver's own."""

from __future__ import annotations

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
CONVERSATIONS: dict[DriverName, dict[str, bytes]] = {
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
