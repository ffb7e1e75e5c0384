"""Drivers whose agent works on its terminal: the screen is read, keys are pressed, and each is checked on a later screen.

What a screen says (`Shown`) each driver reads for its own program; when to type, how a dialog is answered, and when a turn is
over is the same for all. What the program did is taken from the file in which it keeps its session, where it is told better
than on a screen: `parse` is given what is new in that file.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from axiom_sandbox.drivers.contract import Place, Sight, Signals, Step, Turn
from axiom_sandbox.drivers.json_lines import JsonLinesDriver
from axiom_sandbox.protocol.agents import Activity, AgentState, Signal
from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.channel import LEAST_COLUMNS, LEAST_ROWS, AgentProgram
from axiom_sandbox.protocol.events import (
    ApprovalAsked,
    ApprovalWithdrawn,
    AssistantMessage,
    Event,
    Intervention,
    ToolCall,
    TurnEnded,
    UserMessage,
)
from axiom_sandbox.terminal.keys import bracketed_paste, plain_text
from axiom_sandbox.terminal.screens import BRACKETED_PASTE, View

ENTER, TAB, UP, DOWN = b"\r", b"\t", b"\x1b[A", b"\x1b[B"
_CLEAR = b"\x15\x7f" * 80
"""Empties an input of several lines: to the line's beginning, and over it."""
_MOST_TRIES = 3
_MOST_STEPS = 40
_MOST_DENIALS = 5
"""Refusals that end a turn, one after the other, before the round is given up."""
_SETTLE_SECONDS = 0.25
"""After a key the screen is given so long to follow."""
_ANSWER_SECONDS = 4.0
"""If it has not followed by then, the key is pressed again."""
_DOUBT_SECONDS = 2.0
"""Where a key may have been pressed once too often, the screen has to stay so long."""
_PASTE_SECONDS = 8.0
_FILE_SECONDS = 1.5
"""The session's file may lag so far behind the screen."""
_LONGEST_TEXT = 4_000
_PASTED = re.compile(r"\[Pasted (?:text|content)", re.IGNORECASE)
"""What stands in place of a long text that was pasted."""
_NUMBERS = re.compile(r"\d+")


class Face(StrEnum):
    """What a screen is there for."""

    UNKNOWN = "unknown"
    READY = "ready"
    """It takes a prompt, and nothing is being done."""
    WORKING = "working"
    DIALOG = "dialog"
    """It asks whether a tool may run."""


@dataclass(frozen=True)
class Dialog:
    """A question whether a tool may run, as it stands on the screen."""

    tool: str
    """What it is about, in the word of the program's messages if that is known."""
    texts: tuple[str, ...]
    """What it shows of the tool's input."""
    choices: tuple[str, ...]
    chosen: int
    """The one that Enter takes."""
    yes: int | None
    """The one that allows this use, and nothing else."""
    no: int | None


@dataclass(frozen=True)
class Shown:
    """What one screen says."""

    face: Face
    signal: Signal
    """What says so."""
    dialog: Dialog | None = None
    input: str = ""
    """What stands where a prompt is typed."""
    tool: str = ""
    """Tool that runs, where the screen says so."""
    trouble: Activity | None = None
    """RateLimited or ApiUnreachable, where it says so."""
    detail: str = ""
    dismissed_by: bytes = b""
    """Keys that leave a notice which stands before the first prompt."""


class _Stage(StrEnum):
    """How far the typing of a text has come."""

    NONE = "none"
    PASTED = "pasted"
    ENTERED = "entered"


@dataclass
class _Answering:
    """An answer that is being given to a dialog."""

    decision: Decision
    message: str
    entered: bool = False
    amending: bool = False
    amended: bool = False
    tries: int = 0
    steps: int = 0
    moved_from: int | None = None
    """What was marked when the last arrow was pressed, until its effect is seen."""
    doubtful: bool = False
    """An arrow was pressed again, and the first may still come."""


@dataclass
class _Typing:
    """Texts that the agent is to be told."""

    texts: deque[str] = field(default_factory=deque)
    stage: _Stage = _Stage.NONE
    tries: int = 0


