"""Which tools the agent used, by its own account.

Decided on the calls and returns of its ledger, which its own program told of; nothing runs.
Pass: every call that is asked for was made (in that order, where that is asked for), none that is forbidden, and no more
calls failed without being followed up than may. Fail: otherwise. Inconclusive: there is no agent that tells of its tools, or
parts of its ledger are missing and what they hold could decide.
Evidence: how often each tool was called and failed; for each expectation the records in the agent's ledger that met it; each
failure that was not followed up.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections import Counter
from collections.abc import Sequence

import re2

from axiom_sandbox.protocol.conduct import ToolUse
from axiom_sandbox.protocol.criteria import ExpectedTool, ForbiddenTool, ToolUseCriterion
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying.judging import Judgement, Ran, Subject, Verifier
from axiom_sandbox.verifying.texts import clean, named

NO_CONDUCT = "Nothing is known of an agent's tools here: there was no agent, or its sandbox was of a version that does not tell of them."
NO_MESSAGES = (
    "The agent does not tell of its tools; that needs a class with a driver of its own (Claude, Codex or Gemini),"
    " in mode Structured."
)
_SHOWN = 8
_COMMANDS = ("command", "cmd")
_PATHS = ("file_path", "path", "absolute_path", "notebook_path")
_WRAPPERS = frozenset({"bash", "sh", "zsh", "env", "sudo", "timeout", "nice", "exec", "command", "time"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)


class ToolUseVerifier(Verifier[ToolUseCriterion]):
    """Holds the calls against what is asked for."""

    strength = Strength.IN_PROCESS

    def judge(self, spec: ToolUseCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """Every rule, against all calls of the attempt."""
        conduct = subject.conduct
        if conduct is None:
            return Judgement(Verdict.INCONCLUSIVE, NO_CONDUCT)
        if not conduct.speaks:
            return Judgement(Verdict.INCONCLUSIVE, NO_MESSAGES)
        uses = conduct.tools
        errors = unanswered_failures(uses, follow_up=spec.follow_up)
        certain = [*_forbidden(spec.forbidden, uses), *_too_often(spec.called, uses)]
        open_ones = [
            *_too_rarely(spec.called, uses),
            *(_disorder(spec.called, uses) if spec.in_order else ()),
        ]
        if len(errors) > spec.max_errors:
            open_ones.append(_failed(errors, spec.max_errors))
        evidence = {
            "calls": dict(Counter(use.tool for use in uses)),
            "failed": dict(Counter(use.tool for use in uses if not use.ok)),
            "errors": [
                {"seq": use.seq, "tool": use.tool, "about": _about(use)[:200]} for use in errors[:100]
            ],
            "called": [[use.seq for use in uses if fits(one, use)][:100] for one in spec.called],
            "gaps": conduct.gaps,
            "dropped": conduct.dropped,
        }
        holes = conduct.gaps + conduct.dropped
        if certain or (open_ones and not holes):
            return Judgement(Verdict.FAIL, clean("\n".join([*certain, *open_ones])), evidence)
        if holes:
            text = f"Of what the ledger tells {holes} parts are missing, so what the agent did there is not known."
            return Judgement(Verdict.INCONCLUSIVE, clean("\n".join([text, *open_ones])), evidence)
        failed = sum(not use.ok for use in uses)
        text = f"{len(uses)} calls of tools are as asked; {failed} of them failed, as may be."
        return Judgement(Verdict.PASS, text, evidence)


def fits(wanted: ExpectedTool | ForbiddenTool, use: ToolUse) -> bool:
    """Whether a call is one of those that are meant. Pure."""
    if re2.fullmatch(wanted.tool, use.tool) is None:
        return False
    if isinstance(wanted, ExpectedTool) and wanted.succeeded and not use.ok:
        return False
    return wanted.input_matches is None or re2.search(wanted.input_matches, use.input) is not None


def unanswered_failures(uses: Sequence[ToolUse], *, follow_up: bool) -> list[ToolUse]:
    """Calls that failed, or never came back, and that no later call like them made good. Pure."""
    failed = [use for use in uses if not use.ok]
    if not follow_up:
        return failed
    last = {_kind(use): use.seq for use in uses if use.ok}
    return [use for use in failed if last.get(_kind(use), 0) < use.seq]


def _kind(use: ToolUse) -> tuple[str, str]:
    """What makes calls alike: the tool, and the program or the file that it is about."""
    return use.tool, program_of(_value(use, _COMMANDS)) or posixpath.basename(str(_value(use, _PATHS) or ""))


def _about(use: ToolUse) -> str:
    return command_of(use) or str(_value(use, _PATHS) or use.input)


def command_of(use: ToolUse) -> str:
    """The command line that a call ran; empty: it ran none. Pure."""
    command = _value(use, _COMMANDS)
    if isinstance(command, list):
        return shlex.join(map(str, command))
    return command if isinstance(command, str) else ""


def _value(use: ToolUse, names: Sequence[str]) -> object:
    try:
        given = json.loads(use.input)
    except ValueError:
        return None
    return next((given[name] for name in names if given.get(name)), None) if isinstance(given, dict) else None


def program_of(command: object) -> str:
    """`cd src && FOO=1 python3 -m pytest -q` → `python3`; a shell's `-c` is looked into. Pure."""
    if isinstance(command, list):
        words = [str(word) for word in command]
    elif isinstance(command, str):
        words = _last_step(command)
    else:
        return ""
    while words:
        word = posixpath.basename(words.pop(0))
        if word in _WRAPPERS:
            inner = next(
                (words[at + 1] for at, one in enumerate(words[:-1]) if re.fullmatch(r"-\w*c", one)), ""
            )
            if inner:
                return program_of(inner)
            words = [one for one in words if not one.startswith("-") and not one[:1].isdecimal()]
        elif not _ASSIGNMENT.fullmatch(word):
            return word
    return ""


