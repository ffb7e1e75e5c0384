"""Drivers on their agents' terminals: the recorded screens and files of the real programs, given again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.axiom_sandbox.drivers.conversations import CAPTURES, PLACE, lines_of
from tests.captures.clis import CLIS, OLDER_CLIS
from tests.captures.screens import APPROVALS, COLUMNS, PROMPT, ROWS, SESSION

from axiom_sandbox.drivers.contract import Sight, Signals, Step, Turn
from axiom_sandbox.drivers.registry import make_driver
from axiom_sandbox.drivers.screen import ScreenDriver, choices_at_the_end, stands
from axiom_sandbox.protocol.agents import Activity, AgentMode, DriverName, Signal
from axiom_sandbox.protocol.approvals import Approvals, Decision, Permission, decide
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import (
    ApprovalAsked,
    ApprovalGiven,
    Compacted,
    Event,
    Intervention,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)
from axiom_sandbox.terminal.screens import BRACKETED_PASTE, View, make_screen

E = TypeVar("E", bound=Event)
AGENTS = [DriverName.CLAUDE, DriverName.CODEX, DriverName.GEMINI]
every_agent = pytest.mark.parametrize("name", AGENTS)
every_version = pytest.mark.parametrize("folder", [CAPTURES, CAPTURES / "older"], ids=["present", "older"])
SHELL = {
    DriverName.CLAUDE: "Bash",
    DriverName.CODEX: "commandExecution",
    DriverName.GEMINI: "run_shell_command",
}
RUNNING = Signals(running=True, heard=True, silent_seconds=0, hung_after=180)


def new_driver(name: DriverName, approvals: Approvals = APPROVALS) -> ScreenDriver:
    program = AgentProgram(driver=name, mode=AgentMode.TERMINAL, command=("agent",), approvals=approvals)
    driver = make_driver(program, PLACE)
    assert isinstance(driver, ScreenDriver)
    return driver


@dataclass
class Told:
    """What a driver made of a recorded story."""

    driver: ScreenDriver
    events: list[Event] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    states: list[tuple[Activity, Signal]] = field(default_factory=list)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def take(self, step: Step) -> None:
        self.events += step.events
        if step.keys:
            self.keys.append(step.keys)
        state = self.driver.state(RUNNING)
        if not self.states or self.states[-1] != (state.activity, state.signal):
            self.states.append((state.activity, state.signal))
        for event in step.events:
            if isinstance(event, ApprovalAsked):
                decision = decide(self.driver.program.approvals, event.tool, event.input)
                self.take(self.driver.answer(event.id, decision))


def story_of(name: DriverName, story: str, folder: Path = CAPTURES) -> list[dict[str, Any]]:
    return lines_of(folder / name.lower() / "screens" / f"{story}.jsonl")


@cache
def given_again(name: DriverName, story: str, folder: Path = CAPTURES) -> Told:
    """The whole of a story: screens, file, moments, and the end of the process. For reading alone."""
    told = Told(new_driver(name))
    screen = make_screen(COLUMNS, ROWS)
    told.take(told.driver.begin(Turn(1, PROMPT, session=SESSION)))
    for line in story_of(name, story, folder):
        match line:
            case {"screen": data}:
                screen.feed(data.encode("latin-1"))
            case {"file": data}:
                told.take(told.driver.parse(data.encode()))
            case {"look": seconds}:
                told.take(told.driver.see(Sight(screen.view(), seconds)))
            case {"interrupt": True}:
                told.take(told.driver.interrupt())
    screen.close()
    told.events += told.driver.ended().events
    return told


@every_agent
@every_version
@pytest.mark.parametrize("story", ["plain", "denied", "interrupted"])
def test_the_same_screens_give_the_same_keys(name: DriverName, story: str, folder: Path) -> None:
    lines = story_of(name, story, folder)
    pressed = [line["keys"].encode("latin-1") for line in lines if "keys" in line]
    assert given_again(name, story, folder).keys == pressed


@every_agent
def test_the_prompt_is_pasted_seen_and_entered_before_anything_else(name: DriverName) -> None:
    keys = given_again(name, "plain").keys
    keys = keys[next(at for at, key in enumerate(keys) if b"hello.py" in key) :]
    assert keys[0].startswith(b"\x1b[200~Write hello.py.\r\rIt prints hello.\r")
    assert keys[0].endswith(b"\x1b[201~")
    assert keys[1] == b"\r"


@every_agent
@every_version
def test_a_plain_task_is_told_from_its_session_to_its_end(name: DriverName, folder: Path) -> None:
    told = given_again(name, "plain", folder)
    [session] = told.of(SessionOpened)
    clis = CLIS if folder == CAPTURES else OLDER_CLIS
    assert (session.version, session.warning) == (clis[name.lower()].version, "")
    calls = {call.id: call.tool for call in told.of(ToolCall)}
    assert SHELL[name] in calls.values()
    assert {back.id for back in told.of(ToolReturn)} == set(calls)
    asked = told.of(ApprovalAsked)
    assert asked
    assert {given.permission for given in told.of(ApprovalGiven)} == {Permission.ALLOW}
    [ended] = told.of(TurnEnded)
    assert (ended.ok, ended.text) == (True, "Done: hello.py prints hello.")
    assert sum(item.turn.input for item in told.of(Usage)) == told.of(Usage)[-1].total.input
    assert not told.of(Intervention)


@every_agent
def test_what_it_does_is_known_with_what_says_so(name: DriverName) -> None:
    states = given_again(name, "plain").states
    assert states[0] == (Activity.STARTING, Signal.PROCESS)
    assert (Activity.WAITING_FOR_APPROVAL, Signal.SCREEN) in states
    assert (Activity.THINKING, Signal.TERMINAL_TITLE) in states
    assert states[-1] == (Activity.IDLE, Signal.TERMINAL_TITLE)


@every_agent
@every_version
def test_a_tool_that_is_denied_is_answered_with_the_reason_and_the_turn_goes_on(
    name: DriverName, folder: Path
) -> None:
    told = given_again(name, "denied", folder)
    denied = [given for given in told.of(ApprovalGiven) if given.permission is Permission.DENY]
    assert [given.by for given in denied] == ["policy/no-push"]
    assert any(b"Do not push." in key for key in told.keys)
    [ended] = told.of(TurnEnded)
    assert ended.ok


@every_agent
def test_an_interrupted_turn_ends_and_says_so(name: DriverName) -> None:
    told = given_again(name, "interrupted")
    [ended] = told.of(TurnEnded)
    assert (ended.ok, ended.reason) == (False, "interrupted")
    assert not told.driver.memory.calls or name is DriverName.GEMINI


@every_agent
def test_a_driver_reads_every_screen_of_a_story_without_raising(name: DriverName) -> None:
    driver, screen = new_driver(name), make_screen(COLUMNS, ROWS)
    for line in story_of(name, "plain"):
        if "screen" in line:
            for at in range(0, len(line["screen"]), 3001):
                screen.feed(line["screen"][at : at + 3001].encode("latin-1"))
                driver.read(screen.view())
    screen.close()


# --- what does not go well ------------------------------------------------------------------------------------------------

RULE = "─" * 80
DIALOG = (
    RULE,
    " Bash command",
    "",
    "   touch made",
    "",
    " Do you want to proceed?",
    " {0} 1. Yes",
    " {1} 2. No",
    " Esc to cancel",
)


def view(lines: tuple[str, ...], title: str) -> View:
    return View(
        80, 24, (*lines, *([""] * (24 - len(lines)))), (2, 1), True, title, modes=frozenset({BRACKETED_PASTE})
    )


def dialog(chosen: int) -> View:
    marks = ["❯" if number == chosen else " " for number in range(2)]
    return view(tuple(line.format(*marks) for line in DIALOG), "✳ Claude Code")


BOX = view((RULE, "❯", RULE), "✳ Claude Code")


def looks(driver: ScreenDriver, seen: View, start: float, seconds: float) -> Iterator[Step]:
    """The same screen, ten times a second."""
    for number in range(round(seconds * 10)):
        yield driver.see(Sight(seen, start + number / 10))


def asking(chosen: int = 0) -> tuple[ScreenDriver, ApprovalAsked]:
    """A driver whose agent asks for `touch made`."""
    driver = new_driver(DriverName.CLAUDE)
    driver.begin(Turn(1, "do it", session=SESSION))
    events = [event for step in looks(driver, dialog(chosen), 0, 3) for event in step.events]
    [asked] = [event for event in events if isinstance(event, ApprovalAsked)]
    return driver, asked


def test_a_dialog_that_no_line_of_the_file_tells_of_is_asked_about_by_what_it_shows() -> None:
    _, asked = asking()
    assert (asked.tool, asked.call) == ("Bash", "")
    assert "touch made" in asked.input["text"]


def test_enter_is_pressed_only_once_the_right_choice_is_seen_to_be_marked() -> None:
    driver, asked = asking(chosen=1)
    driver.answer(asked.id, Decision(permission=Permission.ALLOW, by="policy"))
    keys = [step.keys for step in looks(driver, dialog(1), 3, 2) if step.keys]
    assert keys == [b"\x1b[A"]
    keys = [step.keys for step in looks(driver, dialog(0), 5, 2) if step.keys]
    assert keys == [b"\r"]


def test_a_dialog_that_does_not_go_away_is_answered_a_few_times_and_then_said_to_stand() -> None:
    driver, asked = asking()
    driver.answer(asked.id, Decision(permission=Permission.ALLOW, by="policy"))
    steps = list(looks(driver, dialog(0), 3, 40))
    assert [step.keys for step in steps if step.keys] == [b"\r"] * 3
    events = [event for step in steps for event in step.events]
    assert [type(event) for event in events] == [Intervention, TurnEnded]
    assert "still stands after 3 tries" in str(events[0])
    assert driver.state(RUNNING).activity is Activity.IDLE


def test_a_dialog_without_a_choice_that_denies_is_not_allowed_instead() -> None:
    driver = new_driver(DriverName.CLAUDE)
    driver.begin(Turn(1, "do it", session=SESSION))
    seen = view((*DIALOG[:6], " ❯ 1. Yes", "   2. Yes, and do not ask again"), "✳ Claude Code")
    [asked] = [event for step in looks(driver, seen, 0, 3) for event in step.events]
    assert isinstance(asked, ApprovalAsked)
    driver.answer(asked.id, Decision(permission=Permission.DENY, by="policy"))
    steps = list(looks(driver, seen, 3, 2))
    assert not any(step.keys for step in steps)
    assert "has no such choice" in str(
        steps[-1] if steps[-1].events else [step for step in steps if step.events]
    )


def test_a_screen_that_does_not_take_the_prompt_ends_the_turn_and_says_so() -> None:
    driver = new_driver(DriverName.CLAUDE)
    driver.begin(Turn(1, "do it", session=SESSION))
    steps = list(looks(driver, BOX, 0, 60))
    assert sum(b"do it" in step.keys for step in steps) == 3
    assert not any(step.keys == b"\r" for step in steps)
    [ended] = [event for step in steps for event in step.events if isinstance(event, TurnEnded)]
    assert (ended.ok, "does not take what is typed" in ended.text) == (False, True)
    assert not driver.prompted


def test_the_same_dialog_for_another_call_is_another_question() -> None:
    driver = new_driver(DriverName.CLAUDE)
    driver.begin(Turn(1, "do it", session=SESSION))
    driver.keep((ToolCall(round=1, id="one", tool="Bash", input={"command": "touch made"}),))
    asked = [event for step in looks(driver, dialog(0), 0, 3) for event in step.events]
    driver.answer("screen:one", Decision(permission=Permission.ALLOW, by="policy"))
    assert [step.keys for step in looks(driver, dialog(0), 3, 1) if step.keys] == [b"\r"]
    driver.keep((ToolReturn(round=1, id="one", tool="Bash", ok=True, text=""),))
    again = list(looks(driver, dialog(0), 4, 8))
    assert not any(step.keys for step in again), "the first answer is not given to it"
    asked += [event for step in again for event in step.events]
    assert [event.call for event in asked if isinstance(event, ApprovalAsked)] == ["one", ""]


def test_on_a_screen_that_cuts_dialogs_nothing_is_answered() -> None:
    driver = new_driver(DriverName.CODEX)
    driver.begin(Turn(1, "do it", session=SESSION))
    seen = View(40, 10, ("",) * 10, (0, 0), True, "workspace")
    step = driver.see(Sight(seen, 0))
    assert [type(event) for event in step.events] == [Intervention, TurnEnded]
    assert "the terminal is 40x10, and dialogs are read off one of 80x24" in str(step.events[0])


def typed(text: str) -> View:
    """The box at rest, with this in it."""
    return view((RULE, f"❯ {text}", RULE), "✳ Claude Code")


WORKS = view((RULE, "❯", RULE), "◐ Claude Code")


def compacting() -> tuple[ScreenDriver, float]:
    """A driver that has typed what makes its agent's context shorter, which works on that; and when."""
    driver = new_driver(DriverName.CLAUDE)
    driver.begin(Turn(1, "go on", session=SESSION, resume=True, compact=True))
    now = 0.0
    for seen in (BOX, typed("/compact"), BOX, WORKS):
        steps = list(looks(driver, seen, now, 3))
        assert not any(b"go on" in step.keys for step in steps)
        now += 3
    assert driver.state(RUNNING).activity is Activity.THINKING
    return driver, now


