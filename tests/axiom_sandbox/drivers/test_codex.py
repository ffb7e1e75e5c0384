"""Codex's driver on what the real Codex said."""

from __future__ import annotations

from typing import Any

import pytest
from tests.axiom_sandbox.drivers.conversations import CAPTURES, PLACE, said_in
from tests.axiom_sandbox.drivers.listening import hear, line, of, told

from axiom_sandbox.drivers.codex import CodexDriver
from axiom_sandbox.drivers.contract import Turn, UnsupportedError
from axiom_sandbox.protocol.agents import Activity, DriverName, Statement, StatementKind, Tokens
from axiom_sandbox.protocol.approvals import Approvals, Decision, Permission
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import (
    AgentMessage,
    ApiRetried,
    ApprovalAsked,
    ApprovalGiven,
    AssistantDelta,
    AssistantMessage,
    Compacted,
    HookRan,
    RateLimited,
    Reasoning,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)

ALLOW = Decision(permission=Permission.ALLOW, by="policy")
DENY = Decision(permission=Permission.DENY, by="ada", message="Not in this task.")
THREAD = "00000000-0000-7000-8000-000000000002"


def new_driver(approvals: Approvals | None = None, turn: Turn | None = None) -> CodexDriver:
    program = AgentProgram(driver=DriverName.CODEX, command=("codex",), approvals=approvals or Approvals())
    driver = CodexDriver(program, PLACE)
    driver.begin(turn or Turn(1, "Write hello.py."))
    return driver


def notice(method: str, **params: Any) -> bytes:
    return line(method=method, params={"threadId": THREAD, **params})


def test_a_turn_is_recorded_from_thought_to_claim() -> None:
    step = hear(new_driver(), "plain")

    [opened] = of(SessionOpened, step)
    assert (opened.session, opened.version, opened.model) == (THREAD, "0.169.0", "gpt-5.5")
    assert [event.text for event in of(Reasoning, step)] == ["The person wants a file that prints hello."]
    assert [event.text for event in of(AssistantMessage, step)] == [
        "I write the file, and try it.",
        "Done: hello.py prints hello.",
    ]
    wrote, ran = of(ToolCall, step)
    assert (wrote.tool, wrote.input["changes"][0]["path"]) == ("fileChange", "/workspace/hello.py")
    assert (ran.tool, ran.input["cwd"]) == ("commandExecution", "/workspace")
    written, failed = of(ToolReturn, step)
    assert (written.id, written.ok) == (wrote.id, True)
    assert (failed.id, failed.ok, failed.exit_code, failed.text) == (
        ran.id,
        False,
        3,
        'print("hello")\ntrouble\n',
    )
    [ended] = of(TurnEnded, step)
    assert (ended.ok, ended.reason, ended.text) == (True, "completed", "Done: hello.py prints hello.")
    assert of(AgentMessage, step) == [], "nothing that it said was unknown"


def test_what_the_model_is_saying_is_told_in_pieces_and_then_whole() -> None:
    driver = new_driver()
    hear(driver, "plain")
    driver.parse(
        notice("item/agentMessage/delta", delta="He") + notice("item/agentMessage/delta", delta="llo")
    )
    [piece] = of(AssistantDelta, driver.flush())
    assert (piece.text, piece.reasoning) == ("Hello", False)
    driver.parse(notice("item/reasoning/summaryTextDelta", delta="Hm"))
    [thought] = of(AssistantDelta, driver.flush())
    assert (thought.text, thought.reasoning) == ("Hm", True)


def test_usage_is_told_for_each_call_of_the_model_and_adds_up() -> None:
    usages = of(Usage, hear(new_driver(), "plain"))
    assert [usage.turn.input for usage in usages] == [400, 800, 1000]
    assert sum((usage.turn for usage in usages), Tokens()) == usages[-1].total


def test_what_a_resumed_thread_says_of_the_past_is_not_counted_again() -> None:
    driver = new_driver()
    before = of(Usage, hear(driver, "killed"))
    driver.ended()
    driver.begin(Turn(1, "Go on.", session=THREAD, resume=True))
    after = of(Usage, hear(driver, "killed", process=2))

    assert ([one.turn.input for one in before], [one.turn.input for one in after]) == ([400], [900])
    assert after[-1].total == Tokens(input=1300, output=19)


def test_in_another_sandbox_a_resumed_thread_begins_at_nothing() -> None:
    driver = new_driver(turn=Turn(2, "Go on.", session=THREAD, resume=True, later=True))
    [usage] = of(Usage, hear(driver, "killed", process=2))
    assert usage.turn == usage.total == Tokens(input=900, output=2)


def test_cached_input_is_counted_apart() -> None:
    driver = new_driver()
    hear(driver, "plain")
    counted = {"inputTokens": 900, "cachedInputTokens": 500, "outputTokens": 7, "reasoningOutputTokens": 3}
    total = {"inputTokens": 3100, "cachedInputTokens": 500, "outputTokens": 70, "reasoningOutputTokens": 3}
    step = driver.parse(notice("thread/tokenUsage/updated", tokenUsage={"total": total, "last": counted}))
    [usage] = of(Usage, step)
    assert usage.turn == Tokens(input=400, cached_input=500, output=7, reasoning=3)


