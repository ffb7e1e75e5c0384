"""Which driver an agent gets."""

from __future__ import annotations

import pytest
from tests.axiom_sandbox.drivers.conversations import PLACE

from axiom_sandbox.drivers import registry
from axiom_sandbox.drivers.claude import ClaudeDriver
from axiom_sandbox.drivers.generic import GenericDriver
from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.channel import AgentProgram


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        (DriverName.CLAUDE, AgentMode.STRUCTURED, ClaudeDriver),
        (DriverName.CLAUDE, AgentMode.TERMINAL, GenericDriver),
        (DriverName.GENERIC, AgentMode.TERMINAL, GenericDriver),
    ],
)
def test_an_agent_on_its_terminal_is_any_command(name: DriverName, mode: AgentMode, kind: type) -> None:
    program = AgentProgram(driver=name, mode=mode, command=("agent", "$(AXIOM_PROMPT)"))
    assert type(registry.make_driver(program, PLACE)) is kind


def test_a_name_without_a_driver_says_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry.DRIVERS, DriverName.CODEX)
    with pytest.raises(LookupError, match="no driver for Codex yet; use mode Terminal"):
        registry.make_driver(AgentProgram(driver=DriverName.CODEX, command=("codex",)), PLACE)
