"""Whether lines are a sound ledger: every record as it was written, none missing, none added.

The chain alone proves that nothing inside was touched; a head from elsewhere (the task's status) also proves
that the tail is there and that nobody wrote the whole chain anew. Pure: lines come from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

from axiom_sandbox.ledger.errors import MalformedRecordError
from axiom_sandbox.ledger.records import ORIGIN, Record, decode, digest
from axiom_sandbox.protocol.events import Gap


class Fault(StrEnum):
    """What was done to a ledger."""

    MALFORMED = "Malformed"
    """A line that is not a record."""
    EDITED = "Edited"
    """The record is not the one that was written."""
    REMOVED = "Removed"
    """Records are missing, and others follow."""
    INSERTED = "Inserted"
    """A record that was not written here."""
    REORDERED = "Reordered"
    """The record comes, but later."""
    TRUNCATED = "Truncated"
    """The end is missing."""
    EXTENDED = "Extended"
    """Records follow the last one that was witnessed."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where the ledger is not sound."""

    seq: int
    fault: Fault
    message: str


@dataclass(frozen=True, slots=True)
class DeclaredGap:
    """Something that the sandbox itself recorded as missing. No fault of the ledger."""

    seq: int
    gap: Gap


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check came to."""

    records: int
    """Sound records from the start on."""
    head: str
    """Hash of the last of them; `ORIGIN` if there is none."""
    broken: Break | None
    """The first fault. What comes after it proves nothing."""
    gaps: tuple[DeclaredGap, ...]

    @property
    def intact(self) -> bool:
        """Nothing was edited, removed, inserted, reordered or cut off."""
        return self.broken is None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The beginning of a ledger, where that is kept in another place: whole segments. What is here follows from it."""

    segments: int = 0
    records: int = 0
    """In these segments; the last one's seq."""
    head: str = ORIGIN
    """Hash of the last of them."""


ALL_HERE = Elsewhere()


def every_fault(
    lines: Iterable[bytes], head: str | None, elsewhere: Elsewhere = ALL_HERE
) -> tuple[Break, ...]:
    """All places where a ledger is not sound, in order; empty where `verify` finds nothing.

    After a fault each record is held against its neighbours alone, as if what it says of itself were so: this names
    the damage, and proves nothing of what lies between. Takes the same arguments as `verify`.
    """
    return _Survey(ORIGIN if head == "" else head, elsewhere).take(lines)


class _Survey:
    """Walks a ledger to its end, whatever it finds."""

    def __init__(self, head: str | None, elsewhere: Elsewhere) -> None:
        self._witnessed = head
        self._seen_witnessed = elsewhere.records if head == elsewhere.head else None
        self._expected, self._prev = elsewhere.records + 1, elsewhere.head
        self._found: list[Break] = []
        self._missing: list[tuple[int, int]] = []
        """Ranges of records that did not come where they should have."""

    def take(self, lines: Iterable[bytes]) -> tuple[Break, ...]:
        """All lines → the faults."""
        rest = iter(lines)
        line = next(rest, None)
        while line is not None:
            following = next(rest, None)
            self._line(line, following)
            line = following
        for first, last in self._missing:
            what = f"record {first}" if first == last else f"records {first} to {last}"
            self._note(first, Fault.REMOVED, f"{what} missing before record {last + 1}")
        self._end()
        return tuple(sorted(self._found, key=lambda found: found.seq))

    def _note(self, seq: int, fault: Fault, message: str) -> None:
        self._found.append(Break(seq, fault, message))

    def _line(self, line: bytes, following: bytes | None) -> None:
        try:
            record = decode(line)
            _declared_gap(record)
        except MalformedRecordError as error:
            if following is None:
                text = f"the last line, record {self._expected}, is incomplete: {error}"
                self._note(self._expected, Fault.TRUNCATED, text)
            else:
                text = f"where record {self._expected} should be: {error}"
                self._note(self._expected, Fault.MALFORMED, text)
            self._expected, self._prev = self._expected + 1, ""
            return
        is_itself = digest(line) == record.hash
        if not is_itself:
            self._note(record.seq, Fault.EDITED, f"record {record.seq} does not hash to what it says")
        if record.seq < self._expected:
            self._belated(record)
            return
        if record.seq > self._expected:
            self._missing.append((self._expected, record.seq - 1))
        elif is_itself and self._prev and record.prev != self._prev:
            is_linked = record.seq > 1 and _links_to(following, record)
            self._unlinked(record, is_linked=is_linked)
            if not is_linked:
                self._expected, self._prev = record.seq + 1, ""
                return
        self._expected, self._prev = record.seq + 1, record.hash
        if is_itself and record.hash == self._witnessed:
            self._seen_witnessed = record.seq

    def _unlinked(self, record: Record, *, is_linked: bool) -> None:
        """It names another predecessor: where what follows agrees with it, the predecessor is not the one of then."""
        if is_linked:
            text = f"record {record.seq} was written after another record {record.seq - 1}"
            self._note(record.seq - 1, Fault.EDITED, text)
        else:
            self._note(record.seq, Fault.EDITED, f"record {record.seq} is linked to neither neighbour")

    def _belated(self, record: Record) -> None:
        """A number that should have come before: it was moved here, or it is here twice."""
        for index, (first, last) in enumerate(self._missing):
            if first <= record.seq <= last:
                parts = ((first, record.seq - 1), (record.seq + 1, last))
                self._missing[index : index + 1] = [part for part in parts if part[0] <= part[1]]
                self._note(record.seq, Fault.REORDERED, f"record {record.seq} comes after a later record")
                if record.hash == self._witnessed:
                    self._seen_witnessed = record.seq
                return
        self._note(record.seq, Fault.INSERTED, f"record {record.seq} occurs a second time")

    def _end(self) -> None:
        if self._witnessed is None or (self._prev == self._witnessed):
            return
        if self._seen_witnessed is None:
            torn = any(found.fault is Fault.TRUNCATED for found in self._found)
            if not torn:
                text = (
                    f"the ledger ends with record {self._expected - 1}, but the witnessed head is another:"
                    " its end is missing, or it was written anew"
                )
                self._note(self._expected, Fault.TRUNCATED, text)
            return
        if added := self._expected - 1 - self._seen_witnessed:
            text = f"{added} records follow record {self._seen_witnessed}, the witnessed head"
            self._note(self._seen_witnessed + 1, Fault.EXTENDED, text)


