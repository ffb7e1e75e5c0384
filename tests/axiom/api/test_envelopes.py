"""When two tasks ask for the same."""

from typing import Any

import pytest

from axiom.api.agenttask import AgentTaskSpec
from axiom.api.envelopes import envelope_of

SPEC: dict[str, Any] = {
    "agentClassName": "any",
    "prompt": "do it",
    "criteria": [{"name": "out", "files": {"expect": [{"path": "out.txt"}]}}],
}


def envelope(**fields: Any) -> str:
    return envelope_of(AgentTaskSpec.model_validate(SPEC | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"limits": {"maxRounds": 9}},
        {"priority": 5},
        {"force": True},
        {"retention": {"ttlAfterComplete": "1h"}},
        {"suspend": True},
        {"review": {"decision": "Reject", "by": "jane", "why": "no"}},
        {"verification": {}},
    ],
)
def test_what_is_no_part_of_what_is_asked_for(fields: dict[str, Any]) -> None:
    assert envelope(**fields) == envelope() != ""


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "do it now"},
        {"agentClassName": "other"},
        {"workspace": {"files": [{"path": "a", "content": "b"}]}},
        {"workspace": {"git": {"url": "https://git.example/x", "revision": "a" * 40}}},
        {"criteria": [{"name": "out", "files": {"expect": [{"path": "out.md"}]}}]},
        {"capabilities": {"writePaths": ["src"]}},
    ],
)
def test_what_is(fields: dict[str, Any]) -> None:
    assert envelope(**fields) not in ("", envelope())


@pytest.mark.parametrize(
    "workspace",
    [
        {"git": {"url": "https://git.example/x", "revision": "main"}},
        {"archive": {"key": "a.tar"}},
        {"configMap": {"name": "a"}},
        {"task": {"name": "a"}},
        {"persistentVolumeClaim": {"claimName": "a"}},
        {"checkpoint": {"task": "a"}},
    ],
)
def test_a_workspace_that_may_change_is_never_the_same(workspace: dict[str, Any]) -> None:
    assert envelope(workspace=workspace) == ""
