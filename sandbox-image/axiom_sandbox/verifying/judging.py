"""The words in which criteria are decided: subjects, runs, judgements, and what a verifier is. No I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from axiom_sandbox.protocol.changes import CandidateSource, Changes
from axiom_sandbox.protocol.conduct import Conduct
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.errands import Errand, Reply, Seat, Vendor
from axiom_sandbox.protocol.verdicts import CriterionResult, Remark, Strength, Verdict
from axiom_sandbox.snapshots.paths import is_derived
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.verifying.rooms import Job, Outcome, Place

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Side:
    """One of the two workspaces that are compared, in a copy that only the trusted side can write."""

    tree: Tree
    files: Mapping[str, bytes]
    """Path → content, for the files of the tree."""


@dataclass(frozen=True)
class Hidden:
    """Files that a criterion brings along and the agent never saw; they are part of the subject's base."""

    paths: frozenset[str] = frozenset()
    digest: str = ""
    """SHA-256 over paths and contents, in hexadecimal."""
    problem: str = ""
    """Why they could not be had; empty: they are there."""


@dataclass(frozen=True)
class Brief:
    """What those criteria are told besides that are decided with help from outside."""

    prompt: str = ""
    """What the task asked for."""
    judges: tuple[Seat, ...] = ()
    agent_vendor: Vendor | None = None
    fence: str = ""
    """Text that nobody could foresee."""
    criteria: tuple[Criterion, ...] = ()
    """All of the task's."""
    others: tuple[CriterionResult, ...] = ()
    """What other criteria came to, for those that are decided last."""
    reached: Mapping[str, int] | None = None
    """Host → bytes that came from there to the agent, as the egress proxy counted; None: nobody told."""
    replies: Mapping[str, Reply] = field(default_factory=dict)
    """By the errand's id."""


@dataclass(frozen=True)
class Subject:
    """What is verified."""

    base: Side
    candidate: Side
    changes: Changes
    candidate_source: CandidateSource = CandidateSource.WORKSPACE
    """Where the changes come from."""
    said: str = ""
    """The agent's last words, where there is an agent."""
    conduct: Conduct | None = None
    """What the agent did, where there is an agent and a criterion asks for that."""
    hidden: Hidden | None = None
    brief: Brief = field(default_factory=Brief)


class Source(StrEnum):
    """Whose version of a path lies in the room."""

    BASE = "Base"
    CANDIDATE = "Candidate"


@dataclass(frozen=True)
class Guard:
    """Paths of the room that a run must leave as they are."""

    covers: Callable[[str], bool]
    """Whether a path of the base is guarded."""
    forbids: Callable[[str], bool]
    """Whether a path that is new may not appear."""


@dataclass(frozen=True)
class Run:
    """One run that a verifier asks for."""

    layout: Mapping[str, Source]
    """What the room's tree holds: path → whose version."""
    job: Job
    nonce: bytes = b""
    """Made for this run; known to the job's own runner and to nobody else."""
    guard: Guard | None = None
    strength: Strength = Strength.IN_PROCESS
    """Whether the code under test has a process of its own in this run."""
    discreet: bool = False
    """What the run prints is kept nowhere: it may show what the agent must not see."""
    over: Mapping[str, bytes] = field(default_factory=dict)
    """Files of the layout whose content is another."""
    about: str = ""
    """What the verifier calls it, where it asks for runs of several kinds."""
    reusable: str = ""
    """Runs of the base with the same text need not be repeated within one verification; empty: not reusable."""


@dataclass(frozen=True)
class Ran:
    """A run with what came of it."""

    run: Run
    outcome: Outcome
    altered: tuple[str, ...] = ()
    """Guarded paths that were different afterwards, seen from outside."""


@dataclass(frozen=True)
class Picture:
    """A picture that is evidence, as PNG."""

    name: str
    """Such as `home/difference`."""
    png: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Judgement:
    """What one criterion came to."""

    verdict: Verdict
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)
    """What the ledger keeps of it: plain JSON."""
    remarks: tuple[Remark, ...] = ()
    """What was found at places of the workspace; the ledger keeps the first of them."""
    pictures: tuple[Picture, ...] = ()
    """What the ledger keeps of it as pictures."""
    strength: Strength | None = None
    """How strong it is, where that is not the same for all of its kind."""


Spec = TypeVar("Spec")


class Verifier(ABC, Generic[Spec]):
    """Decides one kind of criterion. Pure: all that it knows is handed to it."""

    strength: Strength = Strength.PROCESS
    comes_last: bool = False
    """Decided when all others are, and knows what they came to."""

    def errands(self, spec: Spec, subject: Subject) -> Sequence[Errand]:
        """What is to be done outside, as far as it is known by the replies so far. Asked again until nothing is new."""
        return ()

    def prepare(
        self, spec: Spec, subject: Subject, place: Place, done: Sequence[Ran], entropy: bytes
    ) -> Run | None:
        """The next run that is needed after those that are done; None: enough is known.

        Args:
            entropy: 64 random bytes made for this run.
        """
        return None

    @abstractmethod
    def judge(self, spec: Spec, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """What the subject and the runs prove."""


def whole(tree: Tree, source: Source) -> dict[str, Source]:
    """A layout of one side alone, without caches and bytecode."""
    return {path: source for path in tree.entries if not is_derived(path)}


def environment(place: Place) -> dict[str, str]:
    """What every job gets: the image's own programs, no colours, no bytecode."""
    return {
        "PATH": f"{place.python.rpartition('/')[0] or '/usr/bin'}:{SYSTEM_PATH}",
        "HOME": "/tmp",  # noqa: S108 - the candidate's container, not ours
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
