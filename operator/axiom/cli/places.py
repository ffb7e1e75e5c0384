"""Where evidence lies, as options that every command that reads it has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

State = Annotated[
    Path | None, typer.Option("--state", help="Folder of local runs, for names and UIDs.", metavar="DIR")
]
Cluster = Annotated[
    bool, typer.Option("--cluster", help="A task on a Kubernetes cluster, read through its gateway.")
]
Gateway = Annotated[
    str,
    typer.Option(
        "--gateway", envvar="AXIOM_GATEWAY", help="With --cluster: the gateway's address.", metavar="URL"
    ),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="With --cluster: the task's namespace.")
]
Context = Annotated[str | None, typer.Option("--context", help="With --cluster: the kubeconfig's context.")]
KubeContext = Annotated[
    str | None, typer.Option("--kube-context", help="With --cluster: the kubeconfig's context.")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="With --cluster: the kubeconfig.", metavar="FILE")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="With --cluster: a Kubernetes token; else the kubeconfig's.", metavar="FILE"
    ),
]
GatewayCa = Annotated[
    Path | None,
    typer.Option(
        "--gateway-ca", help="With --cluster: PEM file for the gateway's certificate.", metavar="FILE"
    ),
]

# Of commands that speak with a cluster in any case.
ClusterNamespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The task's namespace; else the context's.")
]
ClusterContext = Annotated[str | None, typer.Option("--context", help="The kubeconfig's context.")]
ClusterKubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="The kubeconfig.", metavar="FILE")
]
Stored = Annotated[
    str,
    typer.Option(
        "--from",
        help="A state folder, a store's folder, or s3://BUCKET. Without it: the state folder of local runs.",
        metavar="WHERE",
    ),
]


@dataclass(frozen=True)
class Places:
    """The options."""

    state: State = None
    cluster: Cluster = False
    gateway: Gateway = ""
    namespace: Namespace = None
    context: Context = None
    kubeconfig: Kubeconfig = None
    token_file: TokenFile = None
    gateway_ca: GatewayCa = None


@dataclass(frozen=True)
class Where:
    """Which evidence is meant."""

    word: str
    places: Places = Places()
    slot: str = ""
    original: bool = False


def reads_evidence(*, context: Any = Context) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of `Places`, in place of its parameter `places`; `context` is how that one is written."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        common = inspect.signature(Places, eval_str=True).parameters
        names = {field.name for field in fields(Places)}

        @wraps(command)
        def run(**given: Any) -> None:
            places = Places(**{name: given.pop(name) for name in names})
            command(**given, places=places)

        parameters = [one for one in own.parameters.values() if one.name != "places"]
        added = [
            one.replace(annotation=context if name == "context" else one.annotation)
            for name, one in common.items()
        ]
        whole = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*parameters, *added)]
        run.__signature__ = own.replace(parameters=whole)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in whole} | {"return": None}
        del run.__wrapped__
        return run

    return decorate
