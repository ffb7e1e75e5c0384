"""Tokens: what is minted is read back, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.vendor import KEY, NOW, make_grant, make_token

from axiom.egress.errors import TokenError, TokenFault
from axiom.egress.tokens import (
    MAX_TOKEN_LENGTH,
    NO_BUDGET,
    Purpose,
    errand_of,
    mint,
    on_errand,
    read,
)

OTHER_KEY = b"o" * 32


def fault_of(token: str, keys: tuple[bytes, ...] = (KEY,), now: float = NOW) -> TokenFault:
    with pytest.raises(TokenError) as caught:
        read(keys, token, now)
    if len(token) > 10:
        assert token not in str(caught.value)
    return caught.value.fault


def signed(payload: bytes) -> str:
    """A token with a true MAC around a payload that `mint` would not make."""
    text = "axm1." + base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    mac = hmac.new(KEY, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "changes", [{}, {"address": "10.1.2.3"}, {"address": "fd00::12"}, {"attempt": 42}, {"budget": 2_000_000}]
)
def test_a_token_gives_back_its_grant(changes: dict[str, Any]) -> None:
    assert read([KEY], make_token(**changes), NOW) == make_grant(**changes)


def test_a_token_of_a_release_before_budgets_still_counts() -> None:
    grant = read([KEY], signed(b'["u","n","t",1,"c","",1900000000]'), NOW)
    assert (grant.task_id, grant.budget) == ("u", NO_BUDGET)


def test_a_token_looks_like_an_api_key() -> None:
    assert re.fullmatch(r"axm1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", make_token(address="fd00:10:244:1::abcd"))


def test_the_longest_usual_names_fit() -> None:
    token = make_token(
        namespace="n" * 63, task="t" * 253, agent_class="c" * 63, address="f" * 39, budget=10**13
    )
    assert len(token) <= MAX_TOKEN_LENGTH
    assert read([KEY], token, NOW).task == "t" * 63


def test_a_class_name_that_leaves_no_room_is_refused_with_a_cure() -> None:
    with pytest.raises(TokenError, match="shorter name") as caught:
        make_token(namespace="n" * 63, agent_class="c" * 253)
    assert caught.value.fault is TokenFault.TOO_LONG


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        mint(b"short", make_grant())


def test_after_rotation_old_and_new_keys_count() -> None:
    keys = [OTHER_KEY, KEY]
    assert read(keys, make_token(), NOW) == read(keys, make_token(OTHER_KEY), NOW)


def test_a_key_that_was_taken_out_counts_no_more() -> None:
    assert fault_of(make_token(), (OTHER_KEY,)) is TokenFault.FORGED
    assert fault_of(make_token(), ()) is TokenFault.FORGED


@pytest.mark.parametrize(("now", "ok"), [(NOW + 3599.9, True), (NOW + 3600, False), (NOW + 10**9, False)])
def test_a_token_counts_until_it_expires(now: float, ok: bool) -> None:
    if ok:
        read([KEY], make_token(), now)
    else:
        assert fault_of(make_token(), now=now) is TokenFault.EXPIRED


TOKEN = make_token()
HEAD, PAYLOAD, MAC = TOKEN.split(".")


@pytest.mark.parametrize(
    ("token", "fault"),
    [
        ("", TokenFault.MALFORMED),
        ("sk-proj-abcdefghijkl", TokenFault.MALFORMED),
        ("axm1.", TokenFault.FORGED),
        ("axm1..", TokenFault.FORGED),
        (f"axm2.{PAYLOAD}.{MAC}", TokenFault.MALFORMED),
        (f"AXM1.{PAYLOAD}.{MAC}", TokenFault.MALFORMED),
        (f"axm1.{PAYLOAD}", TokenFault.FORGED),
        (f"axm1.{PAYLOAD}.", TokenFault.FORGED),
        (f"axm1.{MAC}.{PAYLOAD}", TokenFault.FORGED),
        (f"axm1.{PAYLOAD}={'.' + MAC}", TokenFault.FORGED),
        (TOKEN + "=", TokenFault.FORGED),
        (TOKEN + "A", TokenFault.FORGED),
        (TOKEN[:-1], TokenFault.FORGED),
        (TOKEN + "\n", TokenFault.FORGED),
        (" " + TOKEN, TokenFault.MALFORMED),
        (TOKEN + "é", TokenFault.MALFORMED),
        (TOKEN + "A" * 512, TokenFault.MALFORMED),
        (signed(b"not json"), TokenFault.MALFORMED),
        (signed(b"\xff\xfe"), TokenFault.MALFORMED),
        (signed(b"{}"), TokenFault.MALFORMED),
        (signed(b"[]"), TokenFault.MALFORMED),
        (signed(b'["u","n","t",true,"c","",1900000000]'), TokenFault.MALFORMED),
        (signed(b'["u","n","t",1,"c","","1900000000"]'), TokenFault.MALFORMED),
        (signed(b'["u","n","t",1,"c","",1900000000,"0"]'), TokenFault.MALFORMED),
        (signed(b'["u","n","t",1,"c","",1900000000,0,0]'), TokenFault.MALFORMED),
    ],
)
def test_what_is_no_token_of_ours_is_refused(token: str, fault: TokenFault) -> None:
    assert fault_of(token) is fault


@given(position=st.integers(0, len(TOKEN) - 1), character=st.sampled_from("ABCxyz019-_.=+/"))
def test_a_token_with_any_character_changed_is_refused(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    if changed != TOKEN:
        assert fault_of(changed) in {TokenFault.FORGED, TokenFault.MALFORMED}


def test_an_errands_class_is_no_agents_and_leads_back_to_it() -> None:
    for purpose in Purpose:
        assert errand_of(on_errand("codex", purpose)) == ("codex", purpose)
    assert errand_of("codex") == ("codex", None)
    assert errand_of("codex/other") == ("codex", None)
