"""What of a ledger must outlive a restart beside its records: what is sealed, what has left, and that it is closed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from axiom_sandbox.durable import replace_durably
from axiom_sandbox.ledger.checking import ALL_HERE, Elsewhere
from axiom_sandbox.ledger.errors import LedgerCorruptError

SEALS_FILE = "seals.json"
"""Beside the folder of the segments."""


@dataclass(frozen=True, slots=True)
class Seals:
    """The content of `seals.json`. Replaced as a whole, never edited."""

    sealed: frozenset[int] = frozenset()
    """Numbers of segments that are in object storage, and here."""
    closed: bool = False
    elsewhere: Elsewhere = ALL_HERE
    """What is in object storage alone."""

    @property
    def unbroken(self) -> int:
        """The highest n so that 1…n are in object storage."""
        number = self.elsewhere.segments
        while number + 1 in self.sealed:
            number += 1
        return number

    def without(self, elsewhere: Elsewhere) -> Seals:
        """The same once these segments are in object storage alone."""
        kept = frozenset(number for number in self.sealed if number > elsewhere.segments)
        return replace(self, sealed=kept, elsewhere=elsewhere)

    @classmethod
    def load(cls, folder: Path) -> Seals:
        """What was stored last; nothing is sealed where nothing was stored.

        Raises:
            LedgerCorruptError: the file is not what `store` writes.
        """
        try:
            return cls.parse((folder / SEALS_FILE).read_bytes())
        except FileNotFoundError:
            return cls()
        except LedgerCorruptError as error:
            raise LedgerCorruptError(f"{folder / SEALS_FILE}: {error}") from error

    @classmethod
    def parse(cls, data: bytes) -> Seals:
        """The file's content → the seals. Raises LedgerCorruptError."""
        try:
            stored = json.loads(data)
            elsewhere = ALL_HERE
            if left := stored.get("elsewhere"):
                elsewhere = Elsewhere(int(left["segments"]), int(left["records"]), str(left["head"]))
            sealed = frozenset(int(number) for number in stored["sealed"])
            return cls(sealed, bool(stored["closed"]), elsewhere)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LedgerCorruptError(f"cannot be read: {error!r}") from error

    def store(self, folder: Path) -> None:
        """Make this what the next `load` gives, durably."""
        stored: dict[str, object] = {"sealed": sorted(self.sealed), "closed": self.closed}
        if self.elsewhere.segments:
            stored["elsewhere"] = asdict(self.elsewhere)
        replace_durably(folder / SEALS_FILE, json.dumps(stored).encode())
