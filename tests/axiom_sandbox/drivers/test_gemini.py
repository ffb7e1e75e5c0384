"""Gemini CLI's driver on what the real Gemini CLI said."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.drivers.conversations import CAPTURES, PLACE, said_in
from tests.axiom_sandbox.drivers.listening import hear, line, of, told

from axiom_sandbox.drivers.contract import Step, Turn, UnsupportedError
from axiom_sandbox.drivers.gemini import GeminiDriver
from axiom_sandbox.protocol.agents import Activity, DriverName, StatementKind, Tokens
from axiom_sandbox.protocol.approvals import Approvals, Decision, Permission
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import (
    AgentMessage,
    ApiRetried,
    ApprovalAsked,
    AssistantDelta,
    AssistantMessage,
    Reasoning,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)

ALLOW = Decision(permission=Permission.ALLOW, by="policy")
DENY = Decision(permission=Permission.DENY, by="ada", message="Not in this task.")
SESSION = "00000000-0000-7000-8000-000000000001"
QUOTA = {"quota": {"token_count": {"input_tokens": 7, "output_tokens": 3}}}


def new_driver(approvals: Approvals | None = None, turn: Turn | None = None) -> GeminiDriver:
    program = AgentProgram(driver=DriverName.GEMINI, command=("gemini",), approvals=approvals or Approvals())
    driver = GeminiDriver(program, PLACE)
    driver.begin(turn or Turn(1, "Write hello.py."))
    return driver


def update(session_update: str, **content: Any) -> bytes:
    body = {"sessionUpdate": session_update, **content}
    return line(jsonrpc="2.0", method="session/update", params={"sessionId": SESSION, "update": body})


def test_a_turn_is_recorded_from_thought_to_claim() -> None:
    step = hear(new_driver(), "plain")

    [opened] = of(SessionOpened, step)
    assert (opened.session, opened.version) == (SESSION, "0.61.0")
    assert [event.text for event in of(Reasoning, step)] == ["The person wants a file that prints hello."]
    assert [event.text for event in of(AssistantMessage, step)] == [
        "I write the file, and try it.",
        "Done: hello.py prints hello.",
    ]
    wrote, ran = of(ToolCall, step)
    assert (wrote.tool, wrote.input["path"]) == ("write_file", "/workspace/hello.py")
    assert (ran.tool, ran.input) == (
        "run_shell_command",
        {"command": "cat hello.py; echo trouble >&2; exit 3"},
    )
    assert [event.id for event in of(ToolReturn, step)] == [wrote.id, ran.id]
    [ended] = of(TurnEnded, step)
    assert (ended.ok, ended.reason, ended.text) == (True, "end_turn", "Done: hello.py prints hello.")
    assert of(AgentMessage, step) == [], "nothing that it said was unknown"


def test_what_the_model_is_saying_is_told_in_pieces_and_then_whole() -> None:
    driver = new_driver()
    hear(driver, "plain")
    driver.parse(update("agent_message_chunk", content={"type": "text", "text": "Hel"}))
    assert [event.text for event in of(AssistantDelta, driver.flush())] == ["Hel"]
    driver.parse(update("agent_message_chunk", content={"type": "text", "text": "lo."}))
    call = update("tool_call", toolCallId="ls__1", status="in_progress", title="ls", kind="execute")
    step = driver.parse(call)
    assert [event.event for event in step.events] == ["assistant_msg", "tool_call"]
    assert of(AssistantMessage, step)[0].text == "Hello."


def test_usage_is_told_at_the_end_of_a_turn_and_adds_up_over_turns() -> None:
    usages = of(Usage, hear(new_driver(), "two_turns"))
    assert len(usages) == 2
    assert sum((usage.turn for usage in usages), Tokens()) == usages[-1].total


def test_a_session_goes_on_and_its_past_is_not_told_again() -> None:
    driver = new_driver()
    running = of(ToolCall, hear(driver, "killed"))[-1]
    [lost] = of(ToolReturn, driver.ended())
    assert (lost.id, lost.lost) == (running.id, True)

    driver.begin(Turn(1, "Go on.", session=SESSION, resume=True))
    step = hear(driver, "killed", process=2)
    assert [message["method"] for message in told(step)] == [
        "session/load",
        "session/set_mode",
        "session/prompt",
    ]
    assert told(step)[0]["params"]["sessionId"] == SESSION
    assert of(ToolCall, step) == of(ToolReturn, step) == []
    assert [event.text for event in of(AssistantMessage, step)] == ["I go on."]


def test_a_session_that_cannot_be_loaded_is_left_for_a_new_one() -> None:
    driver = new_driver(turn=Turn(2, "Go on.", session="gone", resume=True))
    error = {"code": -32603, "message": "Internal error", "data": {"details": "No previous sessions found."}}
    step = driver.parse(line(id="session/load#0.61.0", error=error))
    assert (step.close, driver.memory.can_resume, of(TurnEnded, step)) == (True, False, [])
    assert "No previous sessions found." in of(AgentMessage, step)[0].content


def test_a_prompt_that_is_refused_ends_the_turn() -> None:
    error = {"code": -32603, "message": "Internal error", "data": {"details": "no key"}}
    [ended] = of(TurnEnded, new_driver().parse(line(id="session/prompt#", error=error)))
    assert (ended.ok, ended.reason, ended.text) == (False, "error", "Internal error\nno key")


@pytest.mark.parametrize(
    ("approvals", "mode"), [(Approvals(), "yolo"), (Approvals(default=Permission.ASK), "default")]
)
def test_gemini_is_told_to_ask_only_where_the_answer_may_differ(approvals: Approvals, mode: str) -> None:
    step = new_driver(approvals).parse(line(id="session/new#1", result={"sessionId": "s"}))
    assert told(step)[0]["params"] == {"sessionId": "s", "modeId": mode}


def _at_the_first_question(story: str) -> tuple[bytes, bytes]:
    lines = said_in(CAPTURES / "gemini" / f"{story}.jsonl").splitlines(keepends=True)
    at = next(index for index, said in enumerate(lines) if b"request_permission" in said)
    return b"".join(lines[: at + 1]), b"".join(lines[at + 1 :])


def test_an_approval_shows_what_the_tool_would_do() -> None:
    driver = new_driver(Approvals(default=Permission.ASK))
    before, after = _at_the_first_question("approved")
    step = driver.parse(before)
    [call], [asked] = of(ToolCall, step), of(ApprovalAsked, step)
    assert (asked.tool, asked.call) == ("write_file", call.id)
    assert (asked.input["path"], asked.input["content"]) == ("/workspace/hello.py", 'print("hello")\n')
    assert driver.memory.activity is Activity.WAITING_FOR_APPROVAL

    [answer] = told(driver.answer(asked.id, ALLOW))
    assert (answer["id"], answer["result"]["outcome"]["optionId"]) == (0, "proceed_once")
    step = driver.parse(after)
    assert of(ToolReturn, step)[0].id == call.id
    assert len(of(ToolCall, step)) == 1, "the call that was asked for is not told twice"


def test_a_denied_tool_has_not_run_although_gemini_never_says_so() -> None:
    driver = new_driver(Approvals(default=Permission.ASK))
    before, after = _at_the_first_question("denied")
    [asked] = of(ApprovalAsked, driver.parse(before))
    step = driver.answer(asked.id, DENY)
    assert told(step)[0]["result"]["outcome"]["optionId"] == "cancel"
    [returned] = of(ToolReturn, step)
    assert (returned.id, returned.ok, returned.text) == (asked.call, False, "Not in this task.")
    assert of(ToolReturn, driver.parse(after)) == []


def answer_over(given: int) -> bytes:
    return line(
        jsonrpc="2.0", id=f"session/prompt#{given or ''}", result={"stopReason": "end_turn", "_meta": QUOTA}
    )


def in_mid_turn(turn: Turn | None = None) -> GeminiDriver:
    driver = new_driver(turn=turn)
    driver.parse(line(jsonrpc="2.0", id=f"session/set_mode#0.61.0#{SESSION}", result={}))
    return driver


def test_what_is_said_in_mid_turn_is_told_when_the_answer_is_over_and_the_turn_goes_on() -> None:
    driver = in_mid_turn()
    assert driver.send("Make it blue.") == driver.send("And round.") == Step()
    step = driver.parse(
        update("agent_message_chunk", content={"type": "text", "text": "Green."}) + answer_over(0)
    )
    assert [event.text for event in of(AssistantMessage, step)] == ["Green."]
    assert len(of(Usage, step)) == 1
    assert of(TurnEnded, step) == []
    [asked] = told(step)
    assert asked["params"]["prompt"] == [{"type": "text", "text": "Make it blue.\n\nAnd round."}]
    step = driver.parse(answer_over(2))
    assert len(of(TurnEnded, step)) == 1
    assert told(step) == []
    with pytest.raises(UnsupportedError):
        driver.send("And small.")


def test_a_driver_made_anew_in_mid_turn_knows_what_the_agent_was_told_meanwhile() -> None:
    driver = in_mid_turn(Turn(1, "Write hello.py.", heard=("Make it blue.",)))
    assert of(TurnEnded, driver.parse(answer_over(0))) == []
    assert len(of(TurnEnded, driver.parse(answer_over(1)))) == 1


def test_a_model_that_hangs_up_is_told_again_what_was_said_in_mid_turn() -> None:
    driver = in_mid_turn()
    driver.send("Make it blue.")
    [asked] = told(driver.parse(broken_off()))
    assert asked["params"]["prompt"][0]["text"].endswith("Write hello.py.\n\nMake it blue.")
    assert len(of(TurnEnded, driver.parse(answer_over(1)))) == 1


def test_a_turn_can_be_cancelled() -> None:
    driver = new_driver()
    step = hear(driver, "interrupted")
    assert told(driver.interrupt()) == [
        {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": SESSION}}
    ]
    first, second = of(TurnEnded, step)
    assert (first.ok, first.reason, second.ok) == (False, "cancelled", True)
    [returned] = of(ToolReturn, step)
    assert not returned.ok, "a command that was cancelled has not worked, whatever its status"


def broken_off() -> bytes:
    error = {"code": 500, "message": "terminated"}
    return line(jsonrpc="2.0", id="session/prompt#", error=error)


def test_an_answer_that_breaks_off_goes_on_in_the_same_turn() -> None:
    driver = new_driver()
    step = hear(driver, "closed")
    [retried] = of(ApiRetried, step)
    assert (retried.number, retried.text) == (1, "terminated")
    assert of(AssistantMessage, step)[0].text == "This is cut "
    assert of(TurnEnded, step) == []
    asked = told(step)[-1]
    assert (asked["method"], asked["params"]["sessionId"]) == ("session/prompt", driver.memory.session)
    text = asked["params"]["prompt"][0]["text"]
    assert "Go on where you stopped" in text
    assert text.endswith(driver.turn.prompt)


def test_a_model_that_always_hangs_up_fails_the_turn() -> None:
    driver = new_driver()
    hear(driver, "closed")
    steps = [driver.parse(broken_off()) for _ in range(3)]
    assert [len(of(ApiRetried, step)) for step in steps] == [1, 1, 0]
    [ended] = of(TurnEnded, steps[-1])
    assert (ended.ok, ended.reason, ended.text) == (False, "error", "terminated")


def test_files_and_commands_stand_in_the_claim_in_parts() -> None:
    driver = new_driver()
    hear(driver, "plain")
    assert [(one.kind, one.subject) for one in driver.memory.statements] == [
        (StatementKind.FILE_WRITTEN, "hello.py"),
        (StatementKind.COMMAND_RAN, "cat hello.py; echo trouble >&2; exit 3"),
    ]


def test_a_request_that_is_not_known_is_refused_and_kept() -> None:
    step = new_driver().parse(line(jsonrpc="2.0", id=3, method="fs/read_text_file", params={}))
    assert told(step)[0]["error"]["code"] == -32601
    assert of(AgentMessage, step)[0].kind == "fs/read_text_file"


def test_the_prepared_settings_send_nothing_home() -> None:
    [settings] = new_driver().home_files()
    held = json.loads(settings.content)
    assert settings.path == ".gemini/settings.json"
    assert (held["telemetry"]["enabled"], held["privacy"]["usageStatisticsEnabled"]) == (False, False)
    assert held["general"]["enableAutoUpdate"] is False


def test_before_a_session_goes_on_its_records_get_names_that_a_new_one_cannot_take(tmp_path: Path) -> None:
    chats = tmp_path / ".gemini" / "tmp" / "workspace" / "chats"
    chats.mkdir(parents=True)
    (chats / "session-2026-01-01T00-00-abcdef12.jsonl").write_text("old")
    (chats / "session-2025-01-01T00-00-abcdef12.kept.jsonl").write_text("older")
    program = AgentProgram(driver=DriverName.GEMINI, command=("ls",))
    command = GeminiDriver(program, PLACE).command(Turn(2, "x", session="abcdef12-0", resume=True))
    argv = [*command.argv[: command.argv.index("ls")], "ls", str(chats)]
    listed = subprocess.run(
        argv, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == [
        "session-2025-01-01T00-00-abcdef12.kept.jsonl",
        "session-2026-01-01T00-00-abcdef12.kept.jsonl",
    ]