def test_a_context_is_made_shorter_before_the_prompt_is_typed() -> None:
    driver, now = compacting()
    driver.keep((Compacted(round=1, trigger="manual"),))
    steps = list(looks(driver, BOX, now, 2))
    assert [step.keys for step in steps if step.keys] == [b"\x1b[200~go on\x1b[201~"]
    assert not [event for step in steps for event in step.events]


def test_a_context_of_which_nobody_says_that_it_was_made_shorter_is_worked_on_and_that_is_told() -> None:
    driver, now = compacting()
    steps = list(looks(driver, BOX, now, driver.rest_seconds + 2))
    [told] = [event for step in steps for event in step.events]
    assert isinstance(told, Intervention)
    assert "nothing says that its context was made shorter" in told.detail
    assert any(b"go on" in step.keys for step in steps)


def test_a_question_to_a_person_waits_with_the_dialog_untouched() -> None:
    driver, asked = asking()
    assert not any(step.keys or step.events for step in looks(driver, dialog(0), 3, 30))
    assert driver.state(RUNNING).activity is Activity.WAITING_FOR_APPROVAL
    assert asked.id in driver.memory.questions


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (("❯ 1. Yes", "  2. No"), (0, ("Yes", "No"), 0)),
        (
            ("  1. Yes", "❯ 2. No, and tell", "     it why", "  3. Never"),
            (0, ("Yes", "No, and tell it why", "Never"), 1),
        ),
        (("❯ 1. Yes", "  2. No", *("behind",) * 8), None),
        (("  1. first of a list", "  2. second"), None),
        (("❯ 1. Yes", "  3. No"), None),
        ((), None),
    ],
    ids=["a dialog", "a long label", "further up", "a list", "with a hole", "nothing"],
)
def test_choices_are_a_marked_list_at_the_end(lines: tuple[str, ...], found: object) -> None:
    assert choices_at_the_end(lines) == found


