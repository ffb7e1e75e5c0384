"""The port between what tests prove and the program that runs them: a runner is one subclass of `Adapter`.

`verifier` knows what runs there are, and what they prove; it knows no runner. An adapter says what its runner's tests
and settings are called, which program of ours runs them (a file of `tools`), and what that is told. The program reports
in the lines that `reports` reads; docs/criteria.md says what it must see to. Pure.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from axiom_sandbox.verifying.judging import Side, Source, environment
from axiom_sandbox.verifying.rooms import TOOLS, Place
from axiom_sandbox.verifying.suites.pinning import Conventions, Pins


class Adapter(ABC):
    """One program that runs tests."""

    name: ClassVar[str]
    """The program, in messages."""
    tool: ClassVar[str]
    """Our program that lets it run, a file of `tools`; it is a script for Python."""
    parts: ClassVar[tuple[str, ...]] = ()
    """Further files of `tools` that it consists of."""
    conventions: ClassVar[Conventions]
    suffixes: ClassVar[tuple[str, ...]]
    """Ends of the names of files that tests may lie in."""
    may_be_apart: ClassVar[bool] = False
    """Whether the code under test can have a process of its own."""
    order: ClassVar[str] = ""
    """What differs between runs besides the nonce, in messages: `, each in another order`."""

    @abstractmethod
    def plan(
        self, base: Side, files: Sequence[str], place: Place, layout: Mapping[str, Source], pins: Pins
    ) -> dict[str, Any]:
        """What `tool` is told besides what every runner is: plain JSON.

        Args:
            files: those that hold the tests that are asked for.
        """

    def set_up_by(self, base: Side, files: Sequence[str]) -> Iterable[str]:
        """Files of the base which its own configuration says are run before tests: the base's, whatever they are called."""
        return ()

    def environment(self, place: Place) -> dict[str, str]:
        """The environment of `tool`, whole."""
        return environment(place)

    def argv(self, place: Place) -> tuple[str, ...]:
        """How `tool` is started."""
        return (place.python, "-I", "-B", f"{place.tools}/{self.tool}")

    def is_code(self, path: str) -> bool:
        """Whether coverage counts a file, where it is not pinned."""
        return path.endswith(self.conventions.code)

    def digest(self) -> str:
        """SHA-256 of our own copy of the program, in hexadecimal; it says the same of itself."""
        parts = [(TOOLS / part).read_bytes() for part in (self.tool, *self.parts)]
        return hashlib.sha256(b"".join(parts)).hexdigest()


class RelayedAdapter(Adapter):
    """One whose tests run in a process of another language: `tool` is a runner that `relay.py` lets run."""

    def argv(self, place: Place) -> tuple[str, ...]:
        """The relay, and what it is to let run."""
        return (place.python, "-I", "-B", f"{place.tools}/relay.py", self.tool)
