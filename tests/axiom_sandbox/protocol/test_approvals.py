"""What a policy decides about a use of a tool."""

from __future__ import annotations

from typing import Any

import pytest

from axiom_sandbox.drivers.statements import tests_said_to_pass as said_to_pass
from axiom_sandbox.protocol.approvals import Approvals, decide

POLICY = Approvals.model_validate(
    {
        "default": "Allow",
        "rules": [
            {"name": "status", "tool": "Bash", "pattern": "^git status$", "permission": "Allow"},
            {
                "name": "no-git",
                "tool": "Bash",
                "pattern": r"\bgit\b",
                "permission": "Deny",
                "message": "no git",
            },
            {"name": "ask-mcp", "tool": "mcp__*", "permission": "Ask"},
            {"name": "secrets", "pattern": r"\.ssh/", "permission": "Deny"},
        ],
    }
)


@pytest.mark.parametrize(
    ("tool", "given", "decided", "by"),
    [
        ("Bash", {"command": "ls"}, "Allow", "policy"),
        ("Bash", {"command": "git status"}, "Allow", "policy/status"),
        ("Bash", {"command": "cd a && git push"}, "Deny", "policy/no-git"),
        ("BashOutput", {"command": "git push"}, "Allow", "policy"),
        ("mcp__files__write", {}, "Ask", "policy/ask-mcp"),
        ("Read", {"paths": ["a", {"deep": "/home/agent/.ssh/id"}]}, "Deny", "policy/secrets"),
        ("Read", {"/x/.ssh/key": 1}, "Deny", "policy/secrets"),
        ("Read", None, "Allow", "policy"),
    ],
)
def test_the_first_rule_that_fits_decides_else_the_default(
    tool: str, given: Any, decided: str, by: str
) -> None:
    decision = decide(POLICY, tool, given)
    assert (decision.permission, decision.by) == (decided, by)


def test_an_input_too_large_to_be_searched_is_not_waved_through() -> None:
    decision = decide(POLICY, "Write", {"parts": ["x"] * 2000})
    assert (decision.permission, decision.by) == ("Deny", "policy/secrets")
    assert "too many parts" in decision.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Done. All tests pass now.", ["All tests pass now."]),
        ("I ran the suite: 12 passed.", ["I ran the suite: 12 passed."]),
        ("The tests do not pass yet.", []),
        ("The tests should pass once this is merged.", []),
        ("I can't make the tests pass.", []),
        ("I read the tests.", []),
    ],
)
def test_only_sentences_that_say_so_say_that_tests_pass(text: str, said: list[str]) -> None:
    assert [statement.subject for statement in said_to_pass(text)] == said
