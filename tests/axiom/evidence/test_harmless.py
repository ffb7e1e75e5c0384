"""Text of agents on a person's terminal."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from axiom.evidence.harmless import plain, visible_json

HOSTILE = "\x1b]52;c;eA==\x07 \x9b31m \x7f \u202e \u2066 \ufeff \U000e0041 \u2028 é 日本"


def is_hidden(character: str) -> bool:
    return character not in "\n\t " and unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}


def test_what_a_terminal_would_act_on_is_an_escape() -> None:
    shown = plain(HOSTILE)
    assert not any(map(is_hidden, shown))
    assert r"\x1b]52;c;eA==\x07 \x9b31m \x7f \u202e" in shown
    assert shown.endswith("é 日本")


@given(
    st.recursive(
        st.text() | st.just(HOSTILE), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_says_the_same_and_nothing_of_it_is_acted_on(value: object) -> None:
    shown = visible_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert not any(map(is_hidden, shown))