class ScreenDriver(JsonLinesDriver):
    """An agent on its terminal. A subclass reads its screens (`read`) and its session's file (`receive`)."""

    on_screen = True
    amends = False
    """Whether the program takes a reason with a No, and goes on; else a No ends its turn, and the reason is told then."""
    folds_in = True
    """Whether it takes what is typed while it works."""
    calls_come_first = True
    """Whether the session's file tells of a call before the screen asks about it."""
    escape: bytes = b""
    """What the Escape key sends; empty: as the keyboard protocol says that the program asked for."""
    over_seconds = 0.5
    """At rest for so long, a turn is over if its file says so."""
    rest_seconds = 6.0
    """An agent at rest for so long has ended its turn, even where its file does not say so."""
    quit: bytes = b"\x04\x04"
    """Keys that end it."""
    compaction: str = ""
    """What is typed to have its context made shorter, where it `compacts`."""

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self._asked = 0
        self._last_words = ""
        self._turn_failed = ""
        self._reset(Turn(0, ""))

    def _reset(self, turn: Turn) -> None:
        self._turn = turn
        self._shown: Shown | None = None
        self._view: View | None = None
        self._face_since = self._pressed_at = 0.0
        self._typing = _Typing()
        self._answering: _Answering | None = None
        self._question = ""
        self._question_call = ""
        self._question_key: tuple[str, tuple[str, ...]] | None = None
        self._candidate: tuple[tuple[str, tuple[str, ...]], str] | None = None
        self._drawn = 0.0
        self._prompted = self._said_over = self._interrupted = False
        self._compacting = self._worked = False
        self._denials = 0

    # --- what a subclass says ---------------------------------------------------------------------------------

    @abstractmethod
    def read(self, view: View) -> Shown:
        """What a screen says. Pure."""

    @abstractmethod
    def record_files(self, turn: Turn) -> tuple[str, ...]:
        """Where in the home the program keeps what `parse` reads: a path in which `*` and `**` stand for any names.

        Further ones name files that become it, when the program renames them.
        """

    def concerns(self, call: ToolCall, dialog: Dialog) -> bool:
        """Whether a dialog is about this call. Pure."""
        return call.tool == dialog.tool

    def explained(self, tool: str, message: str) -> str:
        """What is typed after a No that ended the turn. Pure."""
        return f"You may not use {tool} for that: {message} Go on with the task without it."

    def busy_line(self, line: str) -> bool:
        """Whether a line of the screen ticks while nothing happens."""
        return False

    # --- the contract -----------------------------------------------------------------------------------------

    def open(self, turn: Turn) -> Iterable[Event]:
        """The prompt is typed once the screen takes it, and a context that is to be made shorter was."""
        self._reset(turn)
        self._last_words = self._turn_failed = ""
        self._compacting = turn.compact
        self._typing.texts.append(self.compaction if turn.compact else turn.prompt)
        return ()

    def resume(self, turn: Turn) -> None:
        """The prompt has been typed."""
        super().resume(turn)
        self._reset(turn)
        self._prompted = self._worked = True

    @property
    def prompted(self) -> bool:
        """Whether the program has taken the prompt."""
        return self._prompted

    def send(self, text: str) -> Step:
        """Typed when the program takes it."""
        self._typing.texts.append(text)
        return Step()

    def interrupt(self) -> Step:
        """Escape."""
        self._interrupted = True
        return Step(keys=self._escape)

    def leave(self) -> Step:
        """Its own way out."""
        return Step(keys=self.quit)

    def answer(self, question: str, decision: Decision) -> Step:
        """Given by keys, over the next screens."""
        _, given = self.given(question, decision)
        if question == self._question:
            self._answering = _Answering(decision, given.message)
        return self.step((given,))

    def recall(self, events: Iterable[Event]) -> None:
        """Counts questions besides, as their names go by number."""
        taken = tuple(events)
        super().recall(taken)
        for event in taken:
            if isinstance(event, ApprovalAsked):
                self._asked += 1
            elif isinstance(event, AssistantMessage):
                self._last_words = event.text

    # --- what is seen -----------------------------------------------------------------------------------------

    def glance(self, view: View) -> None:
        """Learns from a screen what the session's file does not tell. Nothing follows from it."""

    def see(self, sight: Sight) -> Step:
        """A screen → what it says, and the keys that follow from it. Pure, given what was seen before."""
        self.glance(sight.view)
        if self.memory.outcome:
            return Step()
        if sight.view.columns < LEAST_COLUMNS or sight.view.rows < LEAST_ROWS:
            size = f"{sight.view.columns}x{sight.view.rows}"
            return self._give_up(
                f"the terminal is {size}, and dialogs are read off one of {LEAST_COLUMNS}x{LEAST_ROWS} or more; set terminal"
                " of the class"
            )
        shown = self.read(sight.view)
        if self._shown is None or shown.face is not self._shown.face:
            self._face_since = sight.seconds
        self._shown, self._view = shown, sight.view
        self._worked |= shown.face in (Face.WORKING, Face.DIALOG)
        if shown.dismissed_by and not self._prompted and not self._waits(sight.seconds, _ANSWER_SECONDS):
            self._pressed_at = sight.seconds
            return Step(keys=shown.dismissed_by)
        if shown.face is Face.DIALOG and shown.dialog:
            return self._at_dialog(shown.dialog, sight.seconds)
        events = self._dialog_is_gone()
        if self._denials >= _MOST_DENIALS:
            self._typing.texts.clear()
            return self.step(events) + self._give_up(f"denied {self._denials} times, and asked for again")
        ready, typing = shown.face is Face.READY, self._typing
        if ready and self._compacting and not typing.texts:
            events = (*events, *self._compacted(sight.seconds))
        takes = ready or (self.folds_in and self._prompted) or typing.stage is not _Stage.NONE
        if typing.texts and takes and shown.face is not Face.UNKNOWN:
            return self.step(events) + self._type(shown, sight.seconds)
        if ready:
            events = (*events, *self._over(sight.seconds))
        return self.step(events)

    def content(self, view: View) -> str:
        """What is to be read on a screen, without what ticks while nothing happens: its change breaks a silence."""
        return _NUMBERS.sub("", "\n".join(line for line in view.lines if not self.busy_line(line)))

    @property
    def _escape(self) -> bytes:
        return self.escape or (b"\x1b[27u" if self._view and self._view.keyboard & 1 else b"\x1b")

    def _waits(self, now: float, seconds: float) -> bool:
        return now - self._pressed_at < seconds

    # --- typing -----------------------------------------------------------------------------------------------

    def _type(self, shown: Shown, now: float) -> Step:
        """One step of: paste, see it stand there, Enter, see it gone."""
        typing = self._typing
        text = typing.texts[0]
        if self._waits(now, _SETTLE_SECONDS):
            return Step()
        there = stands(shown.input, text)
        match typing.stage:
            case _Stage.NONE if there:
                return self._press(ENTER, now, _Stage.ENTERED)
            case _Stage.NONE if not self._pastes and now - self._face_since < _ANSWER_SECONDS:
                return Step()  # a program asks for marked pastes a moment after it has drawn
            case _Stage.NONE:
                pasted = self._pasted(text)
                return self._press(_CLEAR + pasted if typing.tries else pasted, now, _Stage.PASTED)
            case _Stage.PASTED if there:
                return self._press(ENTER, now, _Stage.ENTERED)
            case _Stage.ENTERED if not there:
                typing.texts.popleft()
                typing.stage, typing.tries = _Stage.NONE, 0
                self._prompted = not self._compacting
                self._face_since = now
                return Step()
        if self._waits(now, _PASTE_SECONDS if typing.stage is _Stage.PASTED else _ANSWER_SECONDS):
            return Step()
        typing.tries += 1
        if typing.tries >= _MOST_TRIES:
            typing.texts.clear()
            return self._give_up("the screen does not take what is typed")
        if typing.stage is _Stage.ENTERED:
            return self._press(ENTER, now, _Stage.ENTERED)
        typing.stage = _Stage.NONE
        return Step()

    def _compacted(self, now: float) -> Iterable[Event]:
        """At rest after it was told to make its context shorter: what follows is the prompt, whatever came of that."""
        told = self.memory.has_compacted
        if now - self._face_since < (self.over_seconds if told else self.rest_seconds):
            return
        self._compacting = False
        self._typing.texts.append(self._turn.prompt)
        if not told:
            detail = f"{self.compaction} was typed, and nothing says that its context was made shorter"
            yield Intervention(by="supervisor", action="type", detail=detail)

    @property
    def _pastes(self) -> bool:
        return self._view is not None and BRACKETED_PASTE in self._view.modes

    def _pasted(self, text: str) -> bytes:
        if self._pastes:
            return bracketed_paste(text)
        return plain_text(text).replace("\n", " ").encode()

    def _press(self, keys: bytes, now: float, stage: _Stage) -> Step:
        self._typing.stage, self._pressed_at = stage, now
        if stage is _Stage.ENTERED:  # what comes now belongs to this text
            self._said_over = self._worked = self._interrupted = False
            self._turn_failed = ""
        return Step(keys=keys)

    # --- dialogs ----------------------------------------------------------------------------------------------

    def _at_dialog(self, dialog: Dialog, now: float) -> Step:
        call = next((one for one in self.memory.calls.values() if self.concerns(one, dialog)), None)
        key, called = (dialog.tool, dialog.texts), call.id if call else ""
        over = self._question_call != "" and self._question_call not in self.memory.calls
        same = key == self._question_key and called in (self._question_call, "") and not over
        if same or (called and self._question and called == self._question_call):
            return self._answer_dialog(dialog, now)
        if (key, called) != self._candidate:  # it may be half drawn
            if self._candidate is None or key != self._candidate[0]:
                self._drawn = now
            self._candidate = key, called
            return Step()
        if call is None and self.calls_come_first and now - self._drawn < _FILE_SECONDS:
            return Step()
        gone = self._dialog_is_gone()
        self._question_key, self._question_call = key, called
        self._question = f"screen:{called}" if call else f"screen-{self._asked + 1}"
        asked = ApprovalAsked(
            round=self.memory.round,
            id=self._question,
            tool=call.tool if call else dialog.tool,
            input=call.input if call else {"text": "\n".join(dialog.texts)[:_LONGEST_TEXT]},
            call=call.id if call else "",
        )
        return self.step((*gone, asked))

    def _dialog_is_gone(self) -> tuple[Event, ...]:
        """The one before is no more on the screen: its answer has arrived, or it was withdrawn."""
        tool = self._question_key[0] if self._question_key else ""
        question, self._question, self._question_key, self._candidate = self._question, "", None, None
        answering, self._answering = self._answering, None
        denied = answering and answering.entered and answering.decision.permission is Permission.DENY
        if question in self.memory.questions:
            return (ApprovalWithdrawn(round=self.memory.round, id=question),)
        if not (denied and answering) or answering.amended:
            return ()
        self._denials += 1
        text = self.explained(tool, answering.message)
        self._typing.texts.append(text)
        return (UserMessage(round=self.memory.round, text=text, by=answering.decision.by),)

    def _answer_dialog(self, dialog: Dialog, now: float) -> Step:
        """One step of: choose, see it chosen, Enter, see the dialog gone."""
        answering = self._answering
        if answering is None or self._waits(now, _SETTLE_SECONDS):
            return Step()
        denies = answering.decision.permission is Permission.DENY
        wanted = dialog.no if denies else dialog.yes
        if answering.entered:
            if self._waits(now, _ANSWER_SECONDS):
                return Step()
            answering.tries += 1
            answering.entered = False
        if answering.moved_from == dialog.chosen:
            if self._waits(now, _ANSWER_SECONDS):
                return Step()
            answering.doubtful = True
        answering.moved_from = None
        if answering.doubtful and dialog.chosen == wanted and self._waits(now, _DOUBT_SECONDS):
            return Step()
        answering.steps += 1
        if wanted is None or answering.tries >= _MOST_TRIES or answering.steps > _MOST_STEPS:
            self._answering = None
            tried = "has no such choice" if wanted is None else f"still stands after {answering.tries} tries"
            return self._give_up(
                f"the permission dialog for {dialog.tool} {tried}: {answering.decision.permission}"
            )
        if dialog.chosen != wanted:
            answering.moved_from, self._pressed_at = dialog.chosen, now
            return Step(keys=DOWN if dialog.chosen < wanted else UP)
        self._pressed_at = now
        if denies and self.amends:
            if not answering.amending:
                answering.amending = True
                return Step(keys=TAB)
            if not answering.amended:
                answering.amended = True
                return Step(keys=self._pasted(" ".join(answering.message.split())))
        answering.entered = True
        return Step(keys=ENTER)

    # --- the end of a turn ------------------------------------------------------------------------------------

    def _over(self, now: float) -> tuple[Event, ...]:
        rests = now - self._face_since
        if not self._prompted or not self._worked:
            return ()
        if rests < (self.over_seconds if self._said_over else self.rest_seconds):
            return ()
        text = self._last_words
        if self._interrupted:
            return (TurnEnded(round=self.memory.round, ok=False, reason="interrupted", text=text),)
        if self._turn_failed:
            return (TurnEnded(round=self.memory.round, ok=False, reason="error", text=self._turn_failed),)
        reason = "said" if self._said_over else "at rest"
        return (TurnEnded(round=self.memory.round, ok=True, reason=reason, text=text),)

    def _give_up(self, why: str) -> Step:
        """Nobody gets further on this screen: it is said, and the turn ends."""
        noted = Intervention(by="supervisor", action="type", detail=why)
        return self.step(
            (noted, TurnEnded(round=self.memory.round, ok=False, reason="screen not understood", text=why))
        )

    def said_over(self, failed: str = "", interrupted: bool = False) -> None:
        """The session's file says that the turn is over."""
        self._said_over = self._worked = True
        self._turn_failed = failed or self._turn_failed
        self._interrupted = self._interrupted or interrupted

    # --- what is known ----------------------------------------------------------------------------------------

    @property
    def activity(self) -> Activity | None:
        """What the screen shows."""
        return self._found()[0]

    def state(self, signals: Signals) -> AgentState:
        """By title, screen, session file, silence; each named where it decides."""
        activity, signal, detail = self._found()
        if (
            not signals.running
            or activity is None
            or (activity is not Activity.IDLE and signals.silent_seconds >= signals.hung_after)
        ):
            return super().state(signals)
        return AgentState(activity=activity, signal=signal, detail=detail[:200])

    def _found(self) -> tuple[Activity | None, Signal, str]:
        shown, memory = self._shown, self.memory
        if shown is None:
            return None, Signal.PROCESS, ""
        if memory.outcome:
            return Activity.IDLE, shown.signal, memory.outcome.reason
        if shown.face is Face.DIALOG:
            tool = shown.dialog.tool if shown.dialog else ""
            waits = Activity.WAITING_FOR_APPROVAL if shown.dialog else Activity.WAITING_FOR_INPUT
            return waits, shown.signal, tool or shown.detail
        if not self._prompted or shown.face is Face.UNKNOWN:
            begun = Activity.THINKING if self._prompted or self._compacting else Activity.STARTING
            return begun, shown.signal, shown.detail
        if shown.trouble:
            return shown.trouble, Signal.SCREEN, shown.detail
        if memory.calls:
            return Activity.RUNNING_TOOL, Signal.SESSION_FILE, next(reversed(memory.calls.values())).tool
        if shown.tool:
            return Activity.RUNNING_TOOL, Signal.SCREEN, shown.tool
        return Activity.THINKING, shown.signal, shown.detail

    def kind_of(self, message: dict[str, Any]) -> str:
        """As the session's file calls it."""
        inner = message.get("payload")
        kind = inner.get("type") if isinstance(inner, dict) else message.get("subtype")
        return f"{message.get('type') or ''}/{kind or ''}".strip("/")[:128]


