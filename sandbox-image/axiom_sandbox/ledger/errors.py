"""What can go wrong with a ledger."""

from __future__ import annotations


class LedgerError(Exception):
    """The root of this package's errors."""


class LedgerFailedError(LedgerError):
    """The disk refused a write or an fsync.

    What was acknowledged before is durable. Nothing more is accepted until the ledger is opened anew,
    because after a failed fsync nobody knows which later bytes would reach the disk.
    """


class LedgerCorruptError(LedgerError):
    """What lies in the folder is not what was acknowledged. Nothing was changed; keep the folder as evidence."""


class LedgerClosedError(LedgerError):
    """The ledger is closed, and an event came too late."""


class LedgerBusyError(LedgerError):
    """Another process, or another `Ledger` of this one, holds the folder."""


class NoSuchSegmentError(LedgerError, LookupError):
    """The segment has not been cut yet."""


class SegmentsLeftError(NoSuchSegmentError):
    """These records are not here any more: they are in object storage."""

    def __init__(self, records: int) -> None:
        self.records = records
        super().__init__(f"records 1 to {records} have left for object storage; what is here follows them")


class SegmentKeptError(LedgerError):
    """A segment is not let go of: that object storage has it, and what it has, is not proven."""


class MalformedRecordError(LedgerError, ValueError):
    """A line that is not a record in canonical form."""
