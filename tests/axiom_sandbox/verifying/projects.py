"""Small projects to verify: a base with a bug and the means to hand in what an agent made of it."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.axiom_sandbox.verifying.clean_room import HANGING, BubblewrapRoom

from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.channel import Verification
from axiom_sandbox.protocol.conduct import Conduct
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.events import Event
from axiom_sandbox.snapshots import capture, pack, unpack
from axiom_sandbox.verifying.driver import Consulting, verify

BUGGY = "def is_leap(year):\n    return year % 4 == 0\n"
RIGHT = "def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n"
TESTS = """\
from leap import is_leap


def test_1900():
    assert is_leap(1900) is False


def test_2000():
    assert is_leap(2000) is True


def test_2023():
    assert not is_leap(2023)
"""

LEAP = {"src/leap.py": BUGGY, "tests/test_leap.py": TESTS, "README.md": "# leap\n"}
LEAP_CRITERION = {
    "name": "tests",
    "tests": {
        "failToPass": ["tests/test_leap.py::test_1900"],
        "passToPass": ["tests/test_leap.py::test_2000", "tests/test_leap.py::test_2023"],
        "timeout": "5m",
        "isolation": "InProcess",
    },
}
APART = {"name": "tests", "tests": {**LEAP_CRITERION["tests"], "isolation": "Auto"}}
"""The same, with the code under test in a process of its own."""

HANG = f"import pathlib, time; pathlib.Path('{HANGING}').touch(); time.sleep(600)"

Work = Callable[[Path], None]
"""What the agent does in its workspace."""


class Link(str):
    """What a symlink leads to, where a file's content would stand."""

    __slots__ = ()


def put(files: Mapping[str, str | bytes | None]) -> Work:
    """Writes files; None deletes."""

    def work(root: Path) -> None:
        for path, content in files.items():
            target = root / path
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Link):
                target.symlink_to(content)
                continue
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    return work


@dataclass
class Bench:
    """Verifies what an agent left behind."""

    folder: Path
    room: BubblewrapRoom
    events: list[Event] = field(default_factory=list)
    changes: Path = Path()
    entropy: Callable[[int], bytes] = secrets.token_bytes
    kept: dict[str, bytes] = field(default_factory=dict)
    """Pictures by their digests."""
    hidden: dict[str, Path] = field(default_factory=dict)
    said: str = ""
    candidate: CandidateSource = CandidateSource.WORKSPACE
    conduct: Conduct | None = None
    consulting: Consulting | None = None

    async def verify(
        self, base: Mapping[str, str], work: Work, *criteria: Mapping[str, object]
    ) -> Verification:
        source, workspace = self.folder / "source", self.folder / "workspace"
        source.mkdir()
        put(base)(source)
        pack(source, self.folder / "base.tar.zst")
        tree = unpack(self.folder / "base.tar.zst", workspace)
        work(workspace)
        self.changes = capture(tree, workspace, self.folder / "out").archive
        return await self.again(*criteria)

    async def again(self, *criteria: Mapping[str, object]) -> Verification:
        """Verifies the same work once more."""

        async def record(event: Event) -> None:
            self.events.append(event)

        async def keep(pieces: Mapping[str, bytes | Path]) -> tuple[str, ...]:
            data = [piece if isinstance(piece, bytes) else piece.read_bytes() for piece in pieces.values()]
            found = {hashlib.sha256(one).hexdigest(): one for one in data}
            self.kept |= found
            return tuple(found)

        return await verify(
            self.room,
            self.folder / "base.tar.zst",
            self.changes,
            [Criterion.model_validate(criterion) for criterion in criteria],
            1,
            self.folder / "scratch",
            record,
            self.entropy,
            hidden=self.hidden,
            said=self.said,
            candidate=self.candidate,
            conduct=self.conduct,
            consulting=self.consulting,
            keep=keep,
        )
