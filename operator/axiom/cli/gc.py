"""`axiom gc`: delete evidence whose retention is over, and blobs that nothing refers to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gc(
    where: Annotated[
        str,
        typer.Argument(
            help="A state folder, a store's folder, or s3://BUCKET (server and keys by AXIOM_S3_ENDPOINT and"
            " AXIOM_S3_CREDENTIALS). Without it: the state folder of local runs.",
            metavar="[WHERE]",
        ),
    ] = "",
    classes: Annotated[
        list[Path] | None,
        typer.Option("--class", help="YAML file with AgentClasses; may be given again.", metavar="FILE"),
    ] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Take the AgentClasses of the cluster that is configured.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be deleted, and delete nothing.")
    ] = False,
    safe_age: Annotated[
        str,
        typer.Option(
            "--safe-age", help="How long nothing may refer to a blob before it goes.", metavar="DURATION"
        ),
    ] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Delete what is over: by spec.retention of tasks and classes, and unreferenced blobs.

    What no retention speaks of is kept. Exit code: 0 done, 3 not readable.
    """
    from axiom.cli.pruning import prune

    prune(where, tuple(classes or ()), cluster=cluster, dry=dry_run, safe_age=safe_age, as_json=as_json)
