"""`axiom replay`: what an agent's terminal showed, played back, at any moment, or as the difference between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from axiom.cli.ledger import Original
from axiom.cli.places import Places, Where, reads_evidence


@reads_evidence()
def replay(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="What to replay: the name or UID of a local run, a folder, a recording (.cast, .cast.zst), s3://BUCKET/PREFIX;"
            " with --cluster an AgentTask. Two of them with --diff.",
            metavar="TASK|FOLDER|FILE",
        ),
    ],
    at: Annotated[
        str,
        typer.Option(
            "--at",
            help="Begin here: a sequence number of the ledger (42), a time since the beginning (1m30s), or a time of day"
            " (RFC 3339).",
            metavar="TIME|SEQ",
        ),
    ] = "",
    to_print: Annotated[
        bool, typer.Option("--print", help="Print the screen as it was at --at (else at the end), and leave.")
    ] = False,
    files: Annotated[
        bool,
        typer.Option(
            "--files",
            help="List the files that the agent had added, changed and deleted by --at (else by the end), and leave.",
        ),
    ] = False,
    speed: Annotated[float, typer.Option("--speed", help="Times as fast.", min=0.01, max=1000.0)] = 1.0,
    idle: Annotated[
        float, typer.Option("--idle", help="Longest pause, in seconds of the replay.", min=0.0)
    ] = 2.0,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with a local run that is not over.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Tell the difference between two runs, as text.")
    ] = False,
    cast: Annotated[
        Path | None,
        typer.Option(
            "--cast", help="Write the recording, secrets masked, for another player.", metavar="FILE"
        ),
    ] = None,
    screenshots: Annotated[
        Path | None,
        typer.Option(
            "--screenshots",
            help="Write the pictures that were taken, each once, into this folder, and list them. Those that tools wrote hold what"
            " nobody has masked: add --original.",
            metavar="DIR",
        ),
    ] = None,
    original: Original = False,
    *,
    places: Places,
) -> None:
    """Replay a run's terminal, secrets masked. Exit code 3: there is nothing to replay."""
    if len(runs) != (2 if diff else 1):
        raise typer.BadParameter("write two runs with --diff, and one without it")
    wheres = [Where(run, places, original=original) for run in runs]
    # Only now: nobody who asks for help waits for what this needs.
    from axiom.cli.replaying import Playing, print_difference, replay_run

    if diff:
        print_difference(*wheres)
    elif screenshots:
        from axiom.cli.picturing import write_screenshots

        write_screenshots(wheres[0], screenshots)
    else:
        replay_run(wheres[0], Playing(at, to_print, files, speed, idle, follow, cast))
