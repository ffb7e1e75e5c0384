"""What tests of single drivers share: hearing a recorded story, and looking at what came of it."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from tests.axiom_sandbox.drivers.conversations import CAPTURES, said_in

from axiom_sandbox.drivers.contract import Driver, Step
from axiom_sandbox.protocol.events import Event

E = TypeVar("E", bound=Event)


def hear(driver: Driver, story: str, process: int = 1) -> Step:
    """What a driver makes of all that a process of a story said."""
    return driver.parse(said_in(CAPTURES / driver.name.lower() / f"{story}.jsonl", process))


def of(kind: type[E], step: Step) -> list[E]:
    """The events of one kind."""
    return [event for event in step.events if isinstance(event, kind)]


def told(step: Step) -> list[dict[str, Any]]:
    """The messages for the agent."""
    return [json.loads(line) for line in step.write.splitlines()]


def line(**content: Any) -> bytes:
    """A message of the agent's own."""
    return json.dumps(content).encode() + b"\n"