@dataclass(slots=True)
class _Chain:
    """The sound records so far."""

    records: int
    head: str
    before: int
    """Records that are elsewhere."""


def verify(lines: Iterable[bytes], head: str | None, elsewhere: Elsewhere = ALL_HERE) -> Findings:
    """Check a ledger from its first line on.

    Args:
        lines: with or without their line feeds. They may come from a hostile place.
        head: the hash that the last record must have, empty where there must be none; or None where nobody
            witnessed it: then a tail that was cut off at the end of a line cannot be found.
        elsewhere: what comes before the first line and is not here; whoever says so is believed. Its records count among
            the sound ones.
    """
    head = ORIGIN if head == "" else head
    sound, gaps = _Chain(elsewhere.records, elsewhere.head, elsewhere.records), list[DeclaredGap]()
    witnessed_at = elsewhere.records if head == elsewhere.head else None
    rest = iter(lines)
    broken = None
    for line in rest:
        broken = _check(sound, line, rest, gaps)
        if broken:
            break
        if sound.head == head:
            witnessed_at = sound.records
    if not broken and head is not None:
        broken = _check_head(sound, head, witnessed_at)
    return Findings(sound.records, sound.head, broken, tuple(gaps))


def _check(sound: _Chain, line: bytes, rest: Iterator[bytes], gaps: list[DeclaredGap]) -> Break | None:
    """Take one line into the chain, or say why not. `rest` is consumed only if the chain breaks."""
    expected = sound.records + 1
    try:
        record = decode(line)
        gap = _declared_gap(record)
    except MalformedRecordError as error:
        return _malformed(expected, error, rest)
    if digest(line) != record.hash:
        return Break(expected, Fault.EDITED, f"record {expected} does not hash to what it says")
    if record.seq != expected:
        return _out_of_sequence(expected, record, rest)
    if record.prev != sound.head:
        return _unlinked(sound, record, rest)
    sound.records, sound.head = record.seq, record.hash
    if gap:
        gaps.append(gap)
    return None


def _declared_gap(record: Record) -> DeclaredGap | None:
    if record.event != Gap.event:
        return None
    try:
        return DeclaredGap(record.seq, Gap.model_validate(record.payload))
    except ValidationError as error:
        raise MalformedRecordError("a gap does not say what is missing") from error


def _malformed(expected: int, error: MalformedRecordError, rest: Iterator[bytes]) -> Break:
    if next(rest, None) is None:
        return Break(expected, Fault.TRUNCATED, f"the last line, record {expected}, is incomplete: {error}")
    return Break(expected, Fault.MALFORMED, f"where record {expected} should be: {error}")


def _out_of_sequence(expected: int, record: Record, rest: Iterator[bytes]) -> Break:
    if record.seq < expected:
        return Break(record.seq, Fault.INSERTED, f"record {record.seq} occurs a second time")
    if any(later.seq == expected for later in _readable(rest)):
        return Break(expected, Fault.REORDERED, f"record {expected} comes after record {record.seq}")
    missing = (
        f"record {expected}" if record.seq == expected + 1 else f"records {expected} to {record.seq - 1}"
    )
    return Break(expected, Fault.REMOVED, f"{missing} missing before record {record.seq}")


def _unlinked(sound: _Chain, record: Record, rest: Iterator[bytes]) -> Break:
    """The record is whole and has the right number, but names another predecessor."""
    following = next(_readable(rest), None)
    if following and following.seq == record.seq:
        return Break(record.seq, Fault.INSERTED, f"two records say that they are number {record.seq}")
    if (following and following.prev != record.hash) or sound.records == sound.before:
        return Break(record.seq, Fault.EDITED, f"record {record.seq} is linked to neither neighbour")
    return Break(
        sound.records, Fault.EDITED, f"record {record.seq} was written after another record {sound.records}"
    )


def _check_head(sound: _Chain, head: str, witnessed_at: int | None) -> Break | None:
    if sound.head == head:
        return None
    if witnessed_at is None:
        return Break(
            sound.records + 1,
            Fault.TRUNCATED,
            f"the ledger ends with record {sound.records}, but the witnessed head is another: "
            "its end is missing, or it was written anew",
        )
    added = sound.records - witnessed_at
    return Break(
        witnessed_at + 1, Fault.EXTENDED, f"{added} records follow record {witnessed_at}, the witnessed head"
    )


def _links_to(line: bytes | None, record: Record) -> bool:
    """Whether a following line, where there is one, was written after this record."""
    if line is None:
        return True
    try:
        return decode(line).prev == record.hash
    except MalformedRecordError:
        return True


def _readable(lines: Iterator[bytes]) -> Iterator[Record]:
    for line in lines:
        try:
            yield decode(line)
        except MalformedRecordError:
            continue
