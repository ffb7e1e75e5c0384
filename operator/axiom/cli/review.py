"""`axiom review`: a person decides on a task that is complete."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from axiom.cli.places import ClusterContext, ClusterKubeconfig, ClusterNamespace


@dataclass(frozen=True)
class Judged:
    """What was decided on the command line."""

    task: str
    decision: str
    """Empty: what there is to decide on is to be shown."""
    why: str
    namespace: str | None
    context: str | None
    kubeconfig: Path | None
    local: bool
    state: Path | None


def review(
    task: Annotated[str, typer.Argument(help="Name of an AgentTask that is complete.")],
    accept: Annotated[bool, typer.Option("--accept", help="The result will do.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="It will not.")] = False,
    again: Annotated[
        str | None,
        typer.Option(
            "--again", help="Another task goes on from its last checkpoint, and is told this.", metavar="TEXT"
        ),
    ] = None,
    why: Annotated[str, typer.Option("--why", help="Why; asked for with --accept and --reject.")] = "",
    namespace: ClusterNamespace = None,
    context: ClusterContext = None,
    kubeconfig: ClusterKubeconfig = None,
    local: Annotated[
        bool, typer.Option("--local", help="The last run of a task of this name on this machine.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="With --local: the folder that keeps results.", metavar="DIR"),
    ] = None,
) -> None:
    """Decide on a task that is complete, such as one that NeedsReview. The verdict stays what the verifiers found.

    Without a decision it shows what there is to decide on: what was found in each round, what the agent claimed, and what it
    answered to the evidence. Exit code: 0 shown or recorded, 3 refused, 4 the cluster could not be asked.
    """
    chosen = [
        name
        for name, given in (("Accept", accept), ("Reject", reject), ("Again", again is not None))
        if given
    ]
    if len(chosen) > 1:
        raise typer.BadParameter(
            "give one of --accept, --reject and --again, or none to see what there is to decide on"
        )
    reason = why if again is None else again
    if chosen and not reason.strip():
        raise typer.BadParameter("say why, as others will want to know it: --why TEXT")
    if local and (namespace or context or kubeconfig):
        raise typer.BadParameter("--local looks at this machine alone; leave the others out")
    if local and again is not None:
        raise typer.BadParameter(
            "--again is for clusters; here, write a task with workspace.checkpoint and `axiom run` it"
        )
    # Only now: what this needs takes most of a second to load, and nobody who asks for help waits for it.
    from axiom.cli.reviewing import decide

    decide(Judged(task, chosen[0] if chosen else "", reason, namespace, context, kubeconfig, local, state))
