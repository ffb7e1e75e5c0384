"""`axiom judge-bench`: how good judges are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class BenchOrder:
    """What was asked for on the command line."""

    agent_class: Path
    judges: tuple[str, ...]
    cases: Path | None
    kept: str
    """Where evidence lies with the cases of reviews; empty: they are left out."""
    state: Path | None
    as_json: bool
    max_loss: float
    sample: int | None


def judge_bench(
    agent_class: Annotated[
        Path,
        typer.Option(
            "--class", help="YAML file with the AgentClass whose judges are measured.", metavar="CLASS.yaml"
        ),
    ],
    judge: Annotated[
        list[str] | None, typer.Option("--judge", help="One of its judges by name; may be given again.")
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases", help="Folder with further cases: of your own, or kept from reviews.", metavar="DIR"
        ),
    ] = None,
    kept: Annotated[
        str,
        typer.Option(
            "--kept",
            help="State folder or s3://BUCKET whose tasks' reviews made cases: `axiom review` keeps what judges were shown.",
            metavar="WHERE",
        ),
    ] = "",
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder that keeps runs, to compare with.", metavar="DIR")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", help="Put only so many of the cases, evenly chosen, as each costs a call.", min=1
        ),
    ] = None,
    max_loss: Annotated[
        float,
        typer.Option(
            "--max-loss", help="Percentage points of accuracy that may be lost since the last run.", min=0
        ),
    ] = 5.0,
) -> None:
    """Put works on which people have decided before a class's judges, and count how often each is wrong.

    Keys are read from AXIOM_CREDENTIAL_JUDGE_<NAME>. Exit code: 0 measured, 1 a judge lost more accuracy than it may,
    3 refused (bad input), 4 could not run.
    """
    from axiom.cli.measuring import perform

    perform(BenchOrder(agent_class, tuple(judge or ()), cases, kept, state, as_json, max_loss, sample))