@pytest.mark.parametrize(
    ("shown", "text", "there"),
    [
        ("Write hello.py.", "Write hello.py.", True),
        ("It prints\n hel\nlo.", "Write.\n\nIt prints hello.", True),
        ("[Pasted text #1 +59 lines]", "a long text", True),
        ("", "a text", False),
        ("Ask Codex to do anything", "Write hello.py, please", False),
        ("W", "Write hello.py.", False),
    ],
)
def test_what_stands_in_the_input_is_held_against_the_text(shown: str, text: str, there: bool) -> None:
    assert stands(shown, text) is there


def test_an_input_that_holds_more_than_it_shows_is_read_without_the_mark_that_says_so() -> None:
    prompt = "You go on with a task.\n\nThe task:\nmake the tests pass.\n\nTheir summary:\nI counted."
    lines = (
        "› The task:                 ↑",
        "  make the tests pass.",
        "",
        "  Their summary:",
        "  I counted.",
    )
    seen = View(30, 6, (*lines, ""), (12, 4), True, "workspace", modes=frozenset({BRACKETED_PASTE}))
    shown = new_driver(DriverName.CODEX).read(seen)
    assert stands(shown.input, prompt)


def test_captures_hold_no_machine_names() -> None:
    for path in Path(CAPTURES).glob("*/screens/*.jsonl"):
        assert "/root/" not in path.read_text(), path


def test_a_mark_that_blinks_breaks_no_silence() -> None:
    driver = new_driver(DriverName.CLAUDE)
    shown = [
        View(30, 2, (f"{mark} Running a command", "  ⎿  Running… (12s)"), (0, 0)) for mark in ("●", " ", "⏺")
    ]
    assert len({driver.content(view) for view in shown}) == 1
    assert driver.content(View(30, 1, ("● Said something else",), (0, 0))) != driver.content(shown[0])
