"""What holds for every driver, whatever its agent says: by its conversations, and by anything at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.axiom_sandbox.drivers.conversations import CONVERSATIONS, PLACE, Kind, new_driver

from axiom_sandbox.drivers.contract import Driver, Ended, Signals, Step, Turn, UnsupportedError
from axiom_sandbox.drivers.json_lines import JsonLinesDriver
from axiom_sandbox.drivers.registry import DRIVERS
from axiom_sandbox.ledger.records import ORIGIN, encode
from axiom_sandbox.protocol.agents import Activity, Session, Signal
from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.events import (
    ApprovalAsked,
    Event,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
    parse_event,
)
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Exit
from axiom_sandbox.protocol.verdicts import Saying

PROMPT = "fix it, $(AXIOM_TOKEN) \u00e4"
TURN = Turn(1, PROMPT, session="11111111-2222-4333-8444-555555555555")
IDENTITY = Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT)
WHOLE = [
    pytest.param(kind, said, id=f"{kind}-{title}")
    for kind, conversations in CONVERSATIONS.items()
    for title, said in conversations.items()
]
every_driver = pytest.mark.parametrize("kind", [Kind(name, mode) for name, mode in DRIVERS], ids=str)
every_conversation = pytest.mark.parametrize(("kind", "said"), WHOLE)


def begun(kind: Kind) -> Driver:
    driver = new_driver(kind)
    driver.begin(TURN)
    return driver


def heard(driver: Driver, *pieces: bytes) -> Step:
    """All that a driver makes of these pieces and of the end of its process."""
    step = Step()
    for piece in pieces:
        step += driver.parse(piece)
    return step + driver.ended()


def lasting(step: Step) -> list[Event]:
    """Without what is kept as it came, and pieces of what follows whole."""
    return [event for event in step.events if event.event not in ("agent_message", "assistant_delta")]


def written(event: Event) -> Event:
    """An event after it was in a ledger."""
    payload = event.model_dump(mode="json")
    encode(
        seq=1,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        identity=IDENTITY,
        event=event.event,
        payload=payload,
        prev=ORIGIN,
    )
    return parse_event(event.event, payload)


@every_driver
def test_a_driver_has_conversations_to_be_tested_with(kind: Kind) -> None:
    assert CONVERSATIONS[kind]


@every_driver
def test_the_ledger_is_shown_neither_token_nor_prompt(kind: Kind) -> None:
    for turn in (TURN, Turn(2, PROMPT, TURN.session, resume=True, later=True)):
        command = new_driver(kind).command(turn)
        assert command.argv
        assert "fix it" not in " ".join(command.shown_argv)
        assert PLACE.token not in " ".join(command.shown_argv)
        driver = new_driver(kind)
        assert command.pipe_out is (driver.structured and not driver.on_screen)
        names = [entry.split("=", 1)[0] for entry in command.env]
        assert {"PATH", "TERM", "HOME"} <= set(names)
        assert len(names) == len(set(names))


@every_driver
def test_a_command_is_the_same_whenever_it_is_asked_for(kind: Kind) -> None:
    driver = new_driver(kind)
    assert driver.command(TURN) == driver.command(TURN) == new_driver(kind).command(TURN)


@every_conversation
@settings(max_examples=12, derandomize=True, deadline=None)
@given(places=st.lists(st.integers(0, 10**6), max_size=12))
def test_any_split_gives_the_same(kind: Kind, said: bytes, places: list[int]) -> None:
    cuts = sorted(place % (len(said) + 1) for place in places)
    pieces = [said[start:end] for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True)]
    assert heard(begun(kind), *pieces) == heard(begun(kind), said)


@every_conversation
def test_byte_by_byte_gives_the_same(kind: Kind, said: bytes) -> None:
    said = said[: 64 * 1024]
    assert heard(begun(kind), *(said[at : at + 1] for at in range(len(said)))) == heard(begun(kind), said)


@every_conversation
def test_every_event_survives_the_ledger(kind: Kind, said: bytes) -> None:
    for event in heard(begun(kind), said).events:
        assert written(event) == event


@every_conversation
@settings(max_examples=12, derandomize=True, deadline=None)
@given(place=st.integers(0, 10**6))
def test_a_driver_made_anew_goes_on_as_the_first_would_have(kind: Kind, said: bytes, place: int) -> None:
    lines = said.splitlines(keepends=True)
    cut = place % (len(lines) + 1)
    first, second = begun(kind), new_driver(kind)
    if first.on_screen:
        pytest.skip("it reads its session's file again, from where its process began")
    before = first.parse(b"".join(lines[:cut])) + first.flush()
    second.resume(TURN)
    second.recall(before.events)
    assert second.memory == first.memory
    rest = b"".join(lines[cut:])
    assert heard(second, rest).events == heard(first, rest).events


@every_driver
@settings(max_examples=30, derandomize=True, deadline=None)
@given(said=st.binary(max_size=400) | st.lists(st.from_regex(rb'\{"(type|id|method)":[^\n]{0,80}\}\n'), max_size=4).map(b"".join))  # fmt: skip
def test_nothing_that_an_agent_writes_stops_its_driver(kind: Kind, said: bytes) -> None:
    for event in heard(begun(kind), said).events:
        assert written(event) == event


@every_driver
@pytest.mark.parametrize(
    "broken", [b"\x00", b"\xff\xfe{", b'{"type":', b"[" * 5000, b'{"a":' * 300 + b"1" + b"}" * 300]
)
def test_broken_lines_between_the_messages_cost_nothing_but_themselves(kind: Kind, broken: bytes) -> None:  # fmt: skip
    for said in CONVERSATIONS[kind].values():
        lines = said.splitlines(keepends=True)
        step = heard(begun(kind), broken + b"\n", *(line + broken + b"\n" for line in lines))
        assert lasting(step) == lasting(heard(begun(kind), said))


@every_conversation
def test_a_turn_that_ended_is_idle_and_claims_what_it_said(kind: Kind, said: bytes) -> None:
    driver = begun(kind)
    events = driver.parse(said).events
    now = Signals(running=True, heard=True, silent_seconds=0, hung_after=180)
    ends = [event for event in events if isinstance(event, TurnEnded)]
    if not ends:
        assert driver.state(now).activity is not Activity.IDLE
        return
    assert driver.state(now).activity is Activity.IDLE
    driver.ended()
    said_at_last = driver.claim(Ended(Exit(code=0), "", b"")).claim
    assert said_at_last.says is (Saying.SUCCESS if ends[-1].ok else Saying.FAILURE)


@every_conversation
def test_a_session_names_its_files_and_what_is_lost_if_it_is_left_now(kind: Kind, said: bytes) -> None:
    driver = begun(kind)
    lines = said.splitlines(keepends=True)
    for line in lines:
        events = driver.parse(line).events
        opened = [event for event in events if isinstance(event, SessionOpened)]
        if opened:
            assert driver.session_files()
            session = driver.session()
            assert session is not None
            assert session.id == opened[-1].session
        back = {event.id for event in events if isinstance(event, ToolReturn)}
        for call in (event for event in events if isinstance(event, ToolCall) and event.id not in back):
            left = driver.session()
            assert left is not None
            assert f"{call.tool} ({call.id})" in left.lost
    elsewhere = new_driver(kind)
    assert elsewhere.session() is None
    elsewhere.go_on_in(Session(id="there"))
    assert elsewhere.memory.can_resume
    assert elsewhere.session() == Session(id="there")


@every_driver
def test_what_happens_outside_decides_over_what_was_said(kind: Kind) -> None:
    driver = begun(kind)
    gone = driver.state(Signals(running=False, heard=True, silent_seconds=0, hung_after=180, exit="code 1"))
    assert (gone.activity, gone.signal, gone.detail) == (Activity.EXITED, Signal.PROCESS, "code 1")
    silent = driver.state(Signals(running=True, heard=True, silent_seconds=180, hung_after=180))
    assert (silent.activity, silent.signal) == (Activity.HUNG, Signal.SILENCE)


@every_driver
def test_an_agent_that_was_ended_has_not_said_that_it_is_done(kind: Kind) -> None:
    driver = begun(kind)
    driver.ended()
    claim = driver.claim(Ended(Exit(signal=9), "the deadline passed", b"at work")).claim
    assert (claim.says, claim.signal) == (Saying.NONE, 9)
    assert claim.text == "[the deadline passed]\nat work"


@every_driver
def test_what_cannot_be_told_anything_says_so_before_it_is(kind: Kind) -> None:
    driver = begun(kind)
    if not driver.hears:
        with pytest.raises(UnsupportedError, match="cannot be told anything"):
            driver.send("listen")


@every_driver
def test_an_answer_to_no_question_is_refused(kind: Kind) -> None:
    with pytest.raises(UnsupportedError, match="nothing-asked"):
        begun(kind).answer("nothing-asked", Decision(permission=Permission.ALLOW, by="policy"))


@every_driver
def test_an_answer_says_who_gave_it_and_for_how_long(kind: Kind) -> None:
    driver = begun(kind)
    if not isinstance(driver, JsonLinesDriver):
        pytest.skip("it asks for no approval")
    asked = ApprovalAsked(round=1, id="7", tool="Bash", input={"command": "ls"}, call="c")
    driver.recall((asked,))
    _, answered = driver.given(
        "7", Decision(permission=Permission.ALLOW, by="ada", message="Once.", for_session=True)
    )
    assert (answered.id, answered.by, answered.message, answered.for_session) == ("7", "ada", "Once.", True)
    with pytest.raises(UnsupportedError, match="Ask"):
        driver.given("7", Decision(permission=Permission.ASK, by="policy"))


@every_driver
def test_a_structured_agent_is_spoken_to_at_once_in_whole_lines(kind: Kind) -> None:
    driver = new_driver(kind)
    if not driver.structured or driver.on_screen:
        pytest.skip("its class says how it is told, or its screen when")
    told = driver.begin(TURN)
    assert told.write.endswith(b"\n")
    assert not told.close
