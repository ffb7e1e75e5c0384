"""`axiom probe`: what a sandbox keeps in, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from axiom.backends.names import BackendName


@dataclass(frozen=True)
class ProbeOrder:
    """What was asked for on the command line."""

    agent_class: str | None
    as_json: bool
    backend: BackendName
    cluster: bool
    context: str | None
    kubeconfig: Path | None
    namespace: str | None


def probe(
    agent_class: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="YAML file with an AgentClass; with --cluster the name of one. Without it: a class with every default.",
            metavar="CLASS",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")
    ] = False,
    backend: Annotated[
        BackendName, typer.Option("--backend", help="What makes the sandbox on this machine.")
    ] = BackendName.AUTO,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Probe a pod of a class on a Kubernetes cluster.")
    ] = False,
    context: Annotated[
        str | None, typer.Option("--context", help="With --cluster: the kubeconfig's context.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="With --cluster: the kubeconfig.", metavar="FILE")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="With --cluster: where the pod is made.")
    ] = None,
) -> None:
    """Try from inside a sandbox what must not work there, without an agent.

    Exit code: 0 everything held, 1 something did not, 3 refused (bad input), 4 could not run.
    """
    # Only now: what this needs takes most of a second to load, and nobody who asks for help waits for it.
    from axiom.cli.probing import perform_probe

    perform_probe(ProbeOrder(agent_class, as_json, backend, cluster, context, kubeconfig, namespace))
