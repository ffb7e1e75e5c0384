"""Every truncation and every flipped bit is recovered from or reported. `make faults` tries all of them, `make test` some."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from tests.faults.parts import IS_LONG, share

from axiom.evidence.proving import prove
from axiom.evidence.segments import Segment, StoredLedger
from axiom_sandbox.ledger import every_fault, verify
from axiom_sandbox.ledger.files import compress, raw_path, recover
from axiom_sandbox.ledger.records import ORIGIN, encode
from axiom_sandbox.protocol.identity import Identity, Role

IDENTITY = Identity(namespace="team", task="fix", task_id="uid-1", attempt=1, role=Role.AGENT)
TAIL = 64 * 1024


def ledger_of(size: int) -> tuple[bytes, str]:
    """So many bytes of records at least, of all lengths, and the head."""
    chance, data, head, seq = random.Random(7), bytearray(), ORIGIN, 0
    while len(data) < size:
        seq += 1
        payload = {"text": "ä" * chance.randrange(0, 700), "n": seq}
        line, head = encode(
            seq=seq,
            time=datetime(2030, 1, 2, tzinfo=UTC),
            identity=IDENTITY,
            event="note",
            payload=payload,
            prev=head,
        )
        data += line + b"\n"
    return bytes(data), head


def chosen(everything: range, some: int, always: Iterable[int] = ()) -> list[int]:
    if IS_LONG:
        return share(everything)
    return sorted({*random.Random(3).sample(everything, some), *(one for one in always if one in everything)})


def test_a_ledger_cut_off_anywhere_is_never_taken_for_whole() -> None:
    data, head = ledger_of(TAIL)
    ends = [at for at, byte in enumerate(data, 1) if byte == 10]
    for at in chosen(range(len(data)), 60, (end + shift for end in ends[-10:] for shift in (-1, 0, 1))):
        lines = list(BytesIO(data[:at]))
        findings = verify(lines, head)
        # only the last line feed is no part of the chain
        assert findings.intact == (at == len(data) - 1), at
        whole = sum(end <= at for end in ends)
        assert findings.records in (whole, whole + 1), at
        if not findings.intact:
            named = {fault.seq for fault in every_fault(lines, head)}
            assert named == {findings.records + 1}, at


def test_a_ledger_cut_off_anywhere_is_recovered_up_to_its_last_whole_record(tmp_path: Path) -> None:
    data, _ = ledger_of(TAIL)
    ends = [at for at, byte in enumerate(data, 1) if byte == 10]
    for at in chosen(range(len(data) + 1), 12, (ends[-1], ends[-2], ends[-2] + 1, ends[-1] - 1)):
        folder = tmp_path / str(at)
        raw = raw_path(folder, 1)
        raw.parent.mkdir(parents=True)
        raw.write_bytes(data[:at])
        recovered = recover(folder)
        kept = max((end for end in ends if end <= at), default=0)
        assert recovered.torn == at - kept, at
        assert recovered.findings.records == sum(end <= at for end in ends), at
        shutil.rmtree(folder)


def test_a_flipped_bit_anywhere_in_a_segment_is_reported_by_its_record() -> None:
    data, head = ledger_of(4096)
    lines = list(BytesIO(data))
    ends = [at for at, byte in enumerate(data, 1) if byte == 10]
    for bit in chosen(range(len(data) * 8), 600):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        findings = verify(BytesIO(bytes(damaged)), head)
        assert findings.broken is not None or bit // 8 == len(data) - 1, bit
        if findings.broken:
            number = sum(end <= bit // 8 for end in ends) + 1
            assert abs(findings.broken.seq - number) <= 1, bit
            assert every_fault(BytesIO(bytes(damaged)), head), bit
    assert verify(lines, head).intact


def test_a_flipped_bit_anywhere_in_a_stored_segment_is_reported() -> None:
    data, head = ledger_of(4096)
    packed = compress(data)
    for bit in chosen(range(len(packed) * 8), 300):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        segment = Segment("000001.jsonl.zst", bytes(damaged))
        proof = prove(StoredLedger("one", lambda segment=segment: [segment], head))
        content_is_the_same = proof.findings.intact and not proof.damage
        assert not content_is_the_same or _still_says(bytes(damaged), data), bit


def _still_says(packed: bytes, data: bytes) -> bool:
    """A bit of the frame's header that changes nothing of what it holds is no damage."""
    from axiom.evidence.segments import unpack

    return unpack(Segment("x.zst", packed)) == (data, "")


def test_a_stored_segment_cut_off_anywhere_is_reported() -> None:
    data, head = ledger_of(4096)
    packed = compress(data)
    for at in chosen(range(len(packed)), 100):
        segment = Segment("000001.jsonl.zst", packed[:at])
        assert not prove(StoredLedger("one", lambda segment=segment: [segment], head)).is_whole, at
