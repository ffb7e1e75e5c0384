"""Bytes in order, provable: an append-only, hash-chained record of what happened in one sandbox."""

from axiom_sandbox.ledger.checking import (
    ALL_HERE,
    Break,
    DeclaredGap,
    Elsewhere,
    Fault,
    Findings,
    every_fault,
    verify,
)
from axiom_sandbox.ledger.errors import (
    LedgerBusyError,
    LedgerClosedError,
    LedgerCorruptError,
    LedgerError,
    LedgerFailedError,
    MalformedRecordError,
    NoSuchSegmentError,
    SegmentKeptError,
    SegmentsLeftError,
)
from axiom_sandbox.ledger.files import stored_lines
from axiom_sandbox.ledger.ledger import Ledger, Position
from axiom_sandbox.ledger.records import Record, decode
from axiom_sandbox.ledger.returned import Returned

__all__ = [
    "ALL_HERE",
    "Break",
    "DeclaredGap",
    "Elsewhere",
    "Fault",
    "Findings",
    "Ledger",
    "LedgerBusyError",
    "LedgerClosedError",
    "LedgerCorruptError",
    "LedgerError",
    "LedgerFailedError",
    "MalformedRecordError",
    "NoSuchSegmentError",
    "Position",
    "Record",
    "Returned",
    "SegmentKeptError",
    "SegmentsLeftError",
    "decode",
    "every_fault",
    "stored_lines",
    "verify",
]
