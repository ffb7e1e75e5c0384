"""Which driver speaks with which agent. A new driver is one module and one line here."""

from __future__ import annotations

from importlib import import_module

from axiom_sandbox.drivers.contract import Driver, Place
from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.channel import AgentProgram

DRIVERS: dict[DriverName, str] = {
    DriverName.CODEX: "axiom_sandbox.drivers.codex:CodexDriver",
    DriverName.GEMINI: "axiom_sandbox.drivers.gemini:GeminiDriver",
    DriverName.GENERIC: "axiom_sandbox.drivers.generic:GenericDriver",
    DriverName.CLAUDE: "axiom_sandbox.drivers.claude:ClaudeDriver",
}
"""Modules by name: a pod's start waits for the one that it needs, and not for the others."""


def driver_class(name: DriverName, mode: AgentMode) -> type[Driver]:
    """The driver of an agent in this mode. In mode Terminal each agent is any command. Raises LookupError."""
    spoken = DriverName.GENERIC if mode is AgentMode.TERMINAL else name
    if spoken not in DRIVERS:
        raise LookupError(f"there is no driver for {spoken} yet; use mode Terminal, or the driver Generic")
    module, _, attribute = DRIVERS[spoken].partition(":")
    found: type[Driver] = getattr(import_module(module), attribute)
    return found


def make_driver(program: AgentProgram, place: Place) -> Driver:
    """The driver of this program, at the beginning of a session."""
    return driver_class(program.driver, program.mode)(program, place)