def _last_step(command: str) -> list[str]:
    """The words of a command line after every `cd … &&` before it."""
    step = re.sub(r"^\s*(cd\s+[^&;|]+(&&|;)\s*)+", "", command)
    try:
        return shlex.split(step)
    except ValueError:
        return step.split()


def _forbidden(rules: Sequence[ForbiddenTool], uses: Sequence[ToolUse]) -> list[str]:
    return [
        f"{rule.tool}{_with(rule.input_matches)} was called, and may not be: {named([_about(use) for use in found], 3)}."
        for rule in rules
        if (found := [use for use in uses if fits(rule, use)])
    ]


def _too_often(rules: Sequence[ExpectedTool], uses: Sequence[ToolUse]) -> list[str]:
    return [
        f"{rule.tool}{_with(rule.input_matches)} was called {count} times, more than {rule.at_most}."
        for rule in rules
        if rule.at_most is not None and (count := sum(fits(rule, use) for use in uses)) > rule.at_most
    ]


def _too_rarely(rules: Sequence[ExpectedTool], uses: Sequence[ToolUse]) -> list[str]:
    return [
        f"{rule.tool}{_with(rule.input_matches)} was called {count} times{' with success' if rule.succeeded else ''},"
        f" fewer than {rule.at_least}."
        for rule in rules
        if (count := sum(fits(rule, use) for use in uses)) < rule.at_least
    ]


def _disorder(rules: Sequence[ExpectedTool], uses: Sequence[ToolUse]) -> list[str]:
    """The first expectation that is not met after those before it."""
    at = 0
    for rule in rules:
        later = [use.seq for use in uses if use.seq > at and fits(rule, use)]
        if len(later) < rule.at_least:
            return [
                f"{rule.tool}{_with(rule.input_matches)} was not called after what comes before it in called."
            ]
        at = later[rule.at_least - 1]
    return []


def _failed(errors: Sequence[ToolUse], most: int) -> str:
    lines = [
        f"{use.tool} failed and was not followed up: {_about(use)[:200]}"
        + (f" (exit code {use.exit_code})" if use.exit_code is not None else "")
        + ("" if use.returned else " (it never came back)")
        for use in errors[:_SHOWN]
    ]
    rest = [f"… and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
    return "\n".join([f"{len(errors)} calls of tools failed, and {most} may:", *lines, *rest])


def _with(pattern: str | None) -> str:
    return f" with an input that matches {pattern!r}" if pattern else ""
