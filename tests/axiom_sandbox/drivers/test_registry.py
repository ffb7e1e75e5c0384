"""Which driver an agent gets."""

from __future__ import annotations

import pytest
from tests.axiom_sandbox.drivers.conversations import PLACE

from axiom_sandbox.drivers import registry
from axiom_sandbox.drivers.claude import ClaudeDriver
from axiom_sandbox.drivers.claude_terminal import ClaudeTerminalDriver
from axiom_sandbox.drivers.generic import GenericDriver
from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.channel import AgentProgram


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        (DriverName.CLAUDE, AgentMode.STRUCTURED, ClaudeDriver),
        (DriverName.CLAUDE, AgentMode.TERMINAL, ClaudeTerminalDriver),
        (DriverName.GENERIC, AgentMode.TERMINAL, GenericDriver),
        (DriverName.GENERIC, AgentMode.STRUCTURED, GenericDriver),
    ],
)
def test_each_mode_of_an_agent_has_a_driver_and_any_command_has_one(
    name: DriverName, mode: AgentMode, kind: type
) -> None:
    program = AgentProgram(driver=name, mode=mode, command=("agent", "$(AXIOM_PROMPT)"))
    assert type(registry.make_driver(program, PLACE)) is kind


def test_a_mode_without_a_driver_says_which_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry.DRIVERS, (DriverName.CODEX, AgentMode.TERMINAL))
    program = AgentProgram(driver=DriverName.CODEX, mode=AgentMode.TERMINAL, command=("codex",))
    with pytest.raises(LookupError, match="mode: Codex has no mode Terminal; it has Structured"):
        registry.make_driver(program, PLACE)
