"""`axiom doctor`: from symptom to cause, for this machine, an installation, and a task."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError, LoginError, NotFoundError, UnavailableError
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


def doctor(
    task: Annotated[
        str | None, typer.Argument(help="Name of an AgentTask: why is it where it is?", metavar="[TASK]")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the task.")] = "default",
    local: Annotated[
        bool, typer.Option("--local", help="Look at this machine alone: can `axiom run` work here?")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")
    ] = False,
) -> None:
    """Find out what is wrong: with a task, with the installation on the cluster of KUBECONFIG, or with this machine.

    Exit code: 0 nothing is wrong, 1 something is, 3 nothing could be looked at.
    """
    if local and task:
        raise typer.BadParameter("a task and --local do not go together; leave one out")
    try:
        findings = list(diagnose_machine()) if local else asyncio.run(_of_cluster(namespace, task))
    except _CouldNotLookError as error:
        _leave(str(error), as_json)
    else:
        _print(findings, as_json)
        has_problems = any(finding.level is Level.PROBLEM for finding in findings)
        raise typer.Exit(DoctorExit.PROBLEMS if has_problems else DoctorExit.HEALTHY)


async def _of_cluster(namespace: str, name: str | None) -> list[Finding]:
    now = datetime.now(UTC)
    try:
        async with Api("axiom-doctor") as api:
            installation = list(diagnose_installation(await read_installation(api), now))
            if name is None:
                return installation
            task, pods, events = await read_task(api, namespace, name)
    except LoginError as error:
        raise _CouldNotLookError(f"{error}; for this machine alone, write `axiom doctor --local`") from error
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
        sys.stdout.write(json.dumps({"findings": body}, ensure_ascii=False) + "\n")
        return
    out = Console(highlight=False)
    for finding in findings:
        out.print(f"{_MARKS[finding.level]} [bold]{escape(finding.subject)}[/]: {escape(finding.what)}")
        if finding.entry:
            out.print(f"    {escape(finding.entry.value)}: {escape(finding.meaning)}")
            out.print(f"    [dim]{escape(finding.page)}[/]")
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    out.print(f"\n{problems} problem{'' if problems == 1 else 's'}" if problems else "\nnothing is wrong")


def _leave(message: str, as_json: bool) -> None:
    Console(stderr=True, highlight=False).print(escape(message), style="red", soft_wrap=True)
    if as_json:
        sys.stdout.write(json.dumps({"error": {"message": message}}, ensure_ascii=False) + "\n")
    raise typer.Exit(DoctorExit.COULD_NOT_LOOK)
