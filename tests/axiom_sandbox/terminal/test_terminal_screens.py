from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axiom_sandbox.terminal import live
from axiom_sandbox.terminal.casts import Cast
from axiom_sandbox.terminal.live import LiveScreen
from axiom_sandbox.terminal.recording import Code
from axiom_sandbox.terminal.screens import (
    BRACKETED_PASTE,
    EmulatorMissingError,
    View,
    make_screen,
)

CAPTURES = Path(__file__).parents[2] / "captures"


def answers_to(query: bytes) -> bytes:
    said = bytearray()
    screen = make_screen(100, 30, said.extend)
    screen.feed(b"two\r\nlines" + query)
    screen.close()
    return bytes(said)


def view_of(*pieces: bytes) -> View:
    screen = make_screen(100, 30)
    for piece in pieces:
        screen.feed(piece)
    view = screen.view()
    screen.close()
    return view


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b"\x1b[c", b"\x1b[?62;22c"),
        (b"\x1b[?u", b"\x1b[?0u"),
        (b"\x1b[>q", b"\x1bP>|libghostty\x1b\\"),
        (b"\x1b]10;?\x1b\\", b"\x1b]10;rgb:e5e5/e5e5/e5e5\x1b\\"),
        (b"\x1b]11;?\x07", b"\x1b]11;rgb:0000/0000/0000\x07"),
        (b"\x1b[6n", b"\x1b[2;6R"),
        (b"\x1b[18t", b"\x1b[8;30;100t"),
        (b"\x1b[14t", b"\x1b[4;480;800t"),
        (b"\x1b[?996n", b"\x1b[?997;1n"),
        (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
    ],
    ids=["kind", "keyboard", "version", "text", "background", "cursor", "cells", "pixels", "scheme", "mode"],
)
def test_what_a_program_asks_its_terminal_is_answered(query: bytes, answer: bytes) -> None:
    assert answers_to(query) == answer


def test_a_recording_is_shown_and_not_spoken_to() -> None:
    assert view_of(b"\x1b[c\x1b[6n").text == ""


def test_a_view_tells_title_modes_and_the_second_screen() -> None:
    view = view_of(b"first\x1b]2;\xe2\x9c\xb3 busy\x07\x1b[?1049h\x1b[?2004h\x1b[?25l\x1b[>1u\x1b[3;5Hthere")
    assert (view.title, view.alternate, view.cursor_visible) == ("✳ busy", True, False)
    assert BRACKETED_PASTE in view.modes
    assert view.keyboard == 1
    assert view.lines[2] == "    there"
    assert view.cursor == (9, 2)
    assert "first" not in view.text
    assert view.digest != view_of(b"first").digest == view_of(b"\x1b]0;t\x07first").digest


def output_of(cli: str) -> bytes:
    cast = Cast.parse((CAPTURES / cli / "terminal.cast").read_bytes())
    return b"".join(event.data.encode() for event in cast.events if event.code == Code.OUTPUT)


@pytest.mark.parametrize("cli", ["claude", "codex", "gemini"])
@given(cuts=st.lists(st.floats(0, 1), max_size=12))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_of_what_a_real_program_writes_leaves_the_same_screen(cli: str, cuts: list[float]) -> None:
    output = output_of(cli)
    places = [0, *sorted(round(cut * len(output)) for cut in cuts), len(output)]
    pieces = [output[start:end] for start, end in pairwise(places)]
    assert view_of(*pieces) == view_of(output)


@given(junk=st.binary(max_size=200) | st.lists(st.sampled_from([b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b_G", b"9999999", b";", b"m", b"H", b"\x9b", b"\xff", b"\x07", b"h", b"r"]), max_size=40).map(b"".join))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_screen_outlives_whatever_it_is_fed(junk: bytes) -> None:
    screen = make_screen(20, 5, lambda _: None)
    screen.feed(junk + b"\x18\x1bcstill here")
    assert screen.view().text.endswith("still here")
    assert len(screen.frame().rows) == 5
    screen.close()


# --- while a program writes -----------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(screen: LiveScreen) -> View:
    view = screen.view()
    assert view is not None
    return view


def test_what_came_before_the_emulator_is_shown_once_it_is_there() -> None:
    screen = LiveScreen(Clock())
    screen.feed(b"early")
    screen.resize(40, 10)
    assert screen.view() is None
    screen.attach(make_screen(80, 24))
    view = shown(screen)
    assert (view.text, view.columns, view.rows) == ("early", 40, 10)


def test_a_query_is_answered_at_once_and_in_a_flood_with_what_waits() -> None:
    clock, said = Clock(), list[bytes]()
    screen = LiveScreen(clock)
    screen.attach(make_screen(80, 24, said.append))
    screen.feed(b"\x1b[5n")
    assert said == [b"\x1b[0n"]
    screen.feed(b"y\r\n" * live.AT_ONCE_BYTES)
    screen.feed(b"\x1b[5n" + b"y\r\n" * live.KEPT_BYTES)
    assert screen.behind
    screen.settle()
    assert said == [b"\x1b[0n", b"\x1b[0n"]


def test_a_flood_leaves_the_screen_that_it_would_have_left() -> None:
    flood = b"".join(b"line %d\r\n" % number for number in range(200_000))
    output = b"\x1b]0;a title\x07\x1b[?2004h" + flood + b"\x1b[?25lthe end"
    screen = LiveScreen(Clock())
    screen.attach(make_screen(100, 30))
    for start in range(0, len(output), 60_000):
        screen.feed(output[start : start + 60_000])
    assert shown(screen) == view_of(output)
    assert screen.skipped > len(output) / 2


def test_a_flood_takes_a_bounded_part_of_the_time() -> None:
    fed = list[int]()

    class Counting:
        def feed(self, data: bytes) -> None:
            fed.append(len(data))

    screen, clock = LiveScreen(clock := Clock()), clock
    screen.attach(Counting())  # type: ignore[arg-type]
    for _ in range(1000):
        screen.feed(b"x" * 1000)
    assert sum(fed) <= live.AT_ONCE_BYTES
    clock.now += live.INTERVAL_SECONDS
    screen.settle()
    assert fed[-1] <= live.KEPT_BYTES + 1
    screen.feed(b"more")
    assert fed[-1] == 4


def test_a_missing_emulator_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "axiom_sandbox.terminal.ghostty", raising=False)
    monkeypatch.setitem(sys.modules, "pyghostty", None)
    with pytest.raises(EmulatorMissingError, match="pip install pyghostty"):
        make_screen(80, 24)
