"""Whether the agent executed what it wrote, by its own account.

Decided on the commands of its ledger, which its own program told of, and on what the supervisor saw of its files; nothing runs.
Pass: each file that was added or changed and that is asked for was run by a command, by one that ended with exit code 0 where
that is asked for, and is now as it was then. Fail: one was not, or there is none. Inconclusive: there is no agent that tells of
its tools, or of its commands' ends; or parts of its ledger are missing that could decide.
Evidence: for each file the record of the command that ran it, or why none counts.

A command runs a file if it names it as its program or its script, or runs one that imports it (`running_files`), or is one of
those that the criterion names. What a line says counts only where its text makes sure that the command ran (`shell_lines`). A
file was as it is now if what it held when the tool before had come back is what it holds in the end, or if the line itself wrote
just that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import re2

from axiom_sandbox.protocol.changes import CandidateSource, ChangeKind, EntryKind
from axiom_sandbox.protocol.conduct import Conduct, ToolUse
from axiom_sandbox.protocol.criteria import RanCriterion
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.verifying.globs import matches
from axiom_sandbox.verifying.judging import Judgement, Ran, Subject, Verifier
from axiom_sandbox.verifying.running_files import Workspace, files_read, flattened, wrapped
from axiom_sandbox.verifying.shell_lines import Step, steps_of
from axiom_sandbox.verifying.texts import clean, named
from axiom_sandbox.verifying.tool_use import NO_CONDUCT, NO_MESSAGES

ROOT = "/workspace"
"""Where every agent sees its workspace."""
_SHELLS = frozenset(
    [
        "Bash",
        "bash",
        "commandExecution",
        "run_shell_command",
        "shell",
        "exec_command",
        "shell_command",
        "local_shell",
        "execute",
    ]
)
_SAYS_NO_EXIT_CODE = frozenset({"run_shell_command"})
"""Tools that their agent calls completed however the command ended."""
_FOLDERS = ("cwd", "workdir", "dir_path", "directory")
_SHOWN = 8


class Why(StrEnum):
    """Why a command is no run of a file. The later, the nearer to one."""

    NOTHING = "was not run"
    OTHER_CONTENT = "was changed while it was last run, or afterwards"
    FAILED = "was run without success"
    SWALLOWED = "was run so that other commands of the line, or a pipe, hid how that ended"
    UNKNOWN_END = "was run, and this agent does not tell how its commands end"


@dataclass(frozen=True)
class _Call:
    """A command of the agent's, taken apart."""

    use: ToolUse
    since: int
    """The record of the last return before the call: what was told until then was there when it began."""
    steps: tuple[Step, ...]


