"""Every kind of finding that pydantic has for our models becomes a sentence with the field and the cure."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.api_table import GOOD_CLASS, GOOD_TASK, changed

from axiom.api.agenttask import Limits, Workspace
from axiom.api.explaining import Problem, explain
from axiom.api.loading import RefusedError, parse_class, parse_task


def problems(change: dict[str, Any], parse: Any = parse_task, good: dict[str, Any] = GOOD_TASK) -> list[str]:
    with pytest.raises(RefusedError) as caught:
        parse(changed(good, change))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (5, "a number, but must be a string; put it in quotes"),
        (2.5, "a number, but must be a string; put it in quotes"),
        (True, "true or false, but must be a string; put it in quotes"),
        (["x"], "a list, but must be a string"),
        ({"a": "x"}, "an object, but must be a string"),
    ],
)
def test_in_place_of_a_string(value: Any, given: str) -> None:
    assert problems({"spec.prompt": value}) == [f"spec.prompt: is {given}"]


@pytest.mark.parametrize(
    ("value", "given"),
    [
        ("3", "a string"),
        (True, "true or false"),
        (2.5, "a number"),
        ([3], "a list"),
    ],
)
def test_in_place_of_a_whole_number(value: Any, given: str) -> None:
    field = "spec.criteria[1].diff.maxFiles"
    assert problems({field: value}) == [f"{field}: is {given}, but must be a whole number, without quotes"]


@pytest.mark.parametrize(("value", "given"), [("true", "a string"), (1, "a number"), ({}, "an object")])
def test_in_place_of_true_or_false(value: Any, given: str) -> None:
    said = f"spec.suspend: is {given}, but must be true or false, without quotes"
    assert problems({"spec.suspend": value}) == [said]


@pytest.mark.parametrize(
    ("value", "given"), [("x", "a string"), ({"name": "x"}, "an object"), (1, "a number")]
)
def test_in_place_of_a_list(value: Any, given: str) -> None:
    said = f"spec.criteria: is {given}, but must be a list; begin each entry with -"
    assert problems({"spec.criteria": value}) == [said]


@pytest.mark.parametrize(("value", "given"), [("x", "a string"), ([], "a list"), (False, "true or false")])
def test_in_place_of_an_object(value: Any, given: str) -> None:
    said = f"spec.limits: is {given}, but must be an object with fields of its own"
    assert problems({"spec.limits": value}) == [said]


def test_null_inside_a_list() -> None:
    said = "spec.criteria[2].command.argv[0]: is empty, but must be a string"
    assert problems({"spec.criteria[2].command.argv": [None]}) == [said]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("spec.criteria[1].diff.requirechange", "requireChange"),
        ("spec.criteria[3].tests.fail_to_pass", "failToPass"),
        ("spec.workspace.git.revison", "revision"),
        ("spec.limits.max-rounds", "maxRounds"),
        ("spec.agentClass", "agentClassName"),
    ],
)
def test_unknown_field_like_a_known_one(written: str, meant: str) -> None:
    assert problems({written: 1}) == [f"{written}: there is no such field; did you mean {meant}?"]


def test_unknown_field_unlike_any() -> None:
    assert problems({"spec.zzz": 1}) == ["spec.zzz: there is no such field; remove it"]


def test_unknown_field_of_a_class() -> None:
    said = problems({"spec.credentials[0].route.url": "x", "spec.cmd": []}, parse_class, GOOD_CLASS)
    assert said == [
        "spec.credentials[0].route.url: there is no such field; remove it",
        "spec.cmd: there is no such field; did you mean command?",
    ]


def test_unknown_field_without_a_model_to_compare_with() -> None:
    with pytest.raises(ValidationError) as caught:
        Limits.model_validate({"maxRound": 3})
    assert explain(caught.value) == [Problem("maxRound", "there is no such field; remove it")]


def test_problem_of_a_whole_object_has_no_field() -> None:
    with pytest.raises(ValidationError) as caught:
        Workspace.model_validate("x")
    [problem] = explain(caught.value)
    assert str(problem) == "is a string, but must be an object with fields of its own"


def test_several_problems_at_once() -> None:
    said = problems({"spec.prompt": 1, "spec.criteria[0].name": "A", "spec.priority": 10**30})
    assert [line.partition(": ")[0] for line in said] == [
        "spec.prompt",
        "spec.criteria[0].name",
        "spec.priority",
    ]


def test_long_values_are_not_repeated() -> None:
    [said] = problems({"spec.workspace.git.revision": "-" * 200})
    assert (
        said == "spec.workspace.git.revision: this value is not a revision; write a commit, a tag or a branch"
    )
