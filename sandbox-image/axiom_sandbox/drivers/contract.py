"""What every driver is: bytes from the agent in, typed events and bytes for the agent out.

A driver does no I/O and knows no clock, so it is tested with plain bytes; `supervising` reads and writes for it. It speaks
with one agent in one session, over as many processes as that takes. What it must know of the session when the supervisor
was started again, it takes from the events that it had emitted: `recall`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from axiom_sandbox.drivers.memory import Memory
from axiom_sandbox.drivers.sessions import SESSION_FILES
from axiom_sandbox.drivers.statements import said_in_words
from axiom_sandbox.protocol.agents import Activity, AgentState, DriverName, Session, Signal, Statement
from axiom_sandbox.protocol.approvals import Decision
from axiom_sandbox.protocol.channel import AgentProgram, HomeFile
from axiom_sandbox.protocol.events import Event, TalkedOnly, ToolCall, ToolReturn, TurnEnded
from axiom_sandbox.protocol.launching import Exit
from axiom_sandbox.protocol.verdicts import Claim, Saying
from axiom_sandbox.terminal.screens import View
from axiom_sandbox.terminal.text import printable

CLAIM_CHARACTERS = 2_000


class UnsupportedError(Exception):
    """The agent cannot be asked for this. The message says what and why, for a person."""


@dataclass(frozen=True)
class Place:
    """Where the agent works, as it sees it itself."""

    workspace: str
    home: str
    proxy_url: str
    """Base address of the egress proxy; empty where there is none."""
    path: str
    """PATH."""
    token: str
    """The attempt's token for the egress proxy. Never in an event."""


@dataclass(frozen=True)
class Turn:
    """One process of the agent, and what it is for."""

    round: int
    prompt: str
    session: str = ""
    """Session to go on with, or the name for a new one, where the agent lets us choose it."""
    resume: bool = False
    """Whether to go on in `session`; else it is new."""
    compact: bool = False
    """The context of `session` is to be made shorter before the prompt is given; asked of a driver alone that `compacts`."""
    later: bool = False
    """An earlier round was played in this home."""
    heard: tuple[str, ...] = ()
    """What persons have already told this process; not empty only where a supervisor that was started again takes it up."""


@dataclass(frozen=True)
class Command:
    """A process to start. The terminal is its controlling terminal in any case, and its standard error."""

    argv: tuple[str, ...]
    shown_argv: tuple[str, ...]
    """The command without token and prompt: what the ledger may hold."""
    env: tuple[str, ...]
    pipe_in: bool = False
    """Standard input is a pipe, not the terminal."""
    pipe_out: bool = False
    """Standard output is a pipe, and what comes from it goes to `parse`."""


@dataclass(frozen=True)
class Step:
    """What the driver makes of something: what happened, and what the agent is to be told, in this order."""

    events: tuple[Event, ...] = ()
    write: bytes = b""
    """For standard input."""
    close: bool = False
    """Standard input ends after that."""
    typed: str = ""
    """Pasted on the terminal once it rests, and entered."""
    keys: bytes = b""
    """Pressed on the terminal at once."""

    def __add__(self, other: Step) -> Step:
        """One after the other."""
        return Step(
            self.events + other.events,
            self.write + other.write,
            self.close or other.close,
            self.typed + other.typed,
            self.keys + other.keys,
        )


@dataclass(frozen=True)
class Ended:
    """How a round's last process came to its end."""

    exit: Exit
    by_us: str
    """Why we ended it before it had said that it is done; empty: we did not."""
    tail: bytes
    """The last bytes that it wrote on its terminal."""


@dataclass(frozen=True)
class Said:
    """What the agent says at the end of a round."""

    claim: Claim
    statements: tuple[Statement, ...] = ()
    rebuttal: str = ""
    """In a round after the first: what it answered to the evidence, before it did anything about it."""


