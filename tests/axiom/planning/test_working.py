"""What a task's status says while its agent works: what people are asked, and whether one stepped in."""

from __future__ import annotations

from datetime import timedelta

from tests.axiom.planning.test_planner import world
from tests.fakes.simulated_world import SimulatedSandbox, World

from axiom.api.agenttask import TaskState
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.statuses import condition
from axiom_sandbox.protocol.agents import Fill, Vitals
from axiom_sandbox.protocol.channel import Question
from axiom_sandbox.protocol.verdicts import Verdict

QUESTION = Question(
    id="q7",
    tool="Bash",
    summary="command: git push origin main",
    rule="policy/pushes",
    since_ms=1_767_225_600_000,
    until_ms=1_767_227_400_000,
)


def at_work(**spec: object) -> tuple[World, SimulatedSandbox]:
    """A task whose agent works."""
    played = world(**spec)
    return played, played.until_the_agent_works()


def running(played: World) -> tuple[Reason, str]:
    found = condition(played.task.status, ConditionType.RUNNING)
    assert found is not None
    return found.reason, found.message


def test_what_the_agent_says_of_itself_is_written_with_what_is_written_anyway() -> None:
    played, sandbox = at_work()
    fill = Fill(used=42_500, window=100_000)
    writes = played.writes
    sandbox.change(vitals=Vitals(fill=fill, output_per_second=31, talks_in_row=2, talks_in_round=4))
    played.step()
    assert played.writes == writes
    sandbox.change(questions=(QUESTION,))
    played.step()
    told = played.task.status.agent
    assert told is not None
    assert (told.context, told.context_tokens, told.context_window) == ("42%", 42_500, 100_000)
    assert (told.output_per_second, told.talk_in_row, told.talk_in_round) == (31, 2, 4)


def test_a_question_stands_in_the_status_with_its_limit_and_how_it_is_answered() -> None:
    played, sandbox = at_work()
    sandbox.change(questions=(QUESTION,))
    played.step()
    status = played.task.status
    assert status.state is TaskState.NEEDS_APPROVAL
    [shown] = status.questions
    assert (shown.id, shown.tool, shown.summary) == ("q7", "Bash", "command: git push origin main")
    assert (shown.since, shown.until) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:30:00.000Z")
    reason, message = running(played)
    assert reason is Reason.WAITING_FOR_APPROVAL
    assert "may it use Bash (command: git push origin main)?" in message
    assert "axiom approve t" in message


def test_a_question_is_written_once_and_taken_back_when_it_is_answered() -> None:
    played, sandbox = at_work()
    before = played.writes["status"]
    sandbox.change(questions=(QUESTION,))
    for _ in range(3):
        played.step()
        played.now += timedelta(seconds=30)
    assert played.writes["status"] == before + 1
    sandbox.change(questions=(), assisted_rounds=(1,))
    played.step()
    assert running(played) == (Reason.AGENT_RUNNING, "round 1")
    assert (played.task.status.questions, played.task.status.state) == ([], TaskState.RUNNING)


def test_help_by_a_person_marks_the_round_and_the_outcome() -> None:
    played, sandbox = at_work()
    sandbox.change(assisted_rounds=(1,))
    played.step()
    assert played.task.status.assisted
    played.assisted = True
    status = played.play().status
    assert (status.verdict, status.assisted, status.rounds[0].assisted) == (Verdict.PASS, True, True)
    assert "a person stepped in" in status.message


def test_work_without_a_person_is_not_marked() -> None:
    played, _ = at_work()
    status = played.play().status
    assert (status.assisted, status.rounds[0].assisted) == (False, False)
    assert "stepped in" not in status.message


def test_help_in_an_attempt_that_was_lost_is_not_forgotten() -> None:
    played, sandbox = at_work()
    sandbox.change(questions=(QUESTION,), assisted_rounds=(1,))
    played.step()
    played.lose(sandbox)
    status = played.play().status
    assert (status.attempt, status.verdict, status.assisted, status.questions) == (2, Verdict.PASS, True, [])


def test_nobody_is_asked_any_more_once_the_task_is_over() -> None:
    played, sandbox = at_work(limits={"deadline": "10m"})
    sandbox.change(questions=(QUESTION,))
    played.step()
    played.now += timedelta(minutes=11)
    status = played.play().status
    assert (status.state, status.questions) == (TaskState.COMPLETE, [])
