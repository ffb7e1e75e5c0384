"""`axiom baseline`: take the pictures that Probe criteria compare with, and say that they are right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from axiom.backends.names import BackendName
from axiom.cli.places import Places, Where, reads_evidence

baseline_app = typer.Typer(
    help="Take the pictures that Probe criteria compare with, and say that they are right.",
    no_args_is_help=True,
)


@dataclass(frozen=True)
class Taking:
    """What is to be photographed."""

    candidate: Path
    criteria: Path
    backend: BackendName
    image: str | None
    state: Path | None
    into: Path | None


@dataclass(frozen=True)
class Accepting:
    """Which pictures become baselines, and where those lie."""

    where: Where
    pictures: tuple[str, ...]
    workspace: Path
    beside: Path


@baseline_app.command()
def capture(
    candidate: Annotated[
        Path, typer.Option("--candidate", help="The directory whose pages are photographed.", metavar="DIR")
    ],
    criteria: Annotated[
        Path,
        typer.Option(
            "--criteria",
            help="YAML file with `criteria:` as in an AgentTask's spec, or an AgentTask; its pictures are taken.",
            metavar="FILE",
        ),
    ],
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", help="Folder for the pictures. Without it: one of the run's own.", metavar="DIR"
        ),
    ] = None,
    backend: Annotated[
        BackendName, typer.Option("--backend", help="What makes the clean room, as with `axiom verify`.")
    ] = BackendName.AUTO,
    image: Annotated[
        str | None, typer.Option("--image", help="Image of the clean room, for Docker.", metavar="IMAGE")
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder that keeps evidence and results.", metavar="DIR")
    ] = None,
) -> None:
    """Take the pictures of a work that is right, in the clean room, and compare them with the baselines that there are.

    Exit code: 0 all were taken, 2 one was not, 3 refused, 4 could not run, 130 interrupted.
    """
    from axiom.cli.capturing import capture_pictures

    capture_pictures(Taking(candidate, criteria, backend, image, state, into))


@baseline_app.command()
@reads_evidence()
def accept(
    run: Annotated[
        str,
        typer.Argument(
            help="Whose pictures: a run of `axiom baseline capture`, `axiom verify` or `axiom run`; with --cluster the name of"
            " an AgentTask.",
            metavar="RUN",
        ),
    ],
    pictures: Annotated[
        list[str] | None,
        typer.Option("--picture", help="Only this one; may be given again.", metavar="CRITERION/PICTURE"),
    ] = None,
    workspace: Annotated[
        Path,
        typer.Option(
            "--workspace", help="Where files of the base are written: a checkout of it.", metavar="DIR"
        ),
    ] = Path(),
    beside: Annotated[
        Path,
        typer.Option(
            "--beside",
            help="Folder of the task's file, beside which `baselines` lie on this machine.",
            metavar="DIR",
        ),
    ] = Path(),
    *,
    places: Places,
) -> None:
    """Make the pictures of a run the baselines: what they show is right, a person says. Look at them first.

    With --cluster, `baselines` of a ConfigMap or a Secret are written there, by your own rights in the task's namespace.

    Exit code: 0 done, 3 refused or not readable, 4 the cluster cannot be asked.
    """
    from axiom.cli.accepting import accept_pictures

    accept_pictures(Accepting(Where(run, places, original=True), tuple(pictures or ()), workspace, beside))
