"""Secrets that a model says in pieces, a record each: masked however they are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.evidence.masking import LineMasker, mask_lines
from axiom_sandbox.secrets.scanning import Scanner

KEY = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA3bC6"
SCANNER = Scanner()


def record(event: str, text: str, seq: int = 1, **more: object) -> bytes:
    body = {"seq": seq, "event": event, "payload": {"round": 1, "text": text, **more}, "hash": "x"}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def pieces(*texts: str) -> list[bytes]:
    return [record("assistant_delta", text, seq, reasoning=False) for seq, text in enumerate(texts)]


def texts(lines: list[bytes]) -> list[str]:
    return [json.loads(line)["payload"]["text"] for line in lines]


def masked(*lines: bytes) -> list[bytes]:
    return list(mask_lines(lines, SCANNER))


@pytest.mark.parametrize("cut", range(len(KEY) + 1))
def test_a_secret_over_two_records_is_masked(cut: int) -> None:
    before, after = f"Use {KEY[:cut]}", f"{KEY[cut:]} now.\n"
    shown = texts(masked(*pieces(before, after)))
    assert "".join(shown) == f"Use {'*' * len(KEY)} now.\n"
    assert [len(text) for text in shown] == [len(before), len(after)]


def test_a_secret_a_letter_a_record_is_masked() -> None:
    shown = texts(masked(*pieces(*f'a key "{KEY}" b')))
    assert "".join(shown) == f'a key "{"*" * len(KEY)}" b'


def test_a_private_key_over_many_records_is_masked() -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
    lines = [
        "-----BEGIN PRIVATE ",
        "KEY-----\n",
        body[:30],
        body[30:] + "\n",
        "-----END PRIVATE KEY-----\n",
        "after\n",
    ]
    shown = "".join(texts(masked(*pieces(*lines))))
    assert body[:8] not in shown
    assert shown.endswith("after\n")


def test_what_is_no_secret_stays_byte_for_byte() -> None:
    lines = [*pieces("Hel", "lo wor", "ld\n", "again"), record("assistant_msg", "Hello"), *pieces("x")]
    assert masked(*lines) == lines


def test_records_stay_in_their_order_and_another_one_ends_what_waits() -> None:
    masker = LineMasker(SCANNER)
    first, second = pieces("ghp_aB3", "aB3")
    assert masker.feed(first) == []
    assert masker.feed(second) == []
    other = record("heartbeat", "alive")
    assert masker.feed(other) == [first, second, other]


def test_what_a_space_follows_does_not_wait() -> None:
    [line] = pieces("Hello, you ")
    assert LineMasker(SCANNER).feed(line) == [line]


def test_thoughts_and_words_are_streams_of_their_own() -> None:
    lines = [
        record("assistant_delta", KEY[:10], 1, reasoning=True),
        record("assistant_delta", KEY[10:], 2, reasoning=False),
    ]
    assert masked(*lines) == lines


def test_a_record_that_is_not_as_it_should_be_is_no_error() -> None:
    lines = [
        b'{"event":"assistant_delta"}\n',
        b'{"event":"assistant_delta","payload":{"text":5}}\n',
        b"rubbish\n",
    ]
    assert masked(*lines) == lines


@given(st.lists(st.sampled_from([KEY[:7], KEY[7:], KEY, " ", "\n", "x", "word", "=", '"']), max_size=30))
def test_however_a_text_is_cut_what_is_masked_of_the_whole_is_masked(parts: list[str]) -> None:
    """More may be: what looks like a secret in a record of its own."""
    shown = "".join(texts(masked(*pieces(*parts))))
    whole = "".join(texts(masked(*pieces("".join(parts)))))
    assert len(shown) == len(whole)
    assert all(one == "*" for one, other in zip(shown, whole, strict=True) if other == "*")
