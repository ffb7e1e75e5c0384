"""`axiom checkpoint`, `checkpoints`, `rollback` and `fork`: what is kept of a task while it runs, and how it goes on from there."""

from __future__ import annotations

from typing import Annotated

import typer

from axiom.cli.ledger import Original
from axiom.cli.places import ClusterContext, ClusterKubeconfig, Gateway, GatewayCa, Stored, TokenFile

Task = Annotated[str, typer.Argument(help="Name of the AgentTask.", metavar="TASK")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The task's namespace.")]


def checkpoints(
    task: Task,
    cluster: Annotated[bool, typer.Option("--cluster", help="Of a task on a cluster.")] = False,
    namespace: Namespace = "",
    where: Stored = "",
    context: ClusterContext = None,
    kubeconfig: ClusterKubeconfig = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    diff: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--diff", help="Tell what the workspace differs in between two checkpoints.", metavar="N M"
        ),
    ] = None,
    patch: Annotated[
        bool, typer.Option("--patch", help="With --diff: print a patch that `git apply` takes.")
    ] = False,
    original: Original = False,
    gateway: Gateway = "",
    token_file: TokenFile = None,
    gateway_ca: GatewayCa = None,
) -> None:
    """List the checkpoints of a task, or tell two of them apart.

    Exit code: 0 there are some, or differences, 1 there are none, 3 not readable.
    """
    from axiom.cli.keeping import Place, list_checkpoints

    place = Place(cluster, namespace, where, context, kubeconfig, gateway, token_file, gateway_ca)
    if diff:
        from axiom.cli.differing import print_difference

        print_difference(task, diff, place, as_patch=patch, as_json=as_json, original=original)
    elif patch:
        raise typer.BadParameter("--patch is for two checkpoints: add --diff N M")
    list_checkpoints(task, place, as_json=as_json)


def checkpoint(
    task: Task,
    namespace: Namespace = "",
    context: ClusterContext = None,
    kubeconfig: ClusterKubeconfig = None,
) -> None:
    """Take a checkpoint of a task that runs on a cluster, and wait for it. Exit code: 0 taken, 3 refused, 4 not taken."""
    from axiom.cli.keeping import Place, take_checkpoint

    take_checkpoint(task, Place(True, namespace, "", context, kubeconfig))


def rollback(
    task: Task,
    number: Annotated[int, typer.Argument(help="Number of the checkpoint.", min=1)],
    namespace: Namespace = "",
    context: ClusterContext = None,
    kubeconfig: ClusterKubeconfig = None,
) -> None:
    """Take a task on a cluster back to a checkpoint. Rounds and costs stay as they are.

    Exit code: 0 done, 3 refused, 4 not done.
    """
    from axiom.cli.keeping import Place, roll_back

    roll_back(task, number, Place(True, namespace, "", context, kubeconfig))


def fork(
    task: Task,
    name: Annotated[str, typer.Argument(help="Name of the new task.", metavar="NAME")],
    number: Annotated[
        int | None, typer.Option("--checkpoint", help="Which checkpoint; without it the last one.", min=1)
    ] = None,
    prompt: Annotated[
        str, typer.Option("--prompt", help="What the new task's agent is told; without it the same.")
    ] = "",
    where: Annotated[
        str,
        typer.Option(
            "--from",
            help="s3://BUCKET of the cluster: the other AgentTask may be gone, and is taken out of there.",
            metavar="WHERE",
        ),
    ] = "",
    namespace: Namespace = "",
    context: ClusterContext = None,
    kubeconfig: ClusterKubeconfig = None,
) -> None:
    """Make a new task of a checkpoint of another, with the other's criteria. Exit code: 0 created, 3 refused, 4 not created."""
    from axiom.cli.keeping import Place, make_fork

    make_fork(task, name, number, prompt, Place(True, namespace, where, context, kubeconfig))
