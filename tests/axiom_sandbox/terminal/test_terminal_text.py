from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.terminal.screens import make_screen
from axiom_sandbox.terminal.text import drawable, printable

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
pieces = st.sampled_from(
    [
        b"\x1b", b"[", b"]", b"P", b"_", b"\\", b"\x9b", b"\x9d", b"\xc2\x9b", b"31;1m", b"K", b"2K", b"\x07", b"\x18",
        b"\r", b"\n", b"\b", b"\t", b"\x7f", b"\0", b"text", b"\xe2\x80\xae", b"\xe2\x81\xa6", b"\xff", b"\xe2\x82",
        b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"(B", b"#8", b"\x85",
    ]
)  # fmt: skip
outputs = st.lists(pieces | st.binary(max_size=8), max_size=60).map(b"".join)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        (b"two\r\nlines\r\n", "two\nlines"),
        (b"two\nlines", "two\nlines"),
        (b"\n\n between \n\n", " between"),
        (b"kept\n\nempty", "kept\n\nempty"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b[38:2::1:2:3mred", "red"),
        (b"\x1b[?2004hbash$ \x1b[?2004l", "bash$"),
        (b"\x1b[4\nm;x", "\n;x".strip()),
        (b"\x9b31mred\xc2\x9b0m", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x9d0;title\x9cafter", "after"),
        (b"\x1bPq#0~\n~\x1b\\after", "after"),
        (b"\x1b_application\x1b\\after", "after"),
        (b"\x1b^privacy\x1b\\\x1bXstring\x1b\\after", "after"),
        (b"\x1b]0;never ended", ""),
        (b"\x1b]0;cancelled\x18after", "after"),
        (b"\x1b]0;replaced\x1b[1mafter", "after"),
        (b"\x1b(B\x1b)0\x1b#8after", "after"),
        (b"\x1b(Dafter", "after"),
        (b"\x1b=\x1b>\x1b7\x1b8after", "after"),
        (b"one\x1bDtwo\x1bEthree\xc2\x85four", "one\ntwo\nthree\nfour"),
        (b"10%\r20%\r100%", "100%"),
        (b"longer\rshort", "shortr"),
        (b"longer\r\x1b[Kshort", "short"),
        (b"longer\x1b[2Kshort", "short"),
        (b"longer\x1b[1K", "longer"),
        (b"abc\b\bX", "aXc"),
        (b"\b\b\bx", "x"),
        (b"a\tb", "a       b"),
        ("naïve 日本 😀".encode(), "naïve 日本 😀"),
        (b"bad \xff\xfe byte", "bad \ufffd\ufffd byte"),
        ("evil\u202egnp.exe\u2066\u200f".encode(), "evilgnp.exe"),
        ("\ufeffhid\u200bden\u00ad \U000e0041tag".encode(), "hidden tag"),
        (b"bell\x07 null\x00 delete\x7f", "bell null delete"),
        (b"half\xe2\x82", "half\ufffd"),
        (b"", ""),
    ],
)
def test_output_becomes_the_text_a_person_saw(data: bytes, text: str) -> None:
    assert printable(data, 1000) == text


@pytest.mark.parametrize(
    ("data", "limit", "text"),
    [
        (b"first\nsecond\nthird", 12, "second\nthird"),
        (b"first\nsecond\nthird", 10, "cond\nthird"),
        (b"0123456789", 4, "6789"),
        (b"x\n" * 1000, 5, "x\nx\nx"),
        (b"0123456789", 0, ""),
        (b"0" * 5000 + b"1\r\nend", 6, "01\nend"),
    ],
)
def test_the_last_characters_are_kept(data: bytes, limit: int, text: str) -> None:
    assert printable(data, limit) == text


@given(outputs, st.integers(0, 80))
def test_nothing_invisible_and_no_control_character_remains(data: bytes, limit: int) -> None:
    text = printable(data, limit)
    assert len(text) <= limit
    assert not BIDI & set(text)
    assert {character for character in text if unicodedata.category(character) in ("Cc", "Cs")} <= {"\n"}


@given(st.text(st.characters(categories=("L", "N", "P")), max_size=200))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert printable(text.encode(), 1000) == text


@pytest.mark.parametrize(
    "unit",
    [b"x", b"\t", b"\n", b"\x1b", b"\x1b]", b"\x1b[", b"\x9b", b"\x1b[2Kx", b"\r\x1b[K" + b"y" * 30, b"a\r", b"\b", b"\xff"],
)  # fmt: skip
def test_time_grows_no_faster_than_the_input(unit: bytes) -> None:
    def seconds(size: int) -> float:
        began = time.thread_time()
        printable(b"x" * 4000 + unit * (size // len(unit)), 4000)
        return time.thread_time() - began

    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(50_000) for _ in range(3)) < 40 * small + 0.05


def drawn(output: bytes) -> str:
    screen = make_screen(20, 3)
    screen.feed(output)
    return drawable(screen.snapshot().styled).decode()


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b"\x1b]52;c;ZXZpbA==\x07x", "x"),
        (b"\x1b]0;title\x07\x1b[21tx", "x"),
        (b'\x1bP$q"p\x1b\\x', "x"),
        (b"\x1b]8;;http://evil.example/\x1b\\here\x1b]8;;\x1b\\", "here"),
        (b"\x1b[c\x1b[6nx", "x"),
        (b"a\x7fb", "a\ufffdb"),
        ("a\u202eb\u2066c\u200bd".encode(), "abcd"),
        ("\U0001f469\u200d\U0001f4bb".encode(), "\U0001f469\u200d\U0001f4bb"),
        (b"\x1b[31mred", "\x1b[0m\x1b[38;5;1mred\x1b[0m"),
    ],
)
def test_a_screen_is_drawn_with_its_colours_and_with_nothing_that_is_acted_on(
    output: bytes, shown: str
) -> None:
    assert drawn(output) == shown


@given(outputs)
def test_whatever_was_written_to_it_nothing_else_of_a_screen_is_acted_on(output: bytes) -> None:
    text = re.sub(r"\x1b\[[0-9;:]*m|\r\n", "", drawn(output))
    assert not {character for character in text if unicodedata.category(character) == "Cc"}
    assert not BIDI & set(text)
