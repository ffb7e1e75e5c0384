"""`axiom doctor`: from symptom to cause, for this machine, an installation, and a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from axiom.cli.places import ClusterContext, ClusterKubeconfig, ClusterNamespace


@dataclass(frozen=True)
class Question:
    """What was asked on the command line."""

    task: str | None
    namespace: str | None
    context: str | None
    kubeconfig: Path | None
    local: bool
    as_json: bool


def doctor(
    task: Annotated[
        str | None, typer.Argument(help="Name of an AgentTask: why is it where it is?", metavar="[TASK]")
    ] = None,
    namespace: ClusterNamespace = None,
    context: ClusterContext = None,
    kubeconfig: ClusterKubeconfig = None,
    local: Annotated[
        bool, typer.Option("--local", help="Look at this machine alone: can `axiom run` work here?")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")
    ] = False,
) -> None:
    """Find out what is wrong: with a task, with the installation on a cluster, or with this machine.

    Exit code: 0 nothing is wrong, 1 something is, 3 nothing could be looked at.
    """
    if local and (task or namespace or context or kubeconfig):
        raise typer.BadParameter("--local looks at this machine alone; leave the others out")
    # Only now: what this needs takes most of a second to load, and nobody who asks for help waits for it.
    from axiom.cli.examining import examine

    examine(Question(task, namespace, context, kubeconfig, local, as_json))