@dataclass(frozen=True)
class Signals:
    """What is to be seen of the agent from outside, at one moment."""

    running: bool
    """Its process has been started and has not ended."""
    heard: bool
    """This process has written something."""
    silent_seconds: float
    """Since it last wrote something, on any way."""
    hung_after: float
    """Seconds of silence after which it counts as hung, in what it is doing now."""
    exit: str = ""
    """How it ended, in words."""


@dataclass(frozen=True)
class Sight:
    """What the agent's terminal shows at one moment."""

    view: View
    seconds: float
    """Of a clock that only goes forward."""


_SIGSYS, _SHELLS_SIGSYS = 31, 128 + 31
_FOREIGN_CALLS = (
    "ended by signal 31 (SIGSYS): a sandbox ends what calls the kernel by another processor's numbers, as 32-bit programs do;"
    " take a program of 64 bits"
)


class Driver(ABC):
    """One agent, in one session."""

    name: ClassVar[DriverName]
    structured: ClassVar[bool] = True
    """Whether it is spoken with: turns end with `TurnEnded`, tools are approved, a session is gone on with."""
    compacts: ClassVar[bool] = False
    """Whether it can be told to make its context shorter: `Turn.compact`."""
    compacts_by_itself: ClassVar[bool] = False
    """Whether it is told at its start at which fill it is to do so."""
    forgets_interrupted: ClassVar[bool] = False
    """Whether a turn that is interrupted is gone from its session: one that is to be gone on with is ended without."""
    on_screen: ClassVar[bool] = False
    """Whether that happens on its terminal, not over pipes: then it is a `drivers.screen.ScreenDriver`."""

    def __init__(self, program: AgentProgram, place: Place) -> None:
        self.program, self.place = program, place
        self.memory = Memory()

    # --- its process ------------------------------------------------------------------------------------------

    @abstractmethod
    def command(self, turn: Turn) -> Command:
        """What to start for this turn. Pure."""

    def home_files(self) -> tuple[HomeFile, ...]:
        """Files that the home needs before the first start, besides the class's own, which replace those of the same path."""
        return ()

    def session_files(self) -> tuple[str, ...]:
        """What of the home makes up the agent's sessions, as `drivers.sessions` writes it."""
        return SESSION_FILES.get(self.program.driver, ())

    def session(self) -> Session | None:
        """What another sandbox is to be told, besides being given the files, to go on; None: nothing to go on with.

        Tools that run are lost with this sandbox.
        """
        name, calls = self.memory.session, self.memory.calls.values()
        return Session(id=name, lost=tuple(f"{call.tool} ({call.id})" for call in calls)) if name else None

    def go_on_in(self, session: Session) -> None:
        """The home holds a session of another sandbox: the first process goes on in it."""
        self.memory.session, self.memory.opened = session.id, True

    @abstractmethod
    def begin(self, turn: Turn) -> Step:
        """The turn's process has been started: what it is told first, with the turn's prompt."""

    def resume(self, turn: Turn) -> None:
        """The turn's process has been told all already, by an earlier life of the supervisor."""
        self.memory.begin(turn.round)

    def ended(self) -> Step:
        """The process has gone, and with it what had not been said whole, and every tool that ran."""
        lost = tuple(
            ToolReturn(round=self.memory.round, id=call.id, tool=call.tool, ok=False, text="", lost=True)
            for call in self.memory.calls.values()
        )
        return self.flush() + self.keep(lost)

    # --- the conversation -------------------------------------------------------------------------------------

    @abstractmethod
    def parse(self, data: bytes) -> Step:
        """What came from standard output, cut anywhere. Never raises for what it reads, and its memory is bounded."""

    def flush(self) -> Step:
        """What was held back in order to be said in larger pieces."""
        return Step()

    def send(self, text: str) -> Step:
        """Tells the agent something while it works. Raises UnsupportedError."""
        raise UnsupportedError(f"a {self.name} agent cannot be told anything while it works")

    def answer(self, question: str, decision: Decision) -> Step:
        """Answers an `ApprovalAsked`, by its id. Raises UnsupportedError if nothing of that id is open."""
        raise UnsupportedError(f"a {self.name} agent asks for no approval, so {question!r} is none")

    def interrupt(self) -> Step:
        """Asks the agent to leave what it is doing; its turn then ends. Raises UnsupportedError."""
        raise UnsupportedError(f"a {self.name} agent cannot be interrupted; end its process")

    def leave(self) -> Step:
        """The turn is over: lets the process end by itself."""
        return Step(close=True)

    @property
    def hears(self) -> bool:
        """Whether it can be told anything while it works."""
        return type(self).send is not Driver.send

    # --- what is known ----------------------------------------------------------------------------------------

    @property
    def activity(self) -> Activity | None:
        """What the agent is doing, as far as it said or showed; None: not at all."""
        return self.memory.activity

    def recall(self, events: Iterable[Event]) -> None:
        """Takes up what the ledger holds of an earlier life of the supervisor, in order."""
        for event in events:
            if isinstance(event, ToolReturn) and (call := self.memory.calls.get(event.id)):
                self.memory.state_what_was_done(*self.statements_of(call, event))
            if isinstance(event, TurnEnded):
                self.memory.state_what_was_done(*said_in_words(event.text, self.place.workspace))
            self.memory.take(event)

    def statements_of(self, call: ToolCall, result: ToolReturn) -> tuple[Statement, ...]:
        """What a tool that came back says was done: files written, commands run. Pure."""
        return ()

    def keep(self, events: Iterable[Event]) -> Step:
        """Remembers events and passes them on, with what follows from them: each event that a driver emits goes through here."""
        kept: list[Event] = []
        for event in events:
            talks = self.memory.talks
            self.recall((event,))
            kept.append(event)
            if self.memory.talks > talks:
                memory = self.memory
                kept.append(
                    TalkedOnly(round=memory.round, in_row=memory.talks_in_row, in_round=memory.talks_in_round)
                )
        return Step(events=tuple(kept))

    def state(self, signals: Signals) -> AgentState:
        """What the agent is doing, and what decides that; since when is not said here. Pure, given what was parsed."""
        activity, detail = self.memory.activity, self.memory.detail
        if not signals.running:
            return AgentState(activity=Activity.EXITED, signal=Signal.PROCESS, detail=signals.exit)
        if activity is not Activity.IDLE and signals.silent_seconds >= signals.hung_after:
            said = (
                f"silent for {signals.silent_seconds:.0f} s, {(activity or Activity.STARTING).value} before"
            )
            return AgentState(activity=Activity.HUNG, signal=Signal.SILENCE, detail=said)
        if activity is None:
            begun = Activity.THINKING if signals.heard and not self.structured else Activity.STARTING
            return AgentState(activity=begun, signal=Signal.PROCESS)
        return AgentState(activity=activity, signal=Signal.STRUCTURED_MESSAGE, detail=detail)

    def claim(self, ended: Ended) -> Said:
        """What the end of the round's last process comes to, in the agent's own word. Pure, given what was parsed."""
        outcome, exit_ = self.memory.outcome, ended.exit
        text = outcome.text if outcome else printable(ended.tail, CLAIM_CHARACTERS)
        if ended.by_us:
            says, text = Saying.NONE, f"[{ended.by_us}]\n{text}".rstrip()
        elif outcome:
            says = Saying.SUCCESS if outcome.ok else Saying.FAILURE
        else:
            done = exit_.code == 0 and not self.structured
            says = Saying.SUCCESS if done else Saying.FAILURE
            if exit_.signal == _SIGSYS or exit_.code == _SHELLS_SIGSYS:
                text = f"[{_FOREIGN_CALLS}]\n{text}".rstrip()
        claim = Claim(
            says=says,
            exit_code=exit_.code,
            signal=exit_.signal,
            text=printable(text.encode(), CLAIM_CHARACTERS),
        )
        stated = tuple(self.memory.statements)
        if outcome is None and not self.structured:
            stated += said_in_words(claim.text, self.place.workspace)
        answer = self.memory.first_words or claim.text if self.memory.round > 1 else ""
        return Said(claim, stated, printable(answer.encode(), CLAIM_CHARACTERS))
