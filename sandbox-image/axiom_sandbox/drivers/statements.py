"""What an agent's words say it did, in parts that a verifier can hold against what it finds. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from axiom_sandbox.protocol.agents import Statement, StatementKind

_MOST_CHARACTERS = 300
_MOST_READ = 100_000
_SENTENCE = re.compile(r"[^.!?\n]{1,400}(?:[.!?\n]|$)")
_TESTS_PASS = re.compile(
    r"\b(?:tests?|suite|specs?)\b[^.\n]{0,60}\b(?:pass(?:es|ed|ing)?|succeed(?:s|ed)?|green)\b"
    r"|\b\d+ passed\b",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:not|no|never|cannot|fail\w*|un\w*able|\w+n't|would|should|could|once|until|if)\b", re.IGNORECASE
)


def file_written(path: str, workspace: str, ok: bool) -> Statement:
    """A file, by its path in the workspace if it is there."""
    inside = PurePosixPath(path)
    if inside.is_relative_to(workspace):
        inside = inside.relative_to(workspace)
    return Statement(kind=StatementKind.FILE_WRITTEN, subject=str(inside)[:_MOST_CHARACTERS], ok=ok)


def command_ran(command: str, ok: bool) -> Statement:
    """A command line."""
    return Statement(kind=StatementKind.COMMAND_RAN, subject=command[:_MOST_CHARACTERS], ok=ok)


def tests_said_to_pass(text: str) -> tuple[Statement, ...]:
    """Sentences that say that tests pass, and do not say that they do not."""
    return tuple(
        Statement(kind=StatementKind.TESTS_PASS, subject=sentence.strip()[:_MOST_CHARACTERS])
        for sentence in _SENTENCE.findall(text[-_MOST_READ:])
        if _TESTS_PASS.search(sentence) and not _NOT.search(sentence)
    )
