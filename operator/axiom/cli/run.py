"""`axiom run`: a task on this machine or on a cluster, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from axiom.backends.names import BackendName


@dataclass(frozen=True)
class Order:
    """What was asked for on the command line."""

    task: Path
    agent_class: Path | None
    as_json: bool
    state: Path | None
    backend: BackendName
    cluster: bool
    context: str | None
    kubeconfig: Path | None
    namespace: str | None
    checkpoint: str | None = None


def run(
    task: Annotated[
        Path,
        typer.Argument(help="YAML file with an AgentTask, and perhaps its AgentClass.", metavar="TASK.yaml"),
    ],
    agent_class: Annotated[
        Path | None, typer.Option("--class", help="YAML file with the AgentClass.", metavar="CLASS.yaml")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder that keeps evidence and results.", metavar="DIR")
    ] = None,
    backend: Annotated[
        BackendName,
        typer.Option(
            "--backend",
            help="What makes the sandboxes. auto: bubblewrap; Docker where bubblewrap does not work, or where"
            " the agent's command is in the class's image alone.",
        ),
    ] = BackendName.AUTO,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Apply the task to a Kubernetes cluster and follow it.")
    ] = False,
    context: Annotated[
        str | None, typer.Option("--context", help="With --cluster: the kubeconfig's context.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="With --cluster: the kubeconfig.", metavar="FILE")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="With --cluster: the task's namespace.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--from-checkpoint",
            help="Begin from a checkpoint of another task (its last run, on this machine) instead of spec.workspace.",
            metavar="TASK[:NUMBER]",
        ),
    ] = None,
) -> None:
    """Run a task in sandboxes, and decide from evidence whether it succeeded.

    Exit code: 0 Pass, 1 Fail, 2 Inconclusive, 3 refused (bad input), 4 could not run, 130 interrupted.
    """
    # Only now: what a run needs takes most of a second to load, and nobody who asks for help waits for it.
    from axiom.cli.performing import perform

    perform(
        Order(
            task, agent_class, as_json, state, backend, cluster, context, kubeconfig, namespace, checkpoint
        ),
    )
