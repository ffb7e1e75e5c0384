"""VerificationProfiles: how they join a task, and the template that comes along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from axiom.api.loading import RefusedError, load_criteria, load_manifest, parse_profile, parse_task
from axiom.api.profile import ProfileError, added, to_text
from axiom.planning.briefing import prompt_of
from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.criteria import Criterion, ToolUseCriterion

EXAMPLE = Path(__file__).parents[3] / "examples" / "profiles" / "code-execution.yaml"
CLASS = {
    "apiVersion": "axiom.dev/v1alpha1",
    "kind": "AgentClass",
    "metadata": {"name": "c"},
    "spec": {"command": ["$(AXIOM_PROMPT)"]},
}


def profile(name: str, *criteria: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "VerificationProfile",
        "metadata": {"name": name},
        "spec": {"criteria": list(criteria)},
    }


def task(*profiles: str, criteria: list[dict[str, Any]]) -> dict[str, Any]:
    spec = {
        "agentClassName": "c", "prompt": "do", "criteria": criteria, "verification": {"profiles": list(profiles)},
    }  # fmt: skip
    return {"apiVersion": "axiom.dev/v1alpha1", "kind": "AgentTask", "metadata": {"name": "t"}, "spec": spec}


OWN = [Criterion.model_validate({"name": "scope", "diff": {}})]


def diff(name: str, **spec: Any) -> dict[str, Any]:
    return {"name": name, "diff": spec}


def test_of_each_name_the_tasks_own_criterion_counts_then_that_of_the_first_profile() -> None:
    one, two = (
        parse_profile(profile("one", diff("scope", maxFiles=1), diff("a", maxFiles=1))),
        parse_profile(profile("two", diff("a", maxFiles=2), diff("b"))),
    )
    more = added(OWN, ["one", "two"], [two, one])
    assert [(each.name, each.diff.max_files) for each in more if each.diff] == [("a", 1), ("b", None)]
    assert added(OWN, [], [one, two]) == []


def test_a_profile_that_is_missing_and_more_criteria_than_a_task_may_have() -> None:
    many = parse_profile(profile("many", *(diff(f"c{n}") for n in range(16))))
    with pytest.raises(ProfileError, match="there is no VerificationProfile 'gone'; create it"):
        added(OWN, ["gone"], [many])
    with pytest.raises(ProfileError, match="has 17 criteria, and 16 is the most; take some out"):
        added(OWN, ["many"], [many])


def test_what_was_added_is_kept_in_the_status_and_shown_to_the_agent() -> None:
    more = added(OWN, ["one"], [parse_profile(profile("one", diff("late", maxFiles=3)))])
    found = parse_task(task("one", criteria=[diff("scope")]))
    status = found.status.model_copy(update={"profile_criteria": to_text(more)})
    found = found.model_copy(update={"status": status})
    assert [criterion.name for criterion in found.criteria] == ["scope", "late"]
    assert found.criteria[1] == more[0]
    agent_class = load_manifest_of([CLASS, task(criteria=[diff("scope")])])
    assert "late" in prompt_of(found, agent_class)
    assert to_text([]) == ""


def test_an_agent_whose_message_is_its_work_is_told_how_to_give_code() -> None:
    found = parse_task(task(criteria=[diff("scope")]))
    asked = found.spec.verification.model_copy(
        update={"candidate": CandidateSource.MESSAGE, "message_path": "src/leap.py"}
    )
    spec = found.spec.model_copy(update={"verification": asked})
    told = prompt_of(found.model_copy(update={"spec": spec}), load_manifest_of([CLASS]))
    assert "```python src/leap.py" in told
    assert "A block that names no file is src/leap.py." in told
    assert "final message" not in prompt_of(found, load_manifest_of([CLASS]))


def load_manifest_of(documents: list[dict[str, Any]]) -> Any:
    from axiom.api.loading import parse_class

    return parse_class(documents[0])


def test_files_bring_profiles_along_for_runs_and_for_verifications(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(
        yaml.safe_dump_all([task("one", criteria=[diff("scope")]), CLASS, profile("one", diff("late"))])
    )
    assert [each.name for each in load_manifest([path]).profile_criteria] == ["late"]
    path.write_text(
        yaml.safe_dump_all(
            [
                {"criteria": [diff("scope")], "verification": {"profiles": ["one"]}},
                profile("one", diff("late")),
            ]
        )
    )
    assert [each.name for each in load_criteria(path).criteria] == ["scope", "late"]
    path.write_text(yaml.safe_dump_all([task("gone", criteria=[diff("scope")]), CLASS]))
    with pytest.raises(
        RefusedError, match=r"spec.verification.profiles: there is no VerificationProfile 'gone'"
    ):
        load_manifest([path])


def test_in_the_template_for_research_three_sources_must_all_be_readable() -> None:
    template = parse_profile(yaml.safe_load((EXAMPLE.parent / "research.yaml").read_text()))
    [criterion] = added(OWN, ["research"], [template])
    assert criterion.research
    assert (criterion.research.min_citations, criterion.research.min_resolved_percent) == (3, 100)
    assert criterion.research.fetched
    assert criterion.research.quotes


def test_in_the_template_for_tools_no_call_may_fail_for_good() -> None:
    template = parse_profile(yaml.safe_load((EXAMPLE.parent / "tool-use.yaml").read_text()))
    [criterion] = added(OWN, ["tool-use"], [template])
    assert criterion.tool_use == ToolUseCriterion(max_errors=0, follow_up=True)


def test_in_the_template_for_code_an_empty_diff_fails_unless_the_task_says_otherwise() -> None:
    template = parse_profile(yaml.safe_load(EXAMPLE.read_text()))
    assert template.name == "code-execution"
    by_name = {each.name: each for each in added(OWN, ["code-execution"], [template])}
    assert by_name["changed"].diff
    assert by_name["changed"].diff.require_change is True
    opted_out = [Criterion.model_validate(diff("changed", requireChange=False))]
    assert "changed" not in {each.name for each in added(opted_out, ["code-execution"], [template])}
