from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.ledger.errors import MalformedRecordError
from axiom_sandbox.ledger.records import KEYS, ORIGIN, decode, digest, encode
from axiom_sandbox.protocol.identity import Identity, Role

IDENTITY = Identity(namespace="team", task="fix", task_id="uid-1", attempt=2, role=Role.AGENT)
TIME = datetime(2030, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
payloads = st.dictionaries(st.text(st.characters(exclude_categories=())), anything, max_size=5)


def line(payload: dict[str, Any] | None = None, **changes: Any) -> bytes:
    fields = {"seq": 1, "time": TIME, "identity": IDENTITY, "event": "note", "prev": ORIGIN} | changes
    return encode(payload=payload or {}, **fields)[0]


def test_a_record_is_one_canonical_line() -> None:
    written, hashed = encode(
        seq=7,
        time=TIME,
        identity=IDENTITY,
        parent_id="uid-0/1/agent",
        event="note",
        payload={"text": "naïve ☃", "n": 1},
        prev=ORIGIN,
    )
    body = (
        '{"seq":7,"time_utc":"2030-01-02T03:04:05.678Z","agent_id":"uid-1/2/agent","parent_id":"uid-0/1/agent",'
        '"task_id":"uid-1","attempt":2,"event":"note","payload":{"text":"naïve ☃","n":1},"prev":"'
        + ORIGIN
        + '"'
    ).encode()
    assert hashed == hashlib.sha256(body).hexdigest()
    assert written == body + f',"hash":"{hashed}"}}'.encode()


def test_keys_stand_in_the_documented_order() -> None:
    assert tuple(json.loads(line())) == KEYS


def test_time_is_given_in_utc_whatever_its_zone() -> None:
    there = TIME.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert line(time=there) == line()


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        line(time=TIME.replace(tzinfo=None))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_json_cannot_say_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        line({"number": number})


def test_a_lone_surrogate_is_escaped() -> None:
    written = line({"text": "a\ud800b\udfff"})
    assert b'"a\\ud800b\\udfff"' in written
    assert decode(written).payload == {"text": "a\ud800b\udfff"}


@given(payloads)
def test_any_payload_survives_the_round_trip(payload: dict[str, Any]) -> None:
    written, hashed = encode(seq=3, time=TIME, identity=IDENTITY, event="note", payload=payload, prev=ORIGIN)
    record = decode(written)
    assert b"\n" not in written
    assert b"\0" not in written
    assert record.hash == hashed == digest(written)
    assert joined(record.payload) == joined(payload)
    assert (record.seq, record.event, record.attempt, record.prev) == (3, "note", 2, ORIGIN)
    assert record.time_utc == TIME.replace(microsecond=678000)


def joined(value: object) -> str:
    """Two surrogates side by side are one character to JSON."""
    return repr(json.loads(json.dumps(value)))


def test_a_line_is_read_with_and_without_its_line_feed() -> None:
    assert decode(line() + b"\n") == decode(line())
    assert digest(line() + b"\n") == digest(line())


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fail_in_another_way(data: bytes) -> None:
    with pytest.raises(MalformedRecordError):
        decode(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"seq":1', b'"seq":"1"'),
        (b'"seq":1', b'"seq":true'),
        (b'"seq":1', b'"seq":1.0'),
        (b'"attempt":2', b'"attempt":null'),
        (b'"payload":{}', b'"payload":[]'),
        (b'"payload":{}', b'"payload":{"a":1,"a":2}'),
        (b'"payload":{}', b'"payload":{"a":NaN}'),
        (b'"payload":{}', b'"payload":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        (b'"payload":{}', b'"payload":{"a":"\xff"}'),
        (b'"payload":{}', b'"payload":{},"more":1'),
        (b'"event":"note",', b""),
        (b'"event":"note","payload":{}', b'"payload":{},"event":"note"'),
        (b'"prev":"0', b'"prev":"x'),
        (b"2030-01-02T03:04:05.678Z", b"2030-01-02T03:04:05Z"),
        (b"2030-01-02T03:04:05.678Z", b"2030-13-02T03:04:05.678Z"),
        (b'"}', b'"} '),
    ],
)
def test_a_line_in_another_form_is_no_record(old: bytes, new: bytes) -> None:
    assert old in line()
    with pytest.raises(MalformedRecordError):
        decode(line().replace(old, new))
