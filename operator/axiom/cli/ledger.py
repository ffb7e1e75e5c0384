"""`axiom ledger`: read sealed ledgers, search and export them, and prove that nothing in them was changed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from axiom.cli.places import KubeContext, Places, Where, reads_evidence

ledger_app = typer.Typer(help="Read, search, export and prove ledgers.", no_args_is_help=True)


class Format(StrEnum):
    """What `axiom ledger export` writes."""

    JSONL = "jsonl"
    OTEL = "otel"
    MARKDOWN = "markdown"


LedgerWord = Annotated[
    str,
    typer.Argument(
        help="A ledger's folder or one of its files; a folder with several (a state folder, a store, a run's folder);"
        " s3://BUCKET/PREFIX (server and keys by AXIOM_S3_ENDPOINT and AXIOM_S3_CREDENTIALS); the name or UID of a local"
        " run; with --cluster the name of an AgentTask.",
        metavar="LEDGER",
    ),
]
Slot = Annotated[
    str,
    typer.Option("--slot", help="Only this one of a task's ledgers: agent, fetcher, verifier-1-1, …"),
]
Original = Annotated[
    bool,
    typer.Option(
        "--original",
        help="Show secrets as they are instead of masked. On a cluster this takes the right to get agenttasks/original.",
    ),
]
Events = Annotated[
    list[str] | None, typer.Option("--event", "-e", help="Only events of this name; may be given again.")
]
Since = Annotated[
    str,
    typer.Option("--since", help="Not before this time (RFC 3339), or this long ago (90m).", metavar="TIME"),
]
Until = Annotated[
    str,
    typer.Option("--until", help="Not after this time (RFC 3339), or this long ago (90m).", metavar="TIME"),
]


@ledger_app.command()
@reads_evidence()
def verify(
    ledger: LedgerWord,
    head: Annotated[
        str | None,
        typer.Option(help="Hash of the last record, as the task's status has it; for one ledger alone."),
    ] = None,
    status: Annotated[
        Path | None,
        typer.Option(
            help="The AgentTask as `kubectl get agenttask -o json` prints it: its heads are the witnesses.",
            metavar="FILE",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    slot: Slot = "",
    *,
    places: Places,
) -> None:
    """Prove chains, from the first record to the head. Exit code 0 whole, 1 broken, 3 not readable."""
    # Imported where it is used, here and below: nobody who runs a task waits for it.
    from axiom.cli.reading import verify_ledgers

    # What is masked is not what was hashed.
    where = Where(ledger, places, slot, original=True)
    verify_ledgers(where, head, status, as_json=as_json)


@ledger_app.command()
@reads_evidence()
def show(
    ledger: LedgerWord,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they are stored.")] = False,
    events: Events = None,
    since: Since = "",
    until: Until = "",
    first: Annotated[int, typer.Option("--from", help="First sequence number.", min=1)] = 1,
    last: Annotated[int | None, typer.Option("--to", help="Last sequence number.", min=1)] = None,
    slot: Slot = "",
    original: Original = False,
    *,
    places: Places,
) -> None:
    """Print a ledger's records, oldest first. Secrets are masked."""
    from axiom.cli.reading import Asked, show_records

    where = Where(ledger, places, slot, original)
    asked = Asked(events=tuple(events or ()), since=since, until=until, first=first, last=last)
    show_records(where, asked, as_json=as_json)


@ledger_app.command()
@reads_evidence(context=KubeContext)
def grep(
    pattern: Annotated[
        str,
        typer.Argument(
            help="RE2, tried on the event's name and on each value, written as path.to.value=text.",
            metavar="PATTERN",
        ),
    ],
    ledger: LedgerWord,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="Letters match in either case.")
    ] = False,
    after: Annotated[int, typer.Option("--after-context", "-A", help="Records after each.", min=0)] = 0,
    before: Annotated[int, typer.Option("--before-context", "-B", help="Records before each.", min=0)] = 0,
    around: Annotated[int, typer.Option("--context", "-C", help="Records before and after.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they are stored.")] = False,
    events: Events = None,
    since: Since = "",
    until: Until = "",
    slot: Slot = "",
    original: Original = False,
    *,
    places: Places,
) -> None:
    """Search events. Exit code 0 found, 1 nothing found, 3 not readable."""
    from axiom.cli.reading import Asked, grep_records

    where = Where(ledger, places, slot, original)
    asked = Asked(pattern, ignore_case, tuple(events or ()), since, until)
    grep_records(where, asked, max(before, around), max(after, around), as_json=as_json)


@ledger_app.command()
@reads_evidence()
def export(
    ledger: LedgerWord,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="jsonl: lines as they are stored; otel: OpenTelemetry logs as OTLP/JSON; markdown: a report of the run.",
        ),
    ] = Format.JSONL,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write here instead of standard output.", metavar="FILE"),
    ] = None,
    slot: Slot = "",
    original: Original = False,
    *,
    places: Places,
) -> None:
    """Write ledgers in another form. Secrets are masked."""
    from axiom.cli.reading import export_ledgers

    where = Where(ledger, places, slot, original)
    export_ledgers(where, form, output)
