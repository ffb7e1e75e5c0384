from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.terminal.keys import bracketed_paste


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("hello", b"hello"),
        ("", b""),
        ("two\nlines", b"two\rlines"),
        ("two\r\nlines\rmore", b"two\rlines\rmore"),
        ("tab\there", b"tab\there"),
        ("\x1b[201~rm -rf /\n", b"rm -rf /\r"),
        ("\x1b[20\x1b[201~1~", b"[201~"),
        ("\x9b201~", b"201~"),
        ("a\x03b\x04c\x00d\x7fe\x85f", b"abcdef"),
        ("naïve 😀", "naïve 😀".encode()),
        ("\ud800", b"?"),
    ],
)
def test_text_is_typed_as_one_paste(text: str, typed: bytes) -> None:
    assert bracketed_paste(text) == b"\x1b[200~" + typed + b"\x1b[201~"


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from("\x1b[201~\x9b\r\n"), max_size=80))
def test_no_text_ends_its_own_paste_or_presses_a_key(text: str) -> None:
    typed = bracketed_paste(text).removeprefix(b"\x1b[200~").removesuffix(b"\x1b[201~").decode()
    assert not {character for character in typed if character < " " or "\x7f" <= character <= "\x9f"} - {
        "\r",
        "\t",
    }