def test_a_session_goes_on_under_its_id_and_what_ran_is_lost() -> None:
    driver = new_driver()
    running = of(ToolCall, hear(driver, "killed"))[-1]
    lost = of(ToolReturn, driver.ended())
    assert [(event.id, event.lost, event.ok) for event in lost] == [(running.id, True, False)]

    begun = told(driver.begin(Turn(1, "Go on.", session=THREAD, resume=True)))
    step = hear(driver, "killed", process=2)
    assert [message["method"] for message in (*begun, *told(step))] == [
        "initialize",
        "initialized",
        "thread/resume",
        "turn/start",
    ]
    assert told(step)[1]["params"]["threadId"] == THREAD
    assert told(step)[2]["params"]["input"] == [{"type": "text", "text": "Go on."}]
    assert of(TurnEnded, step)[-1].text == "I go on."


def test_a_thread_that_cannot_be_resumed_is_left_for_a_new_one() -> None:
    driver = new_driver(turn=Turn(2, "Go on.", session="gone", resume=True))
    driver.parse(line(id="initialize#", result={}))
    error = {"code": -32600, "message": "no rollout found"}
    step = driver.parse(line(id="thread/resume#", error=error))
    assert (step.close, driver.memory.can_resume, of(TurnEnded, step)) == (True, False, [])
    assert "no rollout found" in of(AgentMessage, step)[0].content


def test_a_handshake_that_is_refused_ends_the_turn() -> None:
    step = new_driver().parse(line(id="thread/start#", error={"code": 1, "message": "no model"}))
    [ended] = of(TurnEnded, step)
    assert (ended.ok, ended.reason, ended.text) == (False, "thread/start refused", "no model")


@pytest.mark.parametrize(
    ("approvals", "policy"),
    [
        (Approvals(), "never"),
        (Approvals(default=Permission.ASK), "untrusted"),
        (Approvals(default=Permission.DENY), "untrusted"),
    ],
)
def test_codex_is_told_to_ask_only_where_the_answer_may_differ(approvals: Approvals, policy: str) -> None:
    driver = new_driver(approvals)
    [_, start] = told(driver.parse(line(id="initialize#", result={})))
    assert (start["params"]["approvalPolicy"], start["params"]["sandbox"]) == (policy, "danger-full-access")


def test_an_approval_shows_what_the_tool_would_do_and_is_answered_in_codex_s_words() -> None:
    driver = new_driver(Approvals(default=Permission.ASK))
    before, after = _at_the_first_question("approved")
    [asked] = of(ApprovalAsked, driver.parse(before))
    assert (asked.tool, asked.input["changes"][0]["path"]) == ("fileChange", "/workspace/hello.py")
    assert driver.memory.activity is Activity.WAITING_FOR_APPROVAL

    step = driver.answer(asked.id, ALLOW)
    assert told(step) == [{"id": 0, "result": {"decision": "accept"}}]
    assert [(event.permission, event.by) for event in of(ApprovalGiven, step)] == [
        (Permission.ALLOW, "policy")
    ]
    [command] = of(ApprovalAsked, driver.parse(after))
    assert command.input["command"] == "/bin/bash -c 'touch made'"


def test_a_denied_command_is_declined_and_comes_back_as_such() -> None:
    driver = new_driver(Approvals(default=Permission.ASK))
    before, after = _at_the_first_question("denied")
    [asked] = of(ApprovalAsked, driver.parse(before))
    assert told(driver.answer(asked.id, DENY)) == [{"id": 0, "result": {"decision": "decline"}}]

    step = driver.parse(after)
    [returned] = of(ToolReturn, step)
    assert (returned.ok, returned.text) == (False, "declined")
    assert of(TurnEnded, step)[0].ok
    with pytest.raises(UnsupportedError, match="open"):
        driver.answer(asked.id, ALLOW)


def _at_the_first_question(story: str) -> tuple[bytes, bytes]:
    lines = said_in(CAPTURES / "codex" / f"{story}.jsonl").splitlines(keepends=True)
    at = next(index for index, said in enumerate(lines) if b"requestApproval" in said)
    return b"".join(lines[: at + 1]), b"".join(lines[at + 1 :])


def test_more_permissions_are_granted_for_the_turn_or_not_at_all() -> None:
    driver = new_driver(Approvals(default=Permission.ASK))
    wanted = {"network": {"enabled": True}}
    question = line(
        id="p", method="item/permissions/requestApproval", params={"itemId": "x", "permissions": wanted}
    )
    [asked] = of(ApprovalAsked, driver.parse(question))
    assert told(driver.answer(asked.id, ALLOW)) == [
        {"id": "p", "result": {"permissions": wanted, "scope": "turn"}}
    ]
    [again] = of(ApprovalAsked, driver.parse(question))
    assert told(driver.answer(again.id, DENY))[0]["result"] == {"permissions": {}, "scope": "turn"}


