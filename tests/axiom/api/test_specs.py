"""The models accept and refuse what the table says, in the words it gives."""

from typing import Any

import pytest
from tests.api_table import (
    CLASS_CASES,
    GOOD_CLASS,
    GOOD_TASK,
    TASK_CASES,
    UPDATES,
    Accepted,
    Case,
    Refused,
    Update,
    changed,
)

from axiom.api.agenttask import MUTABLE_LIMITS, MUTABLE_SPEC_FIELDS, AgentTask, AgentTaskSpec, Limits
from axiom.api.explaining import Problem
from axiom.api.loading import RefusedError, check_update, parse_class, parse_task


def by_name(row: Case | Update) -> str:
    return row.name


def problems_of(parse: Any, document: dict[str, Any]) -> tuple[Problem, ...]:
    try:
        parse(document)
    except RefusedError as error:
        return error.problems
    return ()


def check(case: Case, problems: tuple[Problem, ...]) -> None:
    match case.outcome:
        case Accepted():
            assert problems == ()
        case Refused(field, says):
            assert any(problem.field == field and says in problem.message for problem in problems), problems


@pytest.mark.parametrize("case", TASK_CASES, ids=by_name)
def test_task(case: Case) -> None:
    check(case, problems_of(parse_task, changed(GOOD_TASK, case.change)))


@pytest.mark.parametrize("case", CLASS_CASES, ids=by_name)
def test_class(case: Case) -> None:
    check(case, problems_of(parse_class, changed(GOOD_CLASS, case.change)))


@pytest.mark.parametrize("update", UPDATES, ids=by_name)
def test_update(update: Update) -> None:
    before = changed(GOOD_TASK, update.before)
    problems = check_update(parse_task(before), parse_task(changed(before, update.after)))
    assert sorted(problem.field for problem in problems) == sorted(update.changes)
    assert all("create a new task" in problem.message for problem in problems)


def test_update_message_names_every_mutable_field() -> None:
    [problem] = check_update(
        parse_task(GOOD_TASK), parse_task(changed(GOOD_TASK, {"spec.prompt": "Something else."}))
    )
    assert all(name in problem.message for name in (*MUTABLE_SPEC_FIELDS, *MUTABLE_LIMITS))


def test_names_in_the_table_are_unique() -> None:
    for rows in (TASK_CASES, CLASS_CASES, UPDATES):
        names = [row.name for row in rows]
        assert len(names) == len(set(names))


def test_every_immutable_field_is_always_there_for_the_rule_to_compare() -> None:
    immutable = [
        field
        for name, field in AgentTaskSpec.model_fields.items()
        if (field.alias or name) not in MUTABLE_SPEC_FIELDS
    ]
    immutable += [field for name, field in Limits.model_fields.items() if name not in MUTABLE_LIMITS]
    assert all(field.is_required() or field.default is not None for field in immutable)


def test_what_the_operator_reads_back_is_what_was_written() -> None:
    task = parse_task(GOOD_TASK)
    assert parse_task(task.model_dump(by_alias=True, mode="json")) == task


def test_identity_of_a_task() -> None:
    task = parse_task(GOOD_TASK)
    assert (task.name, task.namespace, task.uid) == ("fix-leap-year", "default", "")
    elsewhere = AgentTask.model_validate(
        GOOD_TASK | {"metadata": {"name": "a", "namespace": "b", "uid": "c"}}
    )
    assert (elsewhere.namespace, elsewhere.uid) == ("b", "c")