class RanVerifier(Verifier[RanCriterion]):
    """Looks for a run of each file."""

    strength = Strength.IN_PROCESS

    def judge(self, spec: RanCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """Each file that is asked for, against all commands of the attempt."""
        conduct = subject.conduct
        if conduct is None or not conduct.watched:
            return Judgement(Verdict.INCONCLUSIVE, NO_CONDUCT)
        if not conduct.speaks:
            return Judgement(Verdict.INCONCLUSIVE, NO_MESSAGES)
        wanted = [
            change.path
            for change in subject.changes.changes
            if change.kind is not ChangeKind.DELETED
            and change.entry
            and change.entry.kind is EntryKind.FILE
            and matches(change.path, spec.files)
        ]
        if not wanted:
            return Judgement(
                Verdict.FAIL, f"Nothing was added or changed in {named(spec.files)} that could be run."
            )
        found = _Search(spec, subject, conduct, wanted).results()
        return _judgement(found, conduct)


def _judgement(found: dict[str, int | Why], conduct: Conduct) -> Judgement:
    runs = {path: seq for path, seq in found.items() if isinstance(seq, int)}
    missing = {path: why for path, why in found.items() if isinstance(why, Why)}
    uncertain = [path for path, seq in runs.items() if _is_uncertain(conduct, path, seq)]
    evidence: dict[str, Any] = {
        "ran": {printable(path): seq for path, seq in [*runs.items()][:200]},
        "missing": {printable(path): why.name for path, why in [*missing.items()][:200]},
        "uncertain": [printable(path) for path in uncertain[:200]],
        "gaps": conduct.gaps,
        "dropped": conduct.dropped,
    }
    lines = [f"{printable(path)} {why}." for path, why in [*missing.items()][:_SHOWN]]
    lines += [f"… and {len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else []
    if missing and not conduct.gaps and not conduct.dropped:
        if all(why is Why.UNKNOWN_END for why in missing.values()):
            lines.append("With succeeded: false the run itself is enough.")
            return Judgement(Verdict.INCONCLUSIVE, clean("\n".join(lines)), evidence)
        lines.append("Run each as it is now, in a command of its own.")
        return Judgement(Verdict.FAIL, clean("\n".join(lines)), evidence)
    if missing:
        holes = conduct.gaps + conduct.dropped
        lines.insert(
            0, f"Of what the ledger tells {holes} parts are missing, so what was run there is not known."
        )
        return Judgement(Verdict.INCONCLUSIVE, clean("\n".join(lines)), evidence)
    if uncertain:
        text = f"More files changed than could be told, so what was run of {named(uncertain)} is not known."
        return Judgement(Verdict.INCONCLUSIVE, clean(text), evidence)
    return Judgement(Verdict.PASS, f"{len(runs)} files were run as they are now.", evidence)


def _is_uncertain(conduct: Conduct, path: str, seq: int) -> bool:
    """Whether the file may have changed untold between what was last told of it and its run."""
    returned = next((use.returned for use in conduct.tools if use.seq == seq), None)
    end = returned if returned is not None else seq
    shown = printable(path)
    told = max((one.seq for one in conduct.files if one.path == shown and one.seq <= end), default=0)
    return any(told < gap < end for gap in conduct.file_gaps)


class _Search:
    """One criterion's search through one attempt."""

    def __init__(self, spec: RanCriterion, subject: Subject, conduct: Conduct, wanted: Sequence[str]) -> None:
        self._spec, self._wanted = spec, wanted
        entries = subject.candidate.tree.entries
        paths = [path for path, entry in entries.items() if entry.kind is EntryKind.FILE]
        self._read = files_read(subject.candidate.files)
        self._workspace = Workspace(ROOT, paths, self._read)
        self._is_given = subject.candidate_source is CandidateSource.MESSAGE
        self._digests = {path: entries[path].digest for path in paths}
        self._contents: dict[str, list[tuple[int, str]]] = {}
        for one in conduct.files:
            told = self._contents.setdefault(one.path, [])
            told.append((one.seq, one.digest or f"#{one.seq}"))
        self._calls = list(_calls(conduct))

    def results(self) -> dict[str, int | Why]:
        """By path: the record of the last call that ran it, or why there is none."""
        found: dict[str, int | Why] = dict.fromkeys(self._wanted, Why.NOTHING)
        for call in reversed(self._calls):
            for step in call.steps:
                missing = {path: why for path, why in found.items() if isinstance(why, Why)}
                if not missing:
                    return found
                for path, why in self._run(call, step, missing):
                    if why is None:
                        found[path] = call.use.seq
                    elif [*Why].index(why) > [*Why].index(missing[path]):
                        found[path] = why
        return found

    def _run(self, call: _Call, step: Step, missing: Mapping[str, Why]) -> Iterator[tuple[str, Why | None]]:
        """Files of those that are missing which a step ran, each with why that does not count."""
        if self._spec.commands:
            words = " ".join(wrapped(step.words))
            hit = any(re2.match(pattern, words) for pattern in self._spec.commands)
            touched = frozenset(missing if hit else ())
        else:
            begun = self._workspace.run_by(step)
            touched = begun | self._workspace.reached(begun, lambda path: self._is_as_now(path, call, step))
        for path in sorted(touched & missing.keys()):
            is_same = self._is_as_now(path, call, step)
            yield path, self._why_not(call.use, step) if is_same else Why.OTHER_CONTENT

    def _why_not(self, use: ToolUse, step: Step) -> Why | None:
        ended_well = use.ok and use.returned is not None and not use.exit_code
        if not self._spec.succeeded:
            ran = step.always and (use.returned is not None)
            return None if ran or (step.decides and ended_well) else Why.NOTHING
        if not ended_well:
            return Why.FAILED
        if not step.decides or _is_in_background(use):
            return Why.SWALLOWED
        return Why.UNKNOWN_END if use.tool in _SAYS_NO_EXIT_CODE and use.exit_code is None else None

    def _is_as_now(self, path: str, call: _Call, step: Step) -> bool:
        """Whether a file held at a step of a call what it holds in the end."""
        told = self._contents.get(printable(path), [])
        if self._is_given and (not told or told[-1][1] != self._digests[path]):
            return False  # what the message holds is not what lay in the workspace
        if not told:
            return True  # as it was when the attempt began
        now, end = told[-1][1], call.use.returned if call.use.returned is not None else told[-1][0]
        before = next((content for seq, content in reversed(told) if seq <= call.since), "")
        if any(content != now for seq, content in told if call.since < seq <= end):
            return False
        return before == now or self._is_written_by(path, call, step)

    def _is_written_by(self, path: str, call: _Call, step: Step) -> bool:
        """Whether an earlier command of the same line wrote into the file just what it holds now."""
        target, at = f"{ROOT}/{path}", next(i for i, one in enumerate(call.steps) if one is step)
        writers = [one for one in call.steps[:at] if target in one.writes]
        return bool(writers) and all(
            (one.always or one.decides)
            and one.words == ("cat",)
            and one.fed is not None
            and one.fed.encode() == self._read(path)
            for one in writers
        )


def _calls(conduct: Conduct) -> Iterator[_Call]:
    returns = sorted(use.returned for use in conduct.tools if use.returned is not None)
    for use in conduct.tools:
        if use.tool not in _SHELLS:
            continue
        given = _given(use)
        command = given.get("command") or given.get("cmd")
        folder = next((given[name] for name in _FOLDERS if isinstance(given.get(name), str)), "")
        cwd = folder if folder.startswith("/") else f"{ROOT}/{folder}".rstrip("/")
        if isinstance(command, list):
            words = tuple(map(str, command))
            steps: tuple[Step, ...] = (Step(words, cwd, always=True, decides=True),)
        else:
            steps = steps_of(str(command or ""), cwd)
        since = max((seq for seq in returns if seq < use.seq), default=0)
        yield _Call(use, since, tuple(flattened(steps)))


def _given(use: ToolUse) -> dict[str, Any]:
    try:
        given = json.loads(use.input)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _is_in_background(use: ToolUse) -> bool:
    given = _given(use)
    return any(bool(given.get(name)) for name in ("run_in_background", "is_background", "background"))
