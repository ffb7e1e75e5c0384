"""The real key in a streamed answer."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from axiom.egress.redacting import Redactor

KEY = "sk-sk-canary"
STARS = b"*" * len(KEY)


def redact(chunks: list[bytes], key: str = KEY) -> bytes:
    redactor = Redactor(key)
    return b"".join(redactor.feed(chunk) for chunk in chunks) + redactor.finish()


def test_the_key_is_replaced_at_its_length() -> None:
    assert redact([b"your key sk-sk-canary is wrong"]) == b"your key " + STARS + b" is wrong"


def test_events_pass_at_once() -> None:
    redactor = Redactor(KEY)
    assert redactor.feed(b"data: sk-\n\n") == b"data: sk-\n\n"


def test_the_beginning_of_a_key_waits() -> None:
    redactor = Redactor(KEY)
    assert redactor.feed(b"data: sk-sk-c") == b"data: "
    assert redactor.feed(b"ourse") == b"sk-sk-course"
    assert redactor.finish() == b""


def test_what_is_too_short_to_be_a_secret_is_left_alone() -> None:
    assert redact([b"a test"], "test") == b"a test"


@given(
    st.lists(st.sampled_from([KEY, "sk-", "s", "sk-sk-", "canary", "x"]), max_size=20),
    st.lists(st.integers(0, 120), max_size=12),
)
def test_however_an_answer_is_cut_the_key_never_passes(parts: list[str], cuts: list[int]) -> None:
    whole = "".join(parts).encode()
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    chunks = [whole[start:end] for start, end in pairwise(edges)]
    assert redact(chunks) == whole.replace(KEY.encode(), STARS)
