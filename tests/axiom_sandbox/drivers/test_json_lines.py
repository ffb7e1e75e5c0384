"""What all drivers do that read JSON, one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from tests.axiom_sandbox.drivers.conversations import PLACE

from axiom_sandbox.drivers.contract import Command, Turn
from axiom_sandbox.drivers.json_lines import JsonLinesDriver
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import AgentMessage, Event, ToolCall, ToolReturn


class Caller(JsonLinesDriver):
    """Its agent calls tools, which return in the message that calls them."""

    name = DriverName.GENERIC

    def command(self, turn: Turn) -> Command:
        raise NotImplementedError

    def open(self, turn: Turn) -> Iterable[Event]:
        return ()

    def receive(self, message: dict[str, Any]) -> Iterable[Event]:
        for identifier in message["calls"]:
            yield ToolCall(round=1, id=identifier, tool="t", input={})
        for call in tuple(self.memory.calls.values()):
            yield ToolReturn(round=1, id=call.id, tool=call.tool, ok=True, text=str(len(self.memory.calls)))
        for wanted in message.get("more", ()):
            yield ToolCall(round=1, id=wanted["id"], tool="t", input={})


@pytest.fixture
def driver() -> Caller:
    made = Caller(AgentProgram(driver=DriverName.GENERIC, command=("agent",)), PLACE)
    made.begin(Turn(1, "go"))
    return made


def told(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def test_an_event_is_remembered_before_the_next_of_its_message_is_made(driver: Caller) -> None:
    returned = [
        event for event in driver.parse(told({"calls": ["a", "b"]})).events if isinstance(event, ToolReturn)
    ]
    assert [(event.id, event.text) for event in returned] == [("a", "2"), ("b", "1")]
    assert not driver.memory.calls


def test_a_message_that_turns_out_to_be_of_another_form_is_kept_whole_behind_what_was_made_of_it(
    driver: Caller,
) -> None:
    message = {"type": "odd", "calls": ["a"], "more": [{"id": "b"}, {"no": "id"}, {"id": "c"}]}
    events = driver.parse(told(message)).events
    assert [type(event) for event in events] == [ToolCall, ToolReturn, ToolCall, AgentMessage]
    kept = events[-1]
    assert isinstance(kept, AgentMessage)
    assert (kept.kind, json.loads(kept.content)) == ("odd", message)
    assert set(driver.memory.calls) == {"b"}
