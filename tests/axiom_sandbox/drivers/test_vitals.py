"""What drivers make of an agent's talk without action, of how full its context is, and of its tokens call by call."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from tests.axiom_sandbox.drivers.conversations import (
    CAPTURES,
    CONVERSATIONS,
    Kind,
    new_driver,
    said_in,
    structured,
)

from axiom_sandbox.drivers.contract import Driver, Turn
from axiom_sandbox.drivers.memory import Memory
from axiom_sandbox.protocol.agents import AgentMode, DriverName, Fill, Tokens, Vitals
from axiom_sandbox.protocol.events import (
    AssistantMessage,
    ContextFilled,
    Event,
    ModelCall,
    SessionOpened,
    TalkedOnly,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)
from axiom_sandbox.protocol.pricing import Pricing
from axiom_sandbox.supervising.vitals import Before, overspent, vitals_of

SAYS = AssistantMessage(round=1, text="First I would look around.")
CALLS = ToolCall(round=1, id="1", tool="Bash", input={})
RETURNS = ToolReturn(round=1, id="1", tool="Bash", ok=True, text="")
ENDS = TurnEnded(round=1, ok=True, reason="success")


def driver(name: DriverName = DriverName.CLAUDE) -> Driver:
    made = new_driver(structured(name))
    made.begin(Turn(1, "Do it."))
    return made


def talks(events: Iterable[Event]) -> list[tuple[int, int]]:
    return [(event.in_row, event.in_round) for event in events if isinstance(event, TalkedOnly)]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([SAYS, ENDS], [(1, 1)]),
        ([SAYS, SAYS, SAYS, ENDS], [(1, 1), (2, 2), (3, 3)]),
        ([SAYS, CALLS, RETURNS, SAYS, ENDS], []),
        ([CALLS, RETURNS, SAYS, SAYS, CALLS, RETURNS, ENDS], [(1, 1)]),
        ([SAYS, SAYS, CALLS, RETURNS, SAYS, SAYS, ENDS], [(1, 1), (1, 2)]),
        ([CALLS, SAYS, SAYS, RETURNS, ENDS], []),
        ([SAYS, ENDS.model_copy(update={"ok": False, "reason": "error"})], []),
        ([ENDS], []),
    ],
    ids=[
        "a turn of words alone",
        "words upon words",
        "words before a tool, and a report after it",
        "words between tools",
        "a tool ends the row, not the round's count",
        "what is said while a tool runs is a sub-agent's",
        "a turn that failed",
        "nothing at all",
    ],
)
def test_what_counts_as_talk(events: list[Event], found: list[tuple[int, int]]) -> None:
    assert talks(driver().keep(events).events) == found


def test_the_row_goes_on_over_rounds_and_the_count_begins_anew() -> None:
    machine = driver()
    machine.keep([SAYS, ENDS])
    machine.begin(Turn(2, "Do it after all."))
    assert talks(machine.keep([SAYS, ENDS]).events) == [(2, 1)]


def test_a_driver_that_is_told_what_was_recorded_counts_on_and_tells_nothing_twice() -> None:
    first, second = driver(), new_driver(structured(DriverName.CLAUDE))
    second.resume(Turn(1, "Do it."))
    second.recall(first.keep([SAYS, SAYS]).events)
    assert second.memory == first.memory
    assert talks(second.keep([SAYS]).events) == [(2, 2)]


@pytest.mark.parametrize("name", [DriverName.CLAUDE, DriverName.CODEX, DriverName.GEMINI])
def test_a_real_agent_that_only_answers_has_talked_and_one_that_works_has_not(name: DriverName) -> None:
    answers = driver(name).parse(said_in(CAPTURES / name.lower() / "two_turns.jsonl")).events
    assert talks(answers)[:1] == [(1, 1)]
    assert talks(driver(name).parse(said_in(CAPTURES / name.lower() / "approved.jsonl")).events) == []


def fills(kind: Kind, story: str) -> list[Fill]:
    made = new_driver(kind)
    made.begin(Turn(1, "Do it."))
    events = (*made.parse(CONVERSATIONS[kind][story]).events, *made.ended().events)
    return [event.fill for event in events if isinstance(event, ContextFilled)]


@pytest.mark.parametrize(
    ("kind", "story", "last"),
    [
        (structured(DriverName.CLAUDE), "plain", Fill(used=900, window=1_000_000)),
        (structured(DriverName.CODEX), "plain", Fill(used=1007, window=258_400)),
        (structured(DriverName.GEMINI), "limited", Fill(used=200, window=1_048_576)),
        (structured(DriverName.OPEN_CODE), "plain", Fill(used=700, window=1_000_000)),
        (Kind(DriverName.CLAUDE, AgentMode.TERMINAL), "plain", Fill(used=800)),
        (Kind(DriverName.CODEX, AgentMode.TERMINAL), "plain", Fill(used=907, window=258_400)),
        (Kind(DriverName.GEMINI, AgentMode.TERMINAL), "plain", Fill(used=700, window=1_048_576)),
    ],
    ids=str,
)
def test_the_context_of_real_agents_fills_up(kind: Kind, story: str, last: Fill) -> None:
    found = fills(kind, story)
    assert found[-1].window == last.window
    assert found[-1] == last
    assert [fill.used for fill in found] == sorted(fill.used for fill in found)


def test_gemini_cli_in_messages_does_not_tell_what_the_last_of_several_calls_was_given() -> None:
    assert fills(structured(DriverName.GEMINI), "plain") == []


def claude_line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def test_claude_code_says_before_its_first_call_how_much_its_model_holds() -> None:
    answer = {"totalTokens": 13129, "maxTokens": 200000, "percentage": 7}
    response = {"subtype": "success", "request_id": "context", "response": answer}
    machine = driver()
    said = machine.parse(claude_line(type="control_response", response=response)).events
    assert said == (ContextFilled(round=1, fill=Fill(used=0, window=200000)),)
    usage = {"input_tokens": 10, "cache_read_input_tokens": 150_000, "cache_creation_input_tokens": 40}
    start = {"type": "message_start", "message": {"usage": usage}}
    events = machine.parse(claude_line(type="stream_event", event=start, parent_tool_use_id=None)).events
    assert events == (
        ModelCall(round=1, tokens=Tokens(input=10, cached_input=150_000, cache_write=40)),
        ContextFilled(round=1, fill=Fill(used=150_050, window=200_000)),
    )
    assert machine.memory.fill is not None
    assert machine.memory.fill.percent == 75
    events = machine.parse(claude_line(type="stream_event", event=start, parent_tool_use_id="task-1")).events
    assert [event.event for event in events] == ["model_call"], "a sub-agent's context is not its own"


def test_an_older_claude_code_that_does_not_know_the_question_costs_nothing() -> None:
    response = {"subtype": "error", "request_id": "context", "error": "unknown subtype"}
    assert driver().parse(claude_line(type="control_response", response=response)).events == ()


def test_tokens_of_calls_are_known_before_the_turn_is_over_and_no_token_twice() -> None:
    for name in (DriverName.CLAUDE, DriverName.CODEX, DriverName.GEMINI):
        machine = driver(name)
        counted: list[Tokens] = []
        for line in CONVERSATIONS[structured(name)]["plain"].splitlines(keepends=True):
            machine.parse(line)
            counted.append(machine.memory.spent)
        assert all((after - before) + before == after for before, after in pairwise(counted))
        assert machine.memory.pending == Tokens()
        assert counted[-1] == machine.memory.total
        assert counted[-1].input > 0


def test_what_a_process_used_that_was_killed_before_it_told_is_not_lost() -> None:
    memory = Memory()
    memory.begin(1)
    memory.take(ModelCall(round=1, tokens=Tokens(input=100)))
    memory.take(ModelCall(round=1, tokens=Tokens(output=5)))
    memory.begin(1)
    memory.take(ModelCall(round=1, tokens=Tokens(input=200)))
    memory.take(Usage(round=1, turn=Tokens(input=200, output=7), total=Tokens(input=200, output=7)))
    assert memory.spent == Tokens(input=300, output=12)


def test_codex_counts_what_a_compaction_used_in_a_process_that_said_nothing_yet() -> None:
    machine = driver(DriverName.CODEX)
    machine.memory.session = "thread"

    def told(total: int, last: int) -> tuple[Event, ...]:
        def counted(number: int) -> dict[str, int]:
            return {"totalTokens": number, "inputTokens": number, "outputTokens": 0}

        usage = {"total": counted(total), "last": counted(last), "modelContextWindow": 1000}
        params = {"threadId": "thread", "turnId": "turn", "tokenUsage": usage}
        line = json.dumps({"method": "thread/tokenUsage/updated", "params": params})
        return machine.parse(line.encode() + b"\n").events

    assert [event.event for event in told(1000, 600)] == ["context"], "said again when a thread goes on"
    assert told(1000, 600) == ()
    assert [event.turn.input for event in told(1800, 800) if isinstance(event, Usage)] == [800]


def test_opencode_counts_the_cost_of_a_fresh_session_from_nothing() -> None:
    machine = driver(DriverName.OPEN_CODE)

    def cost(amount: float) -> list[int | None]:
        update = {"sessionUpdate": "usage_update", "cost": {"amount": amount, "currency": "USD"}}
        line = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"update": update}})
        found = machine.parse(line.encode() + b"\n").events
        return [event.turn_micro_usd for event in found if isinstance(event, Usage)]

    machine.keep([SessionOpened(round=1, session="one")])
    assert cost(2.0) == [2_000_000]
    machine.keep([SessionOpened(round=1, session="one")])
    assert cost(2.5) == [500_000], "the same session, in another process"
    machine.keep([SessionOpened(round=1, session="two")])
    assert cost(0.3) == [300_000]
    assert machine.memory.total_micro_usd == 2_800_000


def test_a_sandbox_that_went_on_with_a_session_tells_what_was_used_in_it_alone() -> None:
    memory = Memory(total=Tokens(input=500, output=20), total_micro_usd=900)
    memory.take(ModelCall(round=1, tokens=Tokens(input=30)))
    found = vitals_of(memory, Before(Tokens(input=400, output=20), 600), Pricing(), 12)
    assert (found.tokens, found.micro_usd, found.output_per_second) == (Tokens(input=130), 300, 12)


@pytest.mark.parametrize(
    ("budget", "earlier", "spent", "is_over"),
    [
        (None, 0, 10**9, False),
        (100, 0, 99, False),
        (100, 0, 100, True),
        (100, 60, 40, True),
        (100, 60, None, False),
        (100, 100, None, True),
        (0, 0, 0, False),
        (0, 0, 1, True),
    ],
)
def test_a_budget_is_spent_by_all_attempts_together(
    budget: int | None, earlier: int, spent: int | None, is_over: bool
) -> None:
    found = overspent(1, budget, earlier, Vitals(micro_usd=spent))
    assert (found is not None) is is_over
    if found:
        assert found.spent_micro_usd == earlier + (spent or 0)
        assert found.reason.startswith("limits.budget: by its own count the agent spent $0.000")