def test_a_question_to_the_person_at_the_screen_is_answered_with_nothing() -> None:
    step = new_driver().parse(line(id=4, method="item/tool/requestUserInput", params={"questions": []}))
    assert told(step) == [{"id": 4, "result": {"answers": {}}}]
    assert [event.message for event in of(ApprovalGiven, step)] == ["nobody is there to answer"]


def test_a_request_that_is_not_known_is_refused_and_kept() -> None:
    step = new_driver().parse(line(id=5, method="attestation/generate", params={}))
    assert told(step)[0]["error"]["code"] == -32601
    assert of(AgentMessage, step)[0].kind == "attestation/generate"


def test_what_is_said_in_mid_turn_joins_the_turn() -> None:
    driver = new_driver()
    with pytest.raises(UnsupportedError, match="which turn"):
        driver.send("Make it blue.")
    step = hear(driver, "injected")
    [steer] = told(driver.send("Make it blue."))
    assert steer["method"] == "turn/steer"
    assert steer["params"] == {
        "threadId": THREAD,
        "expectedTurnId": "00000000-0000-7000-8000-000000000003",
        "input": [{"type": "text", "text": "Make it blue."}],
    }
    [ended] = of(TurnEnded, step)
    assert ended.text == "I see: blue."


def test_an_interrupted_turn_says_so_and_its_command_has_come_to_an_end() -> None:
    driver = new_driver()
    step = hear(driver, "interrupted")
    first, second = of(TurnEnded, step)
    assert (first.ok, first.reason, second.ok) == (False, "interrupted", True)
    [returned] = of(ToolReturn, step)
    assert (returned.ok, returned.text, returned.lost) == (False, "interrupted", False)
    [stop] = told(driver.interrupt())
    assert stop["method"] == "turn/interrupt"


def test_failed_calls_of_the_model_are_counted_with_their_status() -> None:
    [limited] = of(ApiRetried, hear(new_driver(), "limited"))
    assert (limited.number, limited.status) == (1, 429)
    [closed] = of(ApiRetried, hear(new_driver(), "closed"))
    assert (closed.number, closed.status) == (1, None)
    assert "stream disconnected" in closed.text


def test_a_turn_of_a_sub_agent_is_none_of_ours() -> None:
    driver = new_driver()
    hear(driver, "two_turns")
    driver.begin(Turn(2, "More.", session=THREAD, resume=True))
    turn = {"id": "x", "status": "completed", "items": []}
    assert (
        of(TurnEnded, driver.parse(line(method="turn/completed", params={"threadId": "o", "turn": turn})))
        == []
    )
    item = {"id": "c", "type": "commandExecution", "command": "ls", "status": "inProgress"}
    step = driver.parse(
        line(method="item/started", params={"threadId": "other", "turnId": "x", "item": item})
    )
    assert [event.parent for event in of(ToolCall, step)] == ["other"]


def test_tools_of_mcp_servers_have_their_server_in_the_name() -> None:
    item = {"id": "m", "type": "mcpToolCall", "server": "docs", "tool": "find", "arguments": {"q": "x"}}
    driver = new_driver()
    [call] = of(ToolCall, driver.parse(notice("item/started", item=item)))
    assert (call.tool, call.input["arguments"]) == ("mcp__docs__find", {"q": "x"})
    done = {**item, "status": "failed", "error": {"message": "no"}}
    [returned] = of(ToolReturn, driver.parse(notice("item/completed", item=done)))
    assert (returned.ok, returned.text) == (False, '{"message": "no"}')


def test_hooks_compaction_and_limits_are_told() -> None:
    driver = new_driver()
    run = {"id": "h", "eventName": "preToolUse", "status": "blocked", "statusMessage": "no"}
    [hook] = of(HookRan, driver.parse(notice("hook/completed", run=run)))
    assert (hook.on, hook.outcome, hook.text) == ("preToolUse", "blocked", "no")
    assert of(
        Compacted, driver.parse(notice("item/completed", item={"id": "k", "type": "contextCompaction"}))
    )
    limits = {"rateLimitReachedType": "usage_limit_reached", "primary": {"resetsAt": 1800000000}}
    [limited] = of(RateLimited, driver.parse(line(method="account/rateLimits/updated", params={"rateLimits": limits})))  # fmt: skip
    assert (limited.waiting, limited.until_ms) == (True, 1_800_000_000_000)


def test_what_codex_did_stands_in_its_claim_in_parts() -> None:
    driver = new_driver()
    hear(driver, "plain")
    assert driver.memory.statements == [
        Statement(kind=StatementKind.FILE_WRITTEN, subject="hello.py"),
        Statement(
            kind=StatementKind.COMMAND_RAN,
            subject="/bin/bash -c 'cat hello.py; echo trouble >&2; exit 3'",
            ok=False,
        ),
    ]


def test_codex_fetches_nothing_but_its_model_s_words() -> None:
    command = new_driver().command(Turn(1, "x"))
    assert command.argv[:2] == ("codex", "app-server")
    assert {"analytics.enabled=false", "check_for_update_on_startup=false", "features.plugins=false"} <= set(
        command.argv
    )
