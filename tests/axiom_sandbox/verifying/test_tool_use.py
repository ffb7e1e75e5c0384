"""Which tools an agent used: every rule, what it does not say, and holes in what is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.verifying.projects import Bench, put

from axiom_sandbox.protocol.changes import Changes
from axiom_sandbox.protocol.conduct import Conduct, ToolUse
from axiom_sandbox.protocol.criteria import Criterion, ToolUseCriterion
from axiom_sandbox.protocol.events import (
    AssistantMessage,
    Event,
    Gap,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
)
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.snapshots import Tree
from axiom_sandbox.supervising.recalling import MAX_TOOLS, Recollection
from axiom_sandbox.verifying.judging import Judgement, Side, Subject
from axiom_sandbox.verifying.tool_use import ToolUseVerifier, program_of


def use(seq: int, tool: str, given: Any, *, ok: bool = True, returned: bool = True) -> ToolUse:
    shown = json.dumps({"command": given} if isinstance(given, (str, list)) else given)
    return ToolUse(seq=seq, round=1, tool=tool, input=shown, ok=ok, returned=seq + 1 if returned else None)


def judged(spec: dict[str, Any], *uses: ToolUse, **conduct: Any) -> Judgement:
    side = Side(Tree({}), {})
    known = Conduct(**{"speaks": True, "tools": uses, **conduct})
    subject = Subject(side, side, Changes(base=""), conduct=known)
    return ToolUseVerifier().judge(ToolUseCriterion.model_validate(spec), subject, ())


TESTED = use(1, "Bash", "pytest -q")
FAILED = use(3, "Bash", "cd src && python3 -m pytest -q", ok=False)
MENDED = use(5, "Bash", "FOO=1 /usr/bin/python3 -m pytest", ok=True)
EDIT = use(7, "Edit", {"file_path": "/workspace/a.py"})
EDIT_FAILED = use(9, "Edit", {"file_path": "/workspace/a.py"}, ok=False)
EDIT_OTHER = use(11, "Edit", {"file_path": "/workspace/b.py"})

CASES: dict[str, tuple[dict[str, Any], tuple[ToolUse, ...], Verdict]] = {
    "no call at all is no error": ({}, (), Verdict.PASS),
    "a failure that nothing follows": ({}, (FAILED,), Verdict.FAIL),
    "a failure that the same program makes good": ({}, (FAILED, MENDED), Verdict.PASS),
    "a failure after the success": ({}, (TESTED, use(3, "Bash", "pytest", ok=False)), Verdict.FAIL),
    "a failure that another program follows": ({}, (FAILED, use(5, "Bash", "ls")), Verdict.FAIL),
    "a failure that another tool follows": ({}, (FAILED, EDIT), Verdict.FAIL),
    "a failure at another file": ({}, (EDIT_FAILED, EDIT_OTHER), Verdict.FAIL),
    "a failure at the same file": ({}, (EDIT_FAILED, use(11, "Edit", {"file_path": "a.py"})), Verdict.PASS),
    "a call that never came back": ({}, (use(1, "Bash", "sleep 9", ok=False, returned=False),), Verdict.FAIL),
    "every failure counts": ({"followUp": False}, (FAILED, MENDED), Verdict.FAIL),
    "as many failures as may be": ({"maxErrors": 1}, (FAILED,), Verdict.PASS),
    "what must be called was": ({"called": [{"tool": "Bash", "inputMatches": "pytest"}]}, (TESTED,), Verdict.PASS),
    "what must be called was not": ({"called": [{"tool": "Bash", "inputMatches": "ruff"}]}, (TESTED,), Verdict.FAIL),
    "a name is matched whole": ({"called": [{"tool": "Bas"}]}, (TESTED,), Verdict.FAIL),
    "a failed call is none": ({"called": [{"tool": "Bash"}], "maxErrors": 9}, (FAILED,), Verdict.FAIL),
    "a failed call, where that will do": (
        {"called": [{"tool": "Bash", "succeeded": False}], "maxErrors": 9}, (FAILED,), Verdict.PASS,
    ),
    "too often": ({"called": [{"tool": "Edit", "atMost": 1}]}, (EDIT, EDIT_OTHER), Verdict.FAIL),
    "not often enough": ({"called": [{"tool": "Edit", "atLeast": 3}]}, (EDIT, EDIT_OTHER), Verdict.FAIL),
    "in order": ({"called": [{"tool": "Bash"}, {"tool": "Edit"}], "inOrder": True}, (TESTED, EDIT), Verdict.PASS),
    "out of order": (
        {"called": [{"tool": "Edit"}, {"tool": "Bash"}], "inOrder": True}, (TESTED, EDIT), Verdict.FAIL,
    ),
    "in order, later once more": (
        {"called": [{"tool": "Edit"}, {"tool": "Bash"}], "inOrder": True},
        (TESTED, EDIT, use(9, "Bash", "pytest")), Verdict.PASS,
    ),
    "forbidden": ({"forbidden": [{"tool": "WebFetch|Bash"}]}, (TESTED,), Verdict.FAIL),
    "forbidden, though it failed": ({"forbidden": [{"tool": "Bash"}], "maxErrors": 9}, (FAILED,), Verdict.FAIL),
    "forbidden with another input": ({"forbidden": [{"tool": "Bash", "inputMatches": "rm"}]}, (TESTED,), Verdict.PASS),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_calls_are_held_against_what_is_asked_for(name: str) -> None:
    spec, uses, verdict = CASES[name]
    found = judged(spec, *uses)
    assert found.verdict is verdict, found.message


def test_where_parts_of_the_ledger_are_missing_only_what_is_seen_decides() -> None:
    wanted = {"called": [{"tool": "Edit"}], "forbidden": [{"tool": "Bash"}]}
    assert judged(wanted, TESTED, gaps=1).verdict is Verdict.FAIL
    assert judged(wanted, EDIT, gaps=1).verdict is Verdict.INCONCLUSIVE
    assert judged(wanted, dropped=3).verdict is Verdict.INCONCLUSIVE
    assert judged({}, FAILED, gaps=1).verdict is Verdict.INCONCLUSIVE


def test_an_agent_that_does_not_tell_of_its_tools_proves_nothing() -> None:
    found = judged({"forbidden": [{"tool": "Bash"}]}, speaks=False)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "mode Structured" in found.message


def test_evidence_names_the_records_that_met_each_expectation() -> None:
    found = judged({"called": [{"tool": "Bash"}, {"tool": "Edit"}], "maxErrors": 1}, TESTED, FAILED, EDIT)
    assert found.evidence["called"] == [[1], [7]]
    assert found.evidence["calls"] == {"Bash": 2, "Edit": 1}
    assert [(one["seq"], one["tool"]) for one in found.evidence["errors"]] == [(3, "Bash")]


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("pytest -q", "pytest"),
        ("cd a && cd b; CI=1 ./run.sh x", "run.sh"),
        (["/bin/bash", "-lc", "cd x && pytest"], "pytest"),
        ("bash -lc 'ruff check .'", "ruff"),
        ("timeout 30 make test", "make"),
        ("echo 'unclosed", "echo"),
        ("", ""),
        (17, ""),
    ],
)
def test_commands_are_alike_by_their_program(command: object, program: str) -> None:
    assert program_of(command) == program


async def test_without_an_agent_nothing_is_known(bench: Bench) -> None:
    found = await bench.verify({"a": "1"}, put({"a": "2"}), {"name": "tools", "toolUse": {}})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.results[0].strength is Strength.IN_PROCESS
    assert "no agent" in found.results[0].message


def call(number: int, tool: str = "Bash", **given: Any) -> ToolCall:
    return ToolCall(round=1, id=f"c{number}", tool=tool, input=given)


def came_back(number: int, *, ok: bool = True, **more: Any) -> ToolReturn:
    return ToolReturn(round=1, id=f"c{number}", tool="Bash", ok=ok, text="said", **more)


def conduct_of(*events: Event) -> Conduct:
    recollection = Recollection()
    for seq, event in enumerate(events, 1):
        recollection.take(seq, event)
    return recollection.conduct(speaks=True)


def test_calls_and_returns_are_put_together_in_the_order_of_the_calls() -> None:
    found = conduct_of(
        SessionOpened(round=1, session="s", model="m-1"),
        call(1, command="a"),
        call(2, command="b"),
        came_back(2),
        came_back(1, ok=False, exit_code=3),
        call(3, command="c"),
        came_back(3, ok=True, lost=True),
        Gap(what="conversation", start=0, end=9, size=9, reason="slow"),
        Gap(what="recording", start=0, end=9, size=9, reason="slow"),
    )
    assert [(one.seq, one.returned, one.ok, one.exit_code) for one in found.tools] == [
        (2, 5, False, 3),
        (3, 4, True, None),
        (6, None, False, None),
    ]
    assert (found.models, found.gaps, found.dropped) == (("m-1",), 1, 0)


def test_an_id_that_is_used_again_is_another_call() -> None:
    found = conduct_of(call(1, command="a"), call(1, command="b"), came_back(1))
    assert [one.ok for one in found.tools] == [False, True]


def test_what_a_turn_repeats_at_its_end_is_said_once() -> None:
    found = conduct_of(
        AssistantMessage(round=1, text="Done."), TurnEnded(round=1, ok=True, reason="success", text="Done.")
    )
    assert [one.text for one in found.words] == ["Done."]


def test_a_conduct_is_bounded_and_says_what_it_leaves_out() -> None:
    many = [call(number, command="x" * 20_000) for number in range(MAX_TOOLS + 10)]
    found = conduct_of(*many, AssistantMessage(round=1, text="y" * 40_000))
    assert found.dropped == len(many) - len(found.tools) > 10
    assert len(found.model_dump_json()) < 16 * 1024**2
    assert found.words_dropped == 1


def test_half_a_character_is_no_obstacle(tmp_path: Path) -> None:
    found = conduct_of(call(1, command="\ud83d"), AssistantMessage(round=1, text="\udc00!"))
    assert Conduct.model_validate_json(found.model_dump_json()).words[0].text == "?!"


def test_the_criterion_is_told_by_its_field() -> None:
    criterion = Criterion.model_validate({"name": "tools", "toolUse": {"called": [{"tool": "Bash"}]}})
    assert criterion.reads_conduct
