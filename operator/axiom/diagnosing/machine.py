"""Whether this machine can run `axiom run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from axiom.backends.bubblewrap import find_bubblewrap
from axiom.backends.contract import CannotRunError
from axiom.backends.host import find_launcher
from axiom.diagnosing.findings import Fault, Finding, good, problem

NEEDED: tuple[tuple[str, Callable[[], object]], ...] = (
    ("launcher", find_launcher),
    ("bubblewrap", find_bubblewrap),
)
"""What a local run needs: each gives where it is, or raises CannotRunError with the cure."""


def diagnose_machine(needed: tuple[tuple[str, Callable[[], object]], ...] = NEEDED) -> Iterator[Finding]:
    """Tries what a local run would try."""
    for subject, find in needed:
        try:
            yield good(f"this machine: {subject}", str(find()))
        except CannotRunError as error:
            yield problem(f"this machine: {subject}", str(error), Fault.NO_SANDBOXES_HERE)
