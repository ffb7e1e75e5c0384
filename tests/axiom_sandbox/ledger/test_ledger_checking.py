from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.ledger.checking import Fault, every_fault, verify
from axiom_sandbox.ledger.records import ORIGIN, decode, encode
from axiom_sandbox.protocol.events import Gap
from axiom_sandbox.protocol.identity import Identity, Role

IDENTITY = Identity(namespace="team", task="fix", task_id="uid-1", attempt=1, role=Role.AGENT)
TIME = datetime(2030, 1, 2, tzinfo=UTC)


def record(
    seq: int, prev: str, event: str = "note", payload: dict[str, Any] | None = None
) -> tuple[bytes, str]:
    return encode(
        seq=seq, time=TIME, identity=IDENTITY, event=event, payload=payload or {"text": f"{seq}"}, prev=prev
    )


def ledger(count: int, prev: str = ORIGIN, first: int = 1) -> list[bytes]:
    lines = []
    for seq in range(first, first + count):
        line, prev = record(seq, prev)
        lines.append(line)
    return lines


WHOLE = ledger(9)
HASHES = [decode(line).hash for line in WHOLE]
HEAD = HASHES[-1]


def forged(seq: int, prev: str) -> bytes:
    """A well-made record that was not written here."""
    return record(seq, prev, payload={"text": "forged"})[0]


Tampering = Callable[[list[bytes]], list[bytes]]
TAMPERINGS: dict[str, tuple[Tampering, int, Fault]] = {
    "a byte of a record": (lambda w: [*w[:3], w[3].replace(b'"4"', b'"5"'), *w[4:]], 4, Fault.EDITED),
    "a byte of a hash": (lambda w: [*w[:3], w[3][:-3] + b'0"}', *w[4:]], 4, Fault.EDITED),
    "a record and its own hash": (lambda w: [*w[:3], forged(4, HASHES[2]), *w[4:]], 4, Fault.EDITED),
    "the last record and its hash": (lambda w: [*w[:8], forged(9, HASHES[7])], 10, Fault.TRUNCATED),
    "a record, unlinked": (lambda w: [*w[:3], forged(4, "f" * 64), *w[4:]], 4, Fault.EDITED),
    "the first record's prev": (lambda w: [forged(1, "f" * 64), *w[1:]], 1, Fault.EDITED),
    "a line of garbage": (lambda w: [*w[:3], b"garbage", *w[4:]], 4, Fault.MALFORMED),
    "an empty line": (lambda w: [*w[:3], b"", *w[3:]], 4, Fault.MALFORMED),
    "a line dropped": (lambda w: [*w[:3], *w[4:]], 4, Fault.REMOVED),
    "three lines dropped": (lambda w: [*w[:3], *w[6:]], 4, Fault.REMOVED),
    "the first line dropped": (lambda w: w[1:], 1, Fault.REMOVED),
    "two lines swapped": (lambda w: [*w[:3], w[4], w[3], *w[5:]], 4, Fault.REORDERED),
    "a line moved to the end": (lambda w: [*w[:3], *w[4:], w[3]], 4, Fault.REORDERED),
    "a line doubled": (lambda w: [*w[:4], w[3], *w[4:]], 4, Fault.INSERTED),
    "a line inserted, well linked": (lambda w: [*w[:3], forged(4, HASHES[2]), *w[3:]], 4, Fault.INSERTED),
    "a line inserted, unlinked": (lambda w: [*w[:3], forged(4, "f" * 64), *w[3:]], 4, Fault.INSERTED),
    "a line from another place": (lambda w: [*w[:3], w[0], *w[3:]], 1, Fault.INSERTED),
    "the last line cut off": (lambda w: w[:-1], 9, Fault.TRUNCATED),
    "the last line cut short": (lambda w: [*w[:-1], w[-1][:100]], 9, Fault.TRUNCATED),
    "everything cut off": (lambda w: [], 1, Fault.TRUNCATED),
    "a line added at the end": (lambda w: [*w, forged(10, HEAD)], 10, Fault.EXTENDED),
    "the tail written anew": (lambda w: [*w[:3], *ledger(6, HASHES[3], 4)], 3, Fault.EDITED),
    "the whole written anew": (lambda w: chained_anew(), 10, Fault.TRUNCATED),
}


