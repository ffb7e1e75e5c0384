"""What `axiom doctor` does once its options are read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import NoReturn

import typer
from rich.console import Console

from axiom.cli.doctor import Question
from axiom.cli.showing import print_json, shown
from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError, LoginError, NotFoundError, UnavailableError
from axiom.cluster.kubeconfig import log_in
from axiom.diagnosing.findings import Finding, Level
from axiom.diagnosing.installation import Installation, diagnose_installation
from axiom.diagnosing.machine import diagnose_machine
from axiom.diagnosing.reading import read_installation, read_task
from axiom.diagnosing.tasks import diagnose_task

_MARKS = {Level.GOOD: "[green]✓[/]", Level.NOTE: "[yellow]·[/]", Level.PROBLEM: "[red]✗[/]"}


class DoctorExit(IntEnum):
    """What the exit code of `axiom doctor` means."""

    HEALTHY = 0
    PROBLEMS = 1
    COULD_NOT_LOOK = 3


class _CouldNotLookError(Exception):
    """Nothing could be looked at; the message says why and what to do."""


def examine(question: Question) -> NoReturn:
    """Prints what is found, and ends the program with the exit code."""
    try:
        findings = list(diagnose_machine()) if question.local else asyncio.run(_of_cluster(question))
    except _CouldNotLookError as error:
        _leave(str(error), question.as_json)
    _print(findings, question.as_json)
    has_problems = any(finding.level is Level.PROBLEM for finding in findings)
    raise typer.Exit(DoctorExit.PROBLEMS if has_problems else DoctorExit.HEALTHY)


async def _of_cluster(question: Question) -> list[Finding]:
    now = datetime.now(UTC)
    try:
        login = log_in(question.kubeconfig, question.context)
    except LoginError as error:
        raise _CouldNotLookError(f"{error}; for this machine alone, write `axiom doctor --local`") from error
    namespace, name = question.namespace or login.namespace, question.task
    try:
        async with Api("axiom-doctor", login.connect) as api:
            installation = list(diagnose_installation(await read_installation(api), now))
            if name is None:
                return installation
            task, pods, events = await read_task(api, namespace, name)
    except UnavailableError as error:
        return list(diagnose_installation(Installation(unreachable=str(error)), now))
    except NotFoundError as error:
        cure = "look with `kubectl get agenttasks -A`, and name its namespace with -n"
        raise _CouldNotLookError(
            f"there is no AgentTask {name!r} in namespace {namespace!r}; {cure}"
        ) from error
    except ApiError as error:
        raise _CouldNotLookError(
            f"AgentTask {name!r} in namespace {namespace!r} cannot be read: {error}"
        ) from error
    return [*diagnose_task(task, pods, events, now), *installation]


def _print(findings: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        body = [
            {
                "level": finding.level.value,
                "subject": finding.subject,
                "what": finding.what,
                "entry": finding.entry.value if finding.entry else None,
                "meaning": finding.meaning,
                "page": finding.page,
            }
            for finding in findings
        ]
        print_json({"findings": body})
        return
    out = Console(highlight=False)
    for finding in findings:
        out.print(
            f"{_MARKS[finding.level]} [bold]{shown(finding.subject)}[/]: {shown(finding.what)}",
            soft_wrap=True,
        )
        if finding.entry:
            out.print(f"    {shown(finding.entry.value)}: {shown(finding.meaning)}", soft_wrap=True)
            out.print(f"    [dim]{shown(finding.page)}[/]")
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    out.print(f"\n{problems} problem{'' if problems == 1 else 's'}" if problems else "\nnothing is wrong")


def _leave(message: str, as_json: bool) -> NoReturn:
    Console(stderr=True, highlight=False).print(shown(message), style="red", soft_wrap=True)
    if as_json:
        print_json({"error": {"message": message}})
    raise typer.Exit(DoctorExit.COULD_NOT_LOOK)
