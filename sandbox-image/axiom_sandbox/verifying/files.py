"""Files exist, or do not, with the right content.

Decided on our private copy of the candidate; no code of the agent runs, and no symlink is followed.
Pass: every expectation holds. Fail: one does not. Inconclusive: never.
Evidence: for each path its kind, size and digest, or that it is absent.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

import re2

from axiom_sandbox.protocol.changes import Entry, EntryKind
from axiom_sandbox.protocol.criteria import FileExpectation, FilesCriterion
from axiom_sandbox.protocol.verdicts import Remark, Verdict
from axiom_sandbox.verifying.judging import Judgement, Ran, Side, Subject, Verifier
from axiom_sandbox.verifying.texts import clean


class FilesVerifier(Verifier[FilesCriterion]):
    """Compares the candidate's tree with what is expected of it."""

    def judge(self, spec: FilesCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """Every expectation, against the candidate."""
        found = {expected.path: problems(expected, subject.candidate) for expected in spec.expect}
        evidence = {path: _describe(path, subject.candidate) for path in found}
        failures = [f"{path} {problem}" for path, several in found.items() for problem in several]
        if failures:
            remarks = tuple(
                Remark(path=path, text=clean(f"{path} {problem}"))
                for path, several in found.items()
                for problem in several
            )
            return Judgement(Verdict.FAIL, clean("\n".join(failures)), evidence, remarks)
        return Judgement(Verdict.PASS, f"All {len(spec.expect)} expectations of files hold.", evidence)


def problems(expected: FileExpectation, side: Side) -> list[str]:
    """What is wrong with one path, as ends of sentences that begin with the path."""
    where = posixpath.normpath(expected.path)
    entry = side.tree.entries.get(where)
    is_directory = any(path.startswith(f"{where}/") for path in side.tree.entries)
    if expected.absent:
        return ["exists, and must not."] if entry or is_directory else []
    if entry is None:
        return ["is a directory, and must be a file." if is_directory else "does not exist."]
    if entry.kind is EntryKind.SYMLINK:
        return ["is a symlink, and must be a file."]
    return _content_problems(expected, entry, side)


def _content_problems(expected: FileExpectation, entry: Entry, side: Side) -> list[str]:
    found = []
    if expected.min_bytes is not None and entry.size < expected.min_bytes:
        found.append(f"has {entry.size} bytes, fewer than {expected.min_bytes}.")
    if expected.max_bytes is not None and entry.size > expected.max_bytes:
        found.append(f"has {entry.size} bytes, more than {expected.max_bytes}.")
    if expected.sha256 is not None and entry.digest != expected.sha256:
        found.append(f"has the SHA-256 {entry.digest}, not {expected.sha256}.")
    if expected.matches is not None and not occurs(expected.matches, side.files[entry.path]):
        found.append(f"holds nothing that matches the pattern {expected.matches!r}.")
    return found


def occurs(pattern: str, content: bytes) -> bool:
    """Whether a pattern is in a text, whose lines may end in \\r\\n. Pure."""
    looked_for, text = re2.compile(pattern), content.decode("utf-8", "replace")
    return any(looked_for.search(one) for one in (text, text.replace("\r\n", "\n")))


def _describe(path: str, side: Side) -> dict[str, Any]:
    entry = side.tree.entries.get(posixpath.normpath(path))
    if entry is None:
        return {"kind": "Absent"}
    return {"kind": entry.kind.value, "size": entry.size, "sha256": entry.digest}