def chained_anew() -> list[bytes]:
    lines, prev = [], ORIGIN
    for seq in range(1, 10):
        line, prev = record(seq, prev, payload={"text": "anew"})
        lines.append(line)
    return lines


def test_a_sound_ledger_is_intact() -> None:
    findings = verify(WHOLE, HEAD)
    assert findings.intact
    assert (findings.records, findings.head, findings.gaps) == (9, HEAD, ())


def test_an_empty_ledger_is_intact() -> None:
    assert verify([], None).intact
    assert verify([], ORIGIN).intact
    assert verify([], "").intact
    assert verify([], None).head == ORIGIN


def test_lines_may_carry_their_line_feeds() -> None:
    assert verify([line + b"\n" for line in WHOLE], HEAD).intact


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found_and_named(what: str) -> None:
    tamper, seq, fault = TAMPERINGS[what]
    broken = verify(tamper(WHOLE), HEAD).broken
    assert broken is not None
    assert (broken.seq, broken.fault) == (seq, fault), broken.message


def test_records_after_an_empty_ledger_was_witnessed_are_found() -> None:
    broken = verify(WHOLE, "").broken
    assert broken is not None
    assert (broken.seq, broken.fault) == (1, Fault.EXTENDED)


def test_without_a_witness_a_missing_tail_is_not_found() -> None:
    assert verify(WHOLE[:-1], None).intact


def test_the_message_names_the_missing_records() -> None:
    broken = verify([*WHOLE[:3], *WHOLE[6:]], HEAD).broken
    assert broken is not None
    assert broken.message == "records 4 to 6 missing before record 7"


def test_what_was_sound_before_the_break_is_counted() -> None:
    findings = verify([*WHOLE[:3], *WHOLE[4:]], HEAD)
    assert (findings.records, findings.head) == (3, HASHES[2])


def test_a_declared_gap_is_listed_and_no_fault() -> None:
    gap = Gap(what="terminal", start=10, end=20, size=10, reason="limit")
    line, head = record(1, ORIGIN, "gap", gap.model_dump())
    findings = verify([line, *ledger(2, head, 2)], None)
    assert findings.intact
    assert [(found.seq, found.gap) for found in findings.gaps] == [(1, gap)]


def test_a_gap_that_does_not_say_what_is_missing_is_no_record() -> None:
    first, prev = record(1, ORIGIN, "gap", {"what": "everything"})
    broken = verify([first, *ledger(2, prev, 2)], None).broken
    assert broken is not None
    assert broken.fault is Fault.MALFORMED


@given(st.integers(0, 8), st.data())
def test_no_flipped_bit_goes_unseen(number: int, data: st.DataObject) -> None:
    line = bytearray(WHOLE[number])
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    broken = verify([*WHOLE[:number], bytes(line), *WHOLE[number + 1 :]], HEAD).broken
    assert broken is not None
    assert broken.seq == number + 1


@given(st.permutations(range(9)))
def test_no_other_order_goes_unseen(order: list[int]) -> None:
    findings = verify([WHOLE[number] for number in order], HEAD)
    assert findings.intact == (order == sorted(order))


@pytest.mark.parametrize("name", TAMPERINGS)
def test_the_survey_of_all_faults_names_the_one_that_was_done(name: str) -> None:
    tamper, _, _ = TAMPERINGS[name]
    lines = tamper(list(WHOLE))
    first = verify(lines, HEAD).broken
    assert first is not None
    named = {found.seq for found in every_fault(lines, HEAD)}
    assert min(named) <= first.seq
    assert named & {first.seq - 1, first.seq, first.seq + 1}


def test_every_fault_is_named_not_the_first_alone() -> None:
    lines = list(WHOLE)
    lines[1] = lines[1].replace(b'"2"', b'"x"')
    lines[3] = b"garbage"
    del lines[6]
    found = [(fault.seq, fault.fault) for fault in every_fault(lines, HEAD)]
    assert found == [(2, Fault.EDITED), (4, Fault.MALFORMED), (7, Fault.REMOVED)]


@given(st.lists(st.sampled_from(WHOLE), max_size=12))
def test_the_survey_finds_something_exactly_where_the_proof_fails(lines: list[bytes]) -> None:
    assert bool(every_fault(lines, HEAD)) == (not verify(lines, HEAD).intact)
    assert bool(every_fault(lines, None)) == (not verify(lines, None).intact)
