"""The canonical line of a ledger: how a record becomes bytes, and how bytes become a record.

A line is one JSON object; its keys come in the order of `KEYS`, without spaces, in UTF-8. `hash` is the SHA-256
of the line's bytes before `,"hash":`, and `prev` is the hash of the line before (`ORIGIN` for the first), so every
hash stands for the whole ledger up to it. A line is stored with a line feed at its end; what reads one here takes
it with or without. Nothing here does I/O; whether lines form a sound ledger is decided by `checking`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from axiom_sandbox.ledger.errors import MalformedRecordError
from axiom_sandbox.protocol.identity import Identity

ORIGIN = "0" * 64
"""`prev` of the first record."""
KEYS = (
    "seq",
    "time_utc",
    "agent_id",
    "parent_id",
    "task_id",
    "attempt",
    "event",
    "payload",
    "prev",
    "hash",
)

_TYPES: dict[str, type | tuple[type, ...]] = {
    "seq": int,
    "time_utc": str,
    "agent_id": str,
    "parent_id": (str, type(None)),
    "task_id": str,
    "attempt": int,
    "event": str,
    "payload": dict,
    "prev": str,
    "hash": str,
}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_HASH_FIELD = re.compile(rb',"hash":"[0-9a-f]{64}"\}')
_HASH_FIELD_SIZE = len(',"hash":""}') + 64
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", re.ASCII)
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Record:
    """A line, parsed."""

    seq: int
    """1, 2, 3, …"""
    time_utc: datetime
    """When it was appended, by the sandbox's clock, in whole milliseconds."""
    agent_id: str
    parent_id: str | None
    """The agent that delegated to this one, if any."""
    task_id: str
    attempt: int
    event: str
    payload: dict[str, Any]
    prev: str
    hash: str
    """As the line says. `digest` computes what it should say."""


def encode(
    *,
    seq: int,
    time: datetime,
    identity: Identity,
    parent_id: str | None = None,
    event: str,
    payload: Mapping[str, Any],
    prev: str,
) -> tuple[bytes, str]:
    """One record → its line (no line feed) and its hash.

    Raises:
        ValueError: a NaN or an infinity in the payload, or a time without a zone.
        TypeError: something in the payload that JSON cannot say.
    """
    text = (
        f'{{"seq":{seq},"time_utc":"{_rfc3339(time)}","agent_id":{_to_json(identity.agent_id)},'
        f'"parent_id":{_to_json(parent_id)},"task_id":{_to_json(identity.task_id)},'
        f'"attempt":{identity.attempt},"event":{_to_json(event)},"payload":{_to_json(payload)},'
        f'"prev":"{prev}"'
    )
    body = _utf8(text)
    hashed = hashlib.sha256(body).hexdigest()
    return b'%b,"hash":"%b"}' % (body, hashed.encode()), hashed


def decode(line: bytes) -> Record:
    """A line → the record. Its form is checked, its hash is not.

    Raises:
        MalformedRecordError: not canonical: keys, their order, their types, or the place of the hash.
    """
    line = line.removesuffix(b"\n")
    if not _HASH_FIELD.fullmatch(line[-_HASH_FIELD_SIZE:]):
        raise MalformedRecordError("the line does not end in its hash")
    try:
        fields = json.loads(line.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedRecordError(f"the line is not JSON: {error}") from error
    if not isinstance(fields, dict) or tuple(fields) != KEYS:
        raise MalformedRecordError(f"the line's keys are not {', '.join(KEYS)}")
    for key, kind in _TYPES.items():
        if not isinstance(fields[key], kind) or isinstance(fields[key], bool):
            raise MalformedRecordError(f"{key} has the wrong type")
    if not _DIGEST.match(fields["prev"]):
        raise MalformedRecordError("prev is not a SHA-256")
    return Record(**{**fields, "time_utc": _parse_time(fields["time_utc"])})


def digest(line: bytes) -> str:
    """What a line's `hash` has to be: SHA-256 over the bytes before `,"hash":`."""
    return hashlib.sha256(line.removesuffix(b"\n")[:-_HASH_FIELD_SIZE]).hexdigest()


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _rfc3339(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError("a record's time needs a zone")
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _parse_time(text: str) -> datetime:
    if not _TIME.match(text):
        raise MalformedRecordError("time_utc is not RFC 3339 in milliseconds and UTC")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedRecordError(f"time_utc is no time: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
