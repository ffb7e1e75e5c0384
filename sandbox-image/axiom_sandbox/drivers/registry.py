"""Which driver speaks with which agent. A new driver is one module and one line here."""

from __future__ import annotations

from importlib import import_module

from axiom_sandbox.drivers.contract import Driver, Place
from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.channel import AgentProgram

_STRUCTURED, _TERMINAL = AgentMode.STRUCTURED, AgentMode.TERMINAL
DRIVERS: dict[tuple[DriverName, AgentMode], str] = {
    (DriverName.CLAUDE, _STRUCTURED): "axiom_sandbox.drivers.claude:ClaudeDriver",
    (DriverName.CLAUDE, _TERMINAL): "axiom_sandbox.drivers.claude_terminal:ClaudeTerminalDriver",
    (DriverName.CODEX, _STRUCTURED): "axiom_sandbox.drivers.codex:CodexDriver",
    (DriverName.CODEX, _TERMINAL): "axiom_sandbox.drivers.codex_terminal:CodexTerminalDriver",
    (DriverName.GEMINI, _STRUCTURED): "axiom_sandbox.drivers.gemini:GeminiDriver",
    (DriverName.GEMINI, _TERMINAL): "axiom_sandbox.drivers.gemini_terminal:GeminiTerminalDriver",
    (DriverName.GENERIC, _TERMINAL): "axiom_sandbox.drivers.generic:GenericDriver",
    (DriverName.OPEN_CODE, _STRUCTURED): "axiom_sandbox.drivers.opencode:OpenCodeDriver",
}
"""Modules by name and mode: a pod's start waits for the one that it needs, and not for the others."""


def driver_class(name: DriverName, mode: AgentMode) -> type[Driver]:
    """The driver of an agent in this mode; any command has but one. Raises LookupError."""
    spoken = (name, _TERMINAL if name is DriverName.GENERIC else mode)
    if spoken not in DRIVERS:
        modes = " or ".join(found.value for known, found in DRIVERS if known is name) or "no mode"
        raise LookupError(f"mode: {name} has no mode {mode}; it has {modes}")
    module, _, attribute = DRIVERS[spoken].partition(":")
    found: type[Driver] = getattr(import_module(module), attribute)
    return found


def make_driver(program: AgentProgram, place: Place) -> Driver:
    """The driver of this program, at the beginning of a session."""
    return driver_class(program.driver, program.mode)(program, place)
