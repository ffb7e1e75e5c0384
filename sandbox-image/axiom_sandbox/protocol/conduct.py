"""What an agent did, as its ledger tells: for verifiers, which never see the ledger itself.

Everything in it came out of the agent's own process: it is what the agent's program says of itself.
"""

from __future__ import annotations

from axiom_sandbox.protocol.agents import Statement
from axiom_sandbox.protocol.model import Message

MAX_CONDUCT = 16 * 1024 * 1024
"""Bytes of the largest conduct that is taken."""


class ToolUse(Message):
    """One call of a tool, with what came back."""

    seq: int
    """Of the call's record in the agent's ledger."""
    round: int
    tool: str
    """Its name, as the agent calls it."""
    input: str
    """JSON; what is longer than 16,384 characters loses its end."""
    returned: int | None = None
    """Seq of the record of its return; None: it never came back."""
    ok: bool = False
    exit_code: int | None = None
    text: str = ""
    """What the model was told, its first 8,192 characters."""


class Words(Message):
    """What the model said, once."""

    seq: int
    round: int
    text: str
    """Its first 32,768 characters."""


class Noticed(Message):
    """A signal of the ledger: that something was there, and not what."""

    seq: int
    """Of the signal's record."""
    round: int
    kind: str
    rule: str
    place: str
    size: int
    digest: str


class Touched(Message):
    """A file of the workspace that was added, changed or deleted while the agent worked."""

    seq: int
    """Of the record that tells of it."""
    path: str
    digest: str = ""
    """SHA-256 of the content; empty: it was deleted, or is not known."""


class Conduct(Message):
    """One attempt, up to the end of a round."""

    speaks: bool
    """The agent tells of its tools: without that, that there are none says nothing."""
    models: tuple[str, ...] = ()
    """Models that it says it asks."""
    tools: tuple[ToolUse, ...] = ()
    """In the order of their calls."""
    watched: bool = False
    """Files that change are told of, each before the return of the tool that changed it."""
    files: tuple[Touched, ...] = ()
    file_gaps: tuple[int, ...] = ()
    """Seqs of records that say that changes before them were not told."""
    passing: int = 0
    """Files that came and went between two looks, and have no name here."""
    words: tuple[Words, ...] = ()
    statements: tuple[Statement, ...] = ()
    """Of its last claim."""
    begun_elsewhere: bool = False
    """It goes on from another sandbox, whose ledger is not in it."""
    signals: tuple[Noticed, ...] = ()
    """Injections and secrets that were found in what it was told, said or showed."""
    gaps: int = 0
    """Stretches of the conversation that the ledger declares missing."""
    dropped: int = 0
    """Calls beyond those that are kept here."""
    words_dropped: int = 0
    """Words beyond those that are kept here."""
