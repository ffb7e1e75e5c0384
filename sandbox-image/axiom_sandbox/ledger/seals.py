"""What of a ledger must outlive a restart beside its records: which segments are sealed, and that it is closed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from axiom_sandbox.durable import replace_durably
from axiom_sandbox.ledger.errors import LedgerCorruptError

_NAME = "seals.json"


@dataclass(frozen=True, slots=True)
class Seals:
    """The content of `seals.json`. Replaced as a whole, never edited."""

    sealed: frozenset[int] = frozenset()
    """Numbers of segments that are in object storage."""
    closed: bool = False

    @property
    def unbroken(self) -> int:
        """The highest n so that 1…n are sealed."""
        number = 0
        while number + 1 in self.sealed:
            number += 1
        return number

    @classmethod
    def load(cls, folder: Path) -> Seals:
        """What was stored last; nothing is sealed where nothing was stored.

        Raises:
            LedgerCorruptError: the file is not what `store` writes.
        """
        path = folder / _NAME
        try:
            stored = json.loads(path.read_bytes())
            return cls(frozenset(int(number) for number in stored["sealed"]), bool(stored["closed"]))
        except FileNotFoundError:
            return cls()
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerCorruptError(f"{path} cannot be read: {error!r}") from error

    def store(self, folder: Path) -> None:
        """Make this what the next `load` gives, durably."""
        stored = {"sealed": sorted(self.sealed), "closed": self.closed}
        replace_durably(folder / _NAME, json.dumps(stored).encode())
