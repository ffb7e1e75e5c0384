"""`axiom verify`: decides criteria on any change, agent or no agent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from axiom.backends.names import BackendName


class Output(StrEnum):
    """What is printed on standard output."""

    TABLE = "table"
    """For a person."""
    JSON = "json"
    """One object, with `verdict` and `criteria` as `axiom run --json` has them."""
    JUNIT = "junit"
    """JUnit XML: a test case for each criterion."""
    SARIF = "sarif"
    """SARIF 2.1.0: what failed, at the lines where that is known."""


@dataclass(frozen=True)
class VerifyOrder:
    """What was asked for on the command line."""

    base: str
    candidate: Path
    criteria: Path
    output: Output
    backend: BackendName
    image: str | None
    deadline: str
    state: Path | None
    agent_class: Path | None


def verify(
    base: Annotated[
        str,
        typer.Option(
            "--base",
            help="What the change is against: a directory as it lies there, or a repository (path or address) with"
            " #REVISION, such as .#main or https://git.example/leap.git#v1.2.",
            metavar="DIR|GIT",
        ),
    ],
    candidate: Annotated[
        Path,
        typer.Option(
            "--candidate",
            help="The directory that was changed; with `verification.candidate: Message` in FILE, a file that holds the message"
            " whose code is the change. It may be hostile.",
            metavar="DIR|FILE",
        ),
    ],
    criteria: Annotated[
        Path,
        typer.Option(
            "--criteria",
            help="YAML file with `criteria:` as in an AgentTask's spec, or an AgentTask.",
            metavar="FILE",
        ),
    ],
    output: Annotated[
        Output, typer.Option("--output", help="What is printed on standard output.")
    ] = Output.TABLE,
    backend: Annotated[
        BackendName,
        typer.Option(
            "--backend",
            help="What makes the clean room. auto: bubblewrap; Docker where bubblewrap does not work, or where an"
            " image is named.",
        ),
    ] = BackendName.AUTO,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            help="Image of the clean room, for Docker; instead of verification.image of the file.",
            metavar="IMAGE",
        ),
    ] = None,
    deadline: Annotated[
        str,
        typer.Option(help="Longest time for all criteria; when it passes, the verdict is Inconclusive."),
    ] = "1h",
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder that keeps evidence and results.", metavar="DIR")
    ] = None,
    agent_class: Annotated[
        Path | None,
        typer.Option(
            "--class",
            help="YAML file with an AgentClass, whose judges and destinations criteria of the types Judge and Research use.",
            metavar="CLASS.yaml",
        ),
    ] = None,
) -> None:
    """Verify a change in a clean room: the criteria are decided on the base with the candidate's changes.

    Exit code: 0 Pass, 1 Fail, 2 Inconclusive, 3 refused (bad input), 4 could not run, 130 interrupted.
    """
    # Only now, as with `axiom run`.
    from axiom.cli.verifying import perform

    perform(VerifyOrder(base, candidate, criteria, output, backend, image, deadline, state, agent_class))
