"""What the agent may change.

Decided on the capture; no code of the agent runs.
Pass: something changed (unless that is not asked for) and every rule on paths and size holds. Fail: otherwise.
Inconclusive: never.
Evidence: how many paths changed, their bytes, and which of them broke a rule.

What the capture found and left out (a symlink that leaves the workspace, a special file, an oversized file) is no
input to anything, so it is no change that could satisfy `requireChange`; but it is the agent's doing, so its path is
held to `allowed`, `forbidden` and `maxFiles` like that of a change. Git's own configuration and hooks are only
mentioned: agents that commit write there, and nothing of it is taken over.
"""

from __future__ import annotations

from collections.abc import Sequence

from axiom_sandbox.protocol.changes import Change, ChangeKind, Finding
from axiom_sandbox.protocol.criteria import DiffCriterion
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.snapshots.paths import is_git, printable
from axiom_sandbox.verifying.globs import matches
from axiom_sandbox.verifying.judging import Judgement, Ran, Subject, Verifier
from axiom_sandbox.verifying.texts import clean, named


class DiffVerifier(Verifier[DiffCriterion]):
    """Holds the changed paths against the rules."""

    def judge(self, spec: DiffCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """Every rule, against the changes."""
        changes, findings = subject.changes.changes, subject.changes.findings
        failures = [*_rule_breaks(spec, changes, findings)]
        evidence = {
            "paths": len(changes),
            "bytes": _size(changes),
            "findings": len(findings),
            "broken": failures,
        }
        left_out = [f"{finding.path} {finding.reason}; it was left out." for finding in findings[:5]]
        if failures:
            return Judgement(Verdict.FAIL, clean("\n".join(failures + left_out)), evidence)
        summary = f"{len(changes)} paths changed, as allowed." if changes else "Nothing changed."
        return Judgement(Verdict.PASS, clean("\n".join([summary, *left_out])), evidence)


def _rule_breaks(spec: DiffCriterion, changes: Sequence[Change], findings: Sequence[Finding]) -> list[str]:
    paths = [printable(change.path) for change in changes]
    paths += [finding.path for finding in findings if finding.path not in paths and not is_git(finding.path)]
    found = []
    if spec.require_change and not changes:
        found.append("Nothing was changed in the workspace, and a change is required.")
    if spec.allowed and (outside := [path for path in paths if not matches(path, spec.allowed)]):
        found.append(f"Changed outside of {named(spec.allowed)}: {named(outside)}.")
    if forbidden := [path for path in paths if matches(path, spec.forbidden)]:
        found.append(f"Changed although {named(spec.forbidden)} may not be: {named(forbidden)}.")
    if spec.max_files is not None and len(paths) > spec.max_files:
        found.append(f"{len(paths)} paths were changed, more than {spec.max_files}.")
    if spec.max_bytes is not None and _size(changes) > spec.max_bytes:
        found.append(f"The changed files hold {_size(changes)} bytes, more than {spec.max_bytes}.")
    return found


def _size(changes: Sequence[Change]) -> int:
    return sum(c.entry.size for c in changes if c.kind is not ChangeKind.DELETED and c.entry)