_CHOICE = re.compile(r"^[\s│┃|]*([❯›●>]?)\s*(\d{1,2})\.\s+(.*?)[\s│┃|]*$")


def choices_at_the_end(
    lines: tuple[str, ...], most_behind: int = 6
) -> tuple[int, tuple[str, ...], int] | None:
    """A numbered list near the screen's end, of which one is marked: its first line, the labels, and which is marked.

    A label that goes on in further lines has them, too. Text of a conversation is no such list: something stands behind it.
    """
    ends = max((index for index, line in enumerate(lines) if line.strip()), default=-1)
    found: list[tuple[int, re.Match[str]]] = [
        (index, match) for index, line in enumerate(lines) if (match := _CHOICE.match(line))
    ]
    firsts = [index for index, match in found if match[2] == "1"]
    if not firsts:
        return None
    mine = [(index, match) for index, match in found if index >= firsts[-1]]
    numbers = [int(match[2]) for _, match in mine]
    if numbers != list(range(1, len(mine) + 1)) or len(mine) < 2 or ends - mine[-1][0] > most_behind:
        return None
    marked = [number for number, (_, match) in enumerate(mine) if match[1]]
    if len(marked) != 1:
        return None
    starts = [index for index, _ in mine]
    labels = []
    for number, (index, match) in enumerate(mine):
        behind = starts[number + 1] if number + 1 < len(starts) else index + 1
        rest = (line.strip(" │┃|") for line in lines[index + 1 : behind])
        labels.append(" ".join(part for part in (match[3], *rest) if part))
    return starts[0], tuple(labels), marked[0]


def squeezed(text: str) -> str:
    """Text without its spaces and line ends, as screens break lines anywhere."""
    return "".join(text.split())


def stands(shown: str, text: str) -> bool:
    """Whether what stands in an input is this text: all of it, a part that fits, or what is shown in its place."""
    if _PASTED.search(shown):
        return True
    there, whole = squeezed(shown), squeezed(plain_text(text))
    return bool(there) and there in whole and len(there) >= min(len(whole), 12)
