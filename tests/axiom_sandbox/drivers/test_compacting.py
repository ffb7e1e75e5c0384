"""How agents are told to make their context shorter before they go on: what was recorded of the real programs, in short."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.axiom_sandbox.drivers.conversations import PLACE, Kind, new_driver, structured

from axiom_sandbox.drivers.contract import Driver, Step, Turn
from axiom_sandbox.drivers.registry import DRIVERS, make_driver
from axiom_sandbox.drivers.screen import ScreenDriver
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.channel import AgentProgram, ContextAct, ContextPolicy
from axiom_sandbox.protocol.events import Compacted, ContextFilled, TurnEnded, Usage

TURN = Turn(1, "Go on.", session="s1", resume=True, compact=True)


def heard(driver: Driver, *messages: dict[str, Any]) -> Step:
    return driver.parse(b"".join(json.dumps(message).encode() + b"\n" for message in messages))


def said(step: Step) -> list[dict[str, Any]]:
    return [json.loads(line) for line in step.write.splitlines()]


def test_claude_code_is_told_to_compact_before_the_prompt_and_the_end_of_that_is_not_the_turns() -> None:
    driver = new_driver(structured(DriverName.CLAUDE))
    begun = said(driver.begin(TURN))
    assert [one["message"]["content"] for one in begun if one["type"] == "user"] == ["/compact", "Go on."]
    counted = {
        "inputTokens": 1200,
        "outputTokens": 10,
        "cacheReadInputTokens": 0,
        "cacheCreationInputTokens": 0,
    }
    nothing = dict.fromkeys(
        ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"), 0
    )
    result = {"type": "result", "subtype": "success", "usage": nothing, "total_cost_usd": 0.005}
    boundary = {
        "type": "system",
        "subtype": "compact_boundary",
        "compact_metadata": {"trigger": "manual", "pre_tokens": 501},
    }
    compacted = heard(driver, boundary, {**result, "result": "", "modelUsage": {"m": counted}})
    assert [event.event for event in compacted.events] == ["compaction", "usage"]
    assert [one["request"]["subtype"] for one in said(compacted)] == ["get_context_usage"]
    ended = heard(driver, {**result, "result": "Done.", "modelUsage": {"m": counted}})
    assert [event.text for event in ended.events if isinstance(event, TurnEnded)] == ["Done."]


def codex(method: str, **params: Any) -> dict[str, Any]:
    return {"method": method, "params": {"threadId": "s1", **params}}


def usage(total: int, last: int, used: int) -> dict[str, Any]:
    counted = {"inputTokens": total, "outputTokens": 0, "totalTokens": total}
    recent = {"inputTokens": last, "outputTokens": 0, "totalTokens": used}
    told = {"total": counted, "last": recent, "modelContextWindow": 258400}
    return codex("thread/tokenUsage/updated", turnId="t1", tokenUsage=told)


@pytest.mark.parametrize("refused", [False, True], ids=["compacted", "refused"])
def test_codex_compacts_in_a_turn_of_its_own_and_the_prompt_follows_whatever_came_of_it(
    refused: bool,
) -> None:
    driver = new_driver(structured(DriverName.CODEX))
    driver.begin(TURN)
    heard(driver, {"id": "initialize#", "result": {}})
    thread = {"id": "s1", "cliVersion": "0.169.0"}
    opened = heard(driver, {"id": "thread/resume#", "result": {"thread": thread, "model": "gpt-5.5"}})
    assert [one["method"] for one in said(opened)] == ["thread/compact/start"]
    if refused:
        step = heard(driver, {"id": "thread/compact/start#", "error": {"code": 1, "message": "no"}})
    else:
        item = {"type": "contextCompaction", "id": "c1"}
        step = heard(
            driver,
            {"id": "thread/compact/start#", "result": {}},
            usage(1000, 600, 601),
            usage(1800, 800, 805),
            usage(1800, 0, 6858),
            codex("item/completed", turnId="t1", item=item),
            codex("turn/completed", turnId="t1", turn={"id": "t1", "status": "completed", "items": []}),
        )
        assert [event.turn.input for event in step.events if isinstance(event, Usage)] == [800]
        assert [event.fill.used for event in step.events if isinstance(event, ContextFilled)] == [
            601,
            805,
            6858,
        ]
        assert any(isinstance(event, Compacted) for event in step.events)
    assert not any(isinstance(event, TurnEnded) for event in step.events)
    [asked] = said(step)
    assert (asked["method"], asked["params"]["input"]) == ("turn/start", [{"type": "text", "text": "Go on."}])
    ended = heard(driver, codex("turn/completed", turn={"id": "t2", "status": "completed", "items": []}))
    assert [event.ok for event in ended.events if isinstance(event, TurnEnded)] == [True]


def test_gemini_cli_is_told_in_its_settings_when_to_compact_as_it_cannot_be_told_to() -> None:
    policy = ContextPolicy(percent=70, act=ContextAct.COMPACT)
    driver = make_driver(AgentProgram(driver=DriverName.GEMINI, command=("gemini",), context=policy), PLACE)
    [settings] = driver.home_files()
    assert json.loads(settings.content)["model"] == {"compressionThreshold": 0.7}
    assert (driver.compacts, driver.compacts_by_itself) == (False, True)
    other = policy.model_copy(update={"act": ContextAct.STOP})
    driver = make_driver(AgentProgram(driver=DriverName.GEMINI, command=("gemini",), context=other), PLACE)
    assert "model" not in json.loads(driver.home_files()[0].content)


@pytest.mark.parametrize("kind", [Kind(name, mode) for name, mode in DRIVERS], ids=str)
def test_claude_code_and_codex_can_be_told_to_compact_in_both_modes(kind: Kind) -> None:
    driver = new_driver(kind)
    assert driver.compacts is (kind.name in (DriverName.CLAUDE, DriverName.CODEX))
    if isinstance(driver, ScreenDriver):
        assert bool(driver.compaction) is driver.compacts
