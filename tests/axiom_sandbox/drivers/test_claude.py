"""Claude Code: what its messages mean, by the recorded ones and by those that a recording has not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.axiom_sandbox.drivers.conversations import CAPTURES, CONVERSATIONS, new_driver, said_in, structured

from axiom_sandbox.drivers.contract import Driver, Step, Turn, UnsupportedError
from axiom_sandbox.protocol.agents import Activity, DriverName, Tokens
from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.events import (
    AgentMessage,
    ApiRetried,
    ApprovalAsked,
    Event,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)

ALLOWED = Decision(permission=Permission.ALLOW, by="policy")


def begun(number: int = 1) -> Driver:
    driver = new_driver(structured(DriverName.CLAUDE))
    driver.begin(Turn(number, "do it"))
    return driver


def tell(driver: Driver, **message: Any) -> Step:
    return driver.parse(json.dumps(message).encode() + b"\n")


def of(kind: type[Event], events: tuple[Event, ...]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_every_message_of_the_recordings_is_known() -> None:
    kinds = set[str]()
    for said in CONVERSATIONS[structured(DriverName.CLAUDE)].values():
        for event in of(AgentMessage, begun().parse(said).events):
            message = json.loads(event.content)
            kinds.add(message.get("subtype") or message["type"])
    # Tasks in the background have no event of their own; an interruption is said in words as well.
    assert kinds <= {"task_started", "task_notification", "task_updated", "user"}


def test_a_recorded_story_is_told_in_full() -> None:
    driver = begun()
    events = driver.parse(CONVERSATIONS[structured(DriverName.CLAUDE)]["plain"]).events
    write, shell = of(ToolCall, events)
    assert (write.tool, shell.tool) == ("Write", "Bash")
    written, ran = of(ToolReturn, events)
    assert (written.id, written.ok, written.exit_code) == (write.id, True, None)
    assert (ran.id, ran.ok, ran.exit_code) == (shell.id, False, 3)
    assert "trouble" in ran.text
    [usage] = of(Usage, events)
    assert usage.turn == usage.total == Tokens(input=1900, output=62)
    assert usage.turn_micro_usd == 8840
    [ended] = of(TurnEnded, events)
    assert (ended.ok, ended.text) == (True, "Done: hello.py prints hello.")
    assert {"reasoning", "assistant_msg"} <= {event.event for event in events}


def test_errors_of_the_model_s_api_are_told_apart() -> None:
    driver = begun()
    lines = CONVERSATIONS[structured(DriverName.CLAUDE)]["limited"].splitlines(keepends=True)
    states = [driver.memory.activity for line in lines if of(ApiRetried, driver.parse(line).events)]
    assert states == [Activity.RATE_LIMITED, Activity.API_UNREACHABLE]


def test_an_interrupted_turn_ends_and_says_so() -> None:
    [ended, *_] = of(
        TurnEnded, begun().parse(CONVERSATIONS[structured(DriverName.CLAUDE)]["interrupted"]).events
    )
    assert (ended.ok, ended.reason) == (False, "error_during_execution")


def result(counted: int, turn: int, cost: float, **more: Any) -> dict[str, Any]:
    model = {
        "inputTokens": counted,
        "outputTokens": 0,
        "cacheReadInputTokens": 0,
        "cacheCreationInputTokens": 0,
    }
    usage = {
        "input_tokens": turn,
        "output_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    return {"type": "result", "subtype": "success", "result": "", "usage": usage, "modelUsage": {"m": model},
            "total_cost_usd": cost, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("counted", "cost"), [(250, 0.00025), (150, 0.00015)], ids=["goes on counting", "counts from zero"]
)
def test_tokens_are_differences_whether_a_resumed_process_counts_on_or_anew(
    counted: int, cost: float
) -> None:
    driver = begun()
    tell(driver, **result(100, 100, 0.0001))
    driver.ended()
    driver.begin(Turn(2, "more", resume=True))
    [usage] = of(Usage, tell(driver, **result(counted, 140, cost)).events)  # 10 on the side, by another model
    assert (usage.turn.input, usage.total.input) == (150, 250)
    assert (usage.turn_micro_usd, usage.total_micro_usd) == (150, 250)


def test_what_was_said_in_mid_turn_makes_a_turn_of_its_own() -> None:
    driver = begun()
    assert not of(TurnEnded, tell(driver, **result(100, 100, 0.0001, queued_turn_count=1)).events)
    assert of(TurnEnded, tell(driver, **result(200, 100, 0.0002, queued_turn_count=0)).events)


def ask(driver: Driver, given: dict[str, Any]) -> ApprovalAsked:
    request = {"subtype": "can_use_tool", "tool_name": "Write", "input": given, "tool_use_id": "t"}
    [asked] = of(ApprovalAsked, tell(driver, type="control_request", request_id="r", request=request).events)
    assert isinstance(asked, ApprovalAsked)
    return asked


def test_an_allowed_tool_gets_its_input_back_whole_however_long_it_is() -> None:
    driver, given = begun(), {"file_path": "a", "content": "x" * 400_000}
    asked = ask(driver, given)
    assert len(json.dumps(asked.input)) < 300_000
    answer = json.loads(driver.answer(asked.id, ALLOWED).write)["response"]
    assert answer["request_id"] == "r"
    assert answer["response"] == {"behavior": "allow", "updatedInput": given}
    with pytest.raises(UnsupportedError, match="no approval 'r' is open"):
        driver.answer(asked.id, ALLOWED)


def test_a_denied_tool_is_told_why() -> None:
    driver = begun()
    asked = ask(driver, {"file_path": "a"})
    denied = Decision(permission=Permission.DENY, by="ann", message="not there")
    answer = json.loads(driver.answer(asked.id, denied).write)["response"]
    assert answer["response"] == {"behavior": "deny", "message": "not there"}


def test_a_question_that_is_taken_back_is_not_open_any_more() -> None:
    driver = begun()
    asked = ask(driver, {"file_path": "a"})
    step = tell(driver, type="control_cancel_request", request_id="r")
    assert [event.event for event in step.events] == ["approval_withdrawn"]
    with pytest.raises(UnsupportedError):
        driver.answer(asked.id, ALLOWED)


def test_a_request_that_nobody_knows_is_answered_so_that_the_agent_does_not_wait() -> None:
    step = tell(begun(), type="control_request", request_id="r", request={"subtype": "elicitation"})
    assert [event.event for event in step.events] == ["agent_message"]
    assert json.loads(step.write)["response"]["subtype"] == "error"


def test_what_nobody_understands_is_kept_ever_more_rarely() -> None:
    events = begun().parse(b"nonsense\n" * 10_000).events
    assert len(events) < 1_020
    assert isinstance(events[-1], AgentMessage)
    assert (events[-1].kind, events[-1].count) == ("malformed", 8192)


def test_a_tool_that_ran_when_the_process_was_killed_is_lost() -> None:
    driver = begun()
    driver.parse(CONVERSATIONS[structured(DriverName.CLAUDE)]["killed"])
    [lost] = of(ToolReturn, driver.ended().events)
    assert (lost.tool, lost.lost, lost.ok) == ("Bash", True, False)
    session = driver.memory.session
    driver.begin(Turn(1, "go on", session=session, resume=True))
    driver.parse(said_in(CAPTURES / "claude" / "killed.jsonl", process=2))
    assert driver.memory.session == session
    assert driver.memory.outcome is not None
    assert driver.memory.outcome.text == "I go on."
