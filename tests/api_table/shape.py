"""The columns of the table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Change = Mapping[str, Any]
"""Path such as `spec.criteria[0].name` → new value; ABSENT takes the field away."""


@dataclass(frozen=True)
class Accepted:
    """The object is taken."""


@dataclass(frozen=True)
class Refused:
    """The object is not taken, and a person reads why."""

    field: str
    """Where, as both sides name it."""
    says: str
    """What both sides say, or the models alone where `server_says` differs."""
    server_says: str = ""
    """What the API server says in words of its own."""


@dataclass(frozen=True)
class Case:
    """A good object, changed."""

    name: str
    change: Change
    outcome: Accepted | Refused = field(default_factory=Accepted)


@dataclass(frozen=True)
class Update:
    """A good object changed to what is there, then changed to what comes after."""

    name: str
    after: Change
    changes: tuple[str, ...] = ()
    """The immutable fields that this would change; none: accepted."""
    before: Change = field(default_factory=dict)
