"""What an agent's words say it did, in parts that a verifier can hold against what it finds. Pure.

Only what is said plainly is taken: that a file was written or deleted, a command was run, tests pass. What is wished, planned,
denied or made conditional is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from axiom_sandbox.protocol.agents import Statement, StatementKind

_MOST_CHARACTERS = 300
_MOST_READ = 100_000
_MOST_IN_WORDS = 50
_LONGEST_CLAUSE = 600
_CLAUSE = re.compile(r"(?<=[.!?;])\s+|\n")
_TESTS_PASS = re.compile(
    r"\b(?:tests?|suite|specs?)\b[^.\n]{0,60}\b(?:pass(?:es|ed|ing)?|succeed(?:s|ed)?|green)\b"
    r"|\b\d+ passed\b",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:not|no|never|cannot|fail\w*|un\w*able|\w+n't|would|should|could|must|will|can|once|until|if|whether|when|unless|make|ensure"
    r"|needs?|wants?|please|instead|to\s+be)\b",
    re.IGNORECASE,
)

# --- files ------------------------------------------------------------------------------------------------------------

_ENDINGS = "py|pyi|ts|tsx|jsx|mjs|md|rst|txt|json|ya?ml|toml|go|rs|java|kt|rb|sh|css|scss|html?|c|h|cc|cpp|hpp|cs|php|sql|cfg|ini|xml|csv|ipynb"
_BARE = "Makefile|Dockerfile|LICENSE|README"
_FOLDERS = r"(?:[\w.@+-]+/|/)*"
_QUOTED = rf"`(?P<quoted>{_FOLDERS}(?:[\w.@+-]*\.(?:{_ENDINGS}|js)|{_BARE}))`"
_PLAIN = rf"\[?(?<![\w/`.-])(?P<plain>{_FOLDERS}[\w.@+-]*[\w@+-]\.(?:{_ENDINGS})|(?:[\w.@+-]+/)+[\w.@+-]+\.js)\b(?![/(`])"
_PATH = rf"(?:{_QUOTED}|{_PLAIN})"
_NEXT = re.compile(
    rf"\s*(?:\]\([^)\s]*\))?\s*(?:,\s*and\s+|,\s*|and\s+|&\s*)(?:the\s+)?(?:new\s+)?{_PATH}", re.IGNORECASE
)
_WRITING = r"(?:created|added|wrote|written|updated|modified|changed|edited|rewrote|rewritten|fixed|patched|generated|saved)"
_DELETING = r"(?:deleted|removed)"
_FILLING = r"(?:(?:the|a|an|new|file|files|script|module|following|both|missing|existing|test|tests|helper|called|named)\s+){0,4}"
_WROTE = re.compile(rf"\b{_WRITING}:?\s+{_FILLING}{_PATH}(?!\s+(?:to|into|from|in)\b)", re.IGNORECASE)
_DELETED = re.compile(rf"\b{_DELETING}:?\s+{_FILLING}{_PATH}(?!\s+(?:to|into|from|in)\b)", re.IGNORECASE)
_WAS_WRITTEN = re.compile(
    rf"{_PATH}\s+(?:was|were|has been|have been)\s+(?:\w+ly\s+)?{_WRITING}\b", re.IGNORECASE
)
_WAS_DELETED = re.compile(
    rf"{_PATH}\s+(?:was|were|has been|have been)\s+(?:\w+ly\s+)?{_DELETING}\b", re.IGNORECASE
)
_HEADING = re.compile(
    r"^\W*(?:\w+\s+){0,4}(?:created|added|changed|modified|updated|edited)(?:\s+(?:files?|the following files?))?\W*:\W*$",
    re.IGNORECASE,
)
_ITEM = re.compile(rf"^\s*(?:[-*•]|\d+[.)])\s+\**{_PATH}", re.IGNORECASE)

# --- commands ---------------------------------------------------------------------------------------------------------

_RAN = re.compile(
    r"\b(?:I|I've|I have|and|then|also|we)\s+(?:also\s+|then\s+|have\s+)?(?:ran|re-?ran|executed)\s+(?:(?:the|full|whole|complete|command)\s+)*"
    r"`(?P<command>[^`\n]{1,300})`"
    r"|^\W*(?:ran|re-?ran|executed)\s+(?:(?:the|full|whole|complete|command)\s+)*`(?P<bare>[^`\n]{1,300})`",
    re.IGNORECASE,
)


def file_written(path: str, workspace: str, ok: bool) -> Statement:
    """A file, by its path in the workspace if it is there."""
    return Statement(kind=StatementKind.FILE_WRITTEN, subject=_inside(path, workspace), ok=ok)


def command_ran(command: str, ok: bool) -> Statement:
    """A command line."""
    return Statement(kind=StatementKind.COMMAND_RAN, subject=command[:_MOST_CHARACTERS], ok=ok)


def said_in_words(text: str, workspace: str) -> tuple[Statement, ...]:
    """All that the last words state, each once."""
    text = text[-_MOST_READ:]
    found = (*tests_said_to_pass(text), *_files(text, workspace), *_commands(text))
    return tuple(dict.fromkeys(found))[:_MOST_IN_WORDS]


def tests_said_to_pass(text: str) -> tuple[Statement, ...]:
    """Sentences that say that tests pass, and do not say that they do not."""
    return tuple(
        _said(StatementKind.TESTS_PASS, sentence.strip())
        for sentence in _clauses(text[-_MOST_READ:])
        if _TESTS_PASS.search(sentence) and not _NOT.search(sentence)
    )


def _files(text: str, workspace: str) -> Iterator[Statement]:
    yield from _listed(text, workspace)
    for clause in _clauses(text):
        for kind, patterns in (
            (StatementKind.FILE_WRITTEN, (_WROTE, _WAS_WRITTEN)),
            (StatementKind.FILE_DELETED, (_DELETED, _WAS_DELETED)),
        ):
            for pattern in patterns:
                for match in pattern.finditer(clause):
                    if not _NOT.search(clause[: match.end()]):
                        yield from (_said(kind, _inside(path, workspace)) for path in _paths(clause, match))


def _clauses(text: str) -> Iterator[str]:
    """What is longer than people write loses its end: who writes the text may mean it to be slow to read."""
    return (clause[:_LONGEST_CLAUSE] for clause in _CLAUSE.split(text))


def _paths(clause: str, match: re.Match[str]) -> Iterator[str]:
    """The one that was found, and those that are listed behind it."""
    found: re.Match[str] | None = match
    while found:
        yield found["quoted"] or found["plain"]
        found = _NEXT.match(clause, found.end())


def _listed(text: str, workspace: str) -> Iterator[Statement]:
    """`Created:`, and below it a list of paths."""
    is_listing = False
    for line in text.split("\n"):
        if is_listing and (match := _ITEM.match(line[:_LONGEST_CLAUSE])):
            path = match["quoted"] or match["plain"]
            yield _said(StatementKind.FILE_WRITTEN, _inside(path, workspace))
        elif line.strip():
            is_listing = bool(len(line) < 200 and _HEADING.match(line) and not _NOT.search(line))


def _commands(text: str) -> Iterator[Statement]:
    for clause in _clauses(text):
        for match in _RAN.finditer(clause):
            if not _NOT.search(clause[: match.start()]):
                yield _said(StatementKind.COMMAND_RAN, match["command"] or match["bare"])


def _said(kind: StatementKind, subject: str) -> Statement:
    return Statement(kind=kind, subject=subject[:_MOST_CHARACTERS], in_words=True)


def _inside(path: str, workspace: str) -> str:
    inside = PurePosixPath(path)
    if workspace and inside.is_relative_to(workspace):
        inside = inside.relative_to(workspace)
    return str(inside)[:_MOST_CHARACTERS]
