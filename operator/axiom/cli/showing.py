"""What a person or a script sees of a run: progress on standard error, table or object on standard output, exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from axiom.api.agenttask import AgentStatus, AgentTaskStatus, RoundStatus
from axiom.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from axiom.api.usage import UsageStatus
from axiom.evidence.harmless import plain, visible_json
from axiom.running.results import Result
from axiom_sandbox.protocol.progress import Progress as Amount
from axiom_sandbox.protocol.verdicts import ClaimDisagreement, CriterionResult, Verdict

_MARKS = {ConditionStatus.TRUE: "✓", ConditionStatus.FALSE: "·", ConditionStatus.UNKNOWN: "?"}
_TELLING_ORDER = (
    ConditionType.ACCEPTED,
    ConditionType.SANDBOX_READY,
    ConditionType.ISOLATED,
    ConditionType.VERIFIED,
    ConditionType.RUNNING,
    ConditionType.PUSHED,
    ConditionType.COMPLETE,
)
_LONGEST_LINE = 1200
COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


class ExitCode(IntEnum):
    """What the exit code of `axiom run` means."""

    PASS = 0
    FAIL = 1
    INCONCLUSIVE = 2
    REFUSED = 3
    COULD_NOT_RUN = 4
    INTERRUPTED = 130
    TERMINATED = 143


class Interruption(Exception):  # noqa: N818 - no error: somebody wanted it
    """Somebody ended the command. The message says what became of the task."""

    def __init__(self, error: BaseException, message: str) -> None:
        self.code = ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else ExitCode.TERMINATED
        super().__init__(message)


def exit_code(verdict: Verdict | None) -> ExitCode:
    """The exit code for a verdict; None is a task that could not be run."""
    match verdict:
        case Verdict.PASS:
            return ExitCode.PASS
        case Verdict.FAIL:
            return ExitCode.FAIL
        case Verdict.INCONCLUSIVE:
            return ExitCode.INCONCLUSIVE
        case None:
            return ExitCode.COULD_NOT_RUN


@dataclass
class Progress:
    """Says on standard error what has changed since the last status."""

    console: Console
    began: float
    _conditions: dict[ConditionType, tuple[ConditionStatus, Reason, str]] = field(default_factory=dict)
    _rounds: int = 0

    def __call__(self, status: AgentTaskStatus) -> None:
        """Prints what happened in the order in which it did: a round's verdict, what follows from it, the end."""
        for record in status.rounds[self._rounds :]:
            if record.verdict:
                self._rounds += 1
                self.say(_round_line(record))
        for item in sorted(status.conditions, key=lambda item: _TELLING_ORDER.index(item.type)):
            self.tell_condition(item)

    def tell_condition(self, item: Condition) -> None:
        """Prints what one condition says, unless it said so before."""
        before, now = self._conditions.get(item.type), (item.status, item.reason, item.message)
        self._conditions[item.type] = now
        if before is None or before[:2] != now[:2] or (item.message and before != now):
            message = f" — {item.message}" if item.message else ""
            self.say(f"{_MARKS[item.status]} {item.type.value}: {item.reason.value}{message}")

    def tell_amount(self, amount: Amount) -> None:
        """Says how far something large has come."""
        self.say(f"workspace: {amount.text}")

    def say(self, line: str) -> None:
        """Prints one line with the time since the start."""
        elapsed = time.monotonic() - self.began
        self.console.print(f"[dim]{elapsed:6.1f}s[/] {shown(line[:_LONGEST_LINE])}", soft_wrap=True)


def _round_line(record: RoundStatus) -> str:
    claim = record.claim.says.value if record.claim else "nothing"
    verdict = record.verdict.value if record.verdict else "open"
    return f"round {record.number}: the agent says {claim}, the verifiers found {verdict}"


def shown(text: str) -> str:
    """For a console of rich's: neither markup nor anything that a terminal acts on."""
    return escape(plain(text))


def print_json(body: object) -> None:
    """One line on standard output. What a terminal would act on is written as JSON writes it: \\u009b."""
    sys.stdout.write(visible_json(json.dumps(body, ensure_ascii=False)) + "\n")


def print_result(result: Result, as_json: bool) -> None:
    """The table, or the object."""
    if as_json:
        print_json(result.as_json())
        return
    out = Console(highlight=False)
    status = result.status
    if status.rounds:
        out.print(criteria_table(status.rounds[-1].criteria, f"round {status.rounds[-1].number}"))
    verdict = status.verdict
    colour = COLOURS[verdict] if verdict else "red"
    out.print(
        f"verdict  [{colour} bold]{verdict.value if verdict else 'none'}[/]  {shown(status.message)}",
        soft_wrap=True,
    )
    if status.claim:
        disagreement = "  [yellow](the evidence says otherwise)[/]" if status.claim_disagreement else ""
        out.print(f"claim    {status.claim.says.value}{disagreement}")
    for one in status.claim_disagreements:
        out.print(f"         {shown(disagreement_line(one))}", soft_wrap=True)
    if status.assisted:
        rounds = (
            ", ".join(str(record.number) for record in status.rounds if record.assisted)
            or "an earlier attempt"
        )
        out.print(f"assisted a person stepped in (rounds: {rounds})")
    if status.usage:
        out.print(f"usage    {_usage_line(status.usage)}")
    if status.agent and (line := _agent_line(status.agent)):
        out.print(f"agent    {line}")
    for name, value in (("diff", result.diff), ("result", result.workspace), ("ledger", result.ledger)):
        if value:
            out.print(f"{name:8} {shown(value)}", soft_wrap=True)


def disagreement_line(one: ClaimDisagreement) -> str:
    """What was claimed, and what was found."""
    return f"it claimed {one.about.value}: {one.claimed}; found: {one.found}"


def criteria_table(results: Sequence[CriterionResult], title: str | None = None) -> Table:
    """What each criterion came to."""
    table = Table("criterion", "type", "enforcement", "verdict", "message", title=title)
    for item in results:
        colour = COLOURS[item.verdict]
        table.add_row(
            item.name,
            item.type.value,
            item.enforcement.value,
            f"[{colour}]{item.verdict.value}[/]",
            shown(item.message),
        )
    return table


def _usage_line(usage: UsageStatus) -> str:
    cost = f"{usage.cost}, " if usage.cost else ""
    if not usage.requests and usage.told:
        given, written = (
            sum(one.input_tokens for one in usage.told),
            sum(one.output_tokens for one in usage.told),
        )
        return f"{cost}{given:,} tokens in, {written:,} out, as the agent counts"
    tokens = f"{usage.input_tokens:,} tokens in ({usage.cached_input_tokens:,} cached), {usage.output_tokens:,} out"
    return f"{cost}{tokens}, {usage.requests:,} requests"


def _agent_line(agent: AgentStatus) -> str:
    """What the agent said last of itself."""
    parts = []
    if agent.context_tokens is not None:
        of = f" of {agent.context_window:,} ({agent.context})" if agent.context_window else ""
        parts.append(f"context {agent.context_tokens:,}{of}")
    if agent.output_per_second is not None:
        parts.append(f"{agent.output_per_second:,} tokens/s")
    if agent.talk_in_round:
        parts.append(f"spoke and did nothing {agent.talk_in_round}x in the last round")
    return ", ".join(parts)


def leave(console: Console, as_json: bool, code: ExitCode, message: str) -> NoReturn:
    """Ends without a result. Raises typer.Exit."""
    console.print(shown(message), style="red", soft_wrap=True)
    if as_json:
        body: dict[str, Any] = {"error": {"code": code.name, "message": message}}
        print_json(body)
    raise typer.Exit(code)
